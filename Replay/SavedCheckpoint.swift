import EventLog
import Hashing
import Platform

/// A checkpoint that somebody kept, and what the log says to it now.
struct SavedCheckpoint {
    let path: String
    let checkpoint: Checkpoint

    init(_ path: String) throws {
        self.path = path
        do {
            checkpoint = try Checkpoint(parsing: try File.read(path, bytesMax: Checkpoint.bytesMax))
        } catch {
            throw Refusal(text: "the checkpoint \(path) cannot be read: \(error)")
        }
    }

    var size: UInt64 { checkpoint.size }

    /// Nil: the log still begins with the records that the checkpoint covers.
    /// - Parameter root: of the log's first `size` records; nil when it has not so many.
    func fault(root: Digest?, highWater: UInt64) -> String? {
        guard let root else {
            return "the log ends at position \(highWater), the checkpoint covers \(size): the log lost its tail or is "
                + "an older copy; positions \(highWater + 1) to \(size) are missing"
        }
        guard root != checkpoint.root else { return nil }
        // A root pins all records at once: which of them is another it cannot say.
        return "the first \(size) records are not those of the checkpoint: at least one of the positions 1 to \(size) "
            + "holds another record now. Root \(root.base64), the checkpoint has \(checkpoint.root.base64)"
    }

    /// Said where the origin is another: that alone proves nothing.
    func note(origin: String) -> String? {
        checkpoint.origin == origin ? nil : "the checkpoint is of \(checkpoint.origin), this log is \(origin)"
    }
}
