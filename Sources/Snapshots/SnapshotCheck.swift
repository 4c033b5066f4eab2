import EventLog
public import Hashing
import Platform
import Projections
public import Records

/// Whether a chain of snapshots is, byte for byte, what was written, and its read models what its log gives. Nothing
/// is written but copies of read models out of a tar file, in a folder for temporary files.
public struct SnapshotCheck {
    public let chain: SnapshotChain

    public init(_ chain: SnapshotChain) {
        self.chain = chain
    }

    /// How many bytes `files` reads.
    public var bytes: Int { chain.snapshots.reduce(0) { $0 + $1.manifest.files.reduce(0) { $0 + $1.bytes } } }

    /// Hashes every file. Gives their number.
    public func files(progress: (Int) -> Void = { _ in }) throws -> Int {
        var done = 0
        var count = 0
        for snapshot in chain.snapshots {
            for (file, member) in zip(snapshot.manifest.files, snapshot.files) {
                var hasher = SHA256()
                try member.scan { piece in
                    hasher.update(piece)
                    done += piece.count
                    progress(done)
                }
                guard hasher.finalize() == file.hash else {
                    throw SnapshotError.differs(
                        part: place(file.name, in: snapshot), reason: "its bytes are not those of its SHA-256")
                }
                count += 1
            }
        }
        return count
    }

    /// Walks over all frames: every hash, the chain, no gap, each record readable and in its place, and each snapshot
    /// ends where it says. `record` gets each record, in order.
    public func log(
        progress: (UInt64) -> Void = { _ in }, record: (Record) throws -> Void = { _ in }
    ) throws -> (log: SnapshotLog, frames: Int) {
        var segments: [Archive.Member] = []
        var marks: [SnapshotLog.Mark] = []
        var position: UInt64 = 0
        var hash = Digest.zero
        var tree = MerkleRange()
        var frames = 0
        let decoder = RecordDecoder()
        for snapshot in chain.snapshots {
            for member in snapshot.segments {
                guard member.name == Snapshot.segmentName(first: position + 1) else {
                    throw SnapshotError.differs(
                        part: place(member.name, in: snapshot),
                        reason: "the frames before it end at position \(position)")
                }
                var reader = try FrameReader(member)
                var marked = -SnapshotLog.markBytes
                while true {
                    let offset = reader.offset
                    let isThere = try reader.next { bytes in
                        let frame = try Frame(copy: bytes)
                        guard frame.firstPosition == position + 1 else {
                            throw LogError.corrupt(
                                position: position + 1, reason: "a frame begins at \(frame.firstPosition)")
                        }
                        try frame.verify { position, bytes, hash in
                            tree.append(hash)
                            try record(try EventLogSource.decode(bytes, at: position, with: decoder))
                        }
                        guard frame.previousHash == hash else {
                            throw LogError.corrupt(
                                position: position + 1, reason: "the frame is not chained to the one before")
                        }
                        if offset - marked >= SnapshotLog.markBytes {
                            marks.append(.init(position: position + 1, segment: segments.count, offset: offset))
                            marked = offset
                        }
                        position = frame.lastPosition
                        hash = frame.hash
                        frames += 1
                    }
                    guard isThere else { break }
                    progress(position)
                }
                segments.append(member)
            }
            guard position == snapshot.manifest.position else {
                throw SnapshotError.differs(
                    part: snapshot.archive.path,
                    reason: "its frames end at position \(position), it says \(snapshot.manifest.position)")
            }
            guard hash == snapshot.manifest.frameHash else {
                throw SnapshotError.differs(
                    part: snapshot.archive.path, reason: "its last frame has another hash than it says")
            }
            guard tree == snapshot.manifest.tree, try checkpoint(of: snapshot).root == tree.root else {
                throw SnapshotError.differs(
                    part: place(Manifest.checkpointName, in: snapshot),
                    reason: "its root is not that of the \(position) records")
            }
        }
        return (SnapshotLog(segments: segments, marks: marks, highWater: position), frames)
    }

    private func checkpoint(of snapshot: Snapshot) throws -> Checkpoint {
        let part = place(Manifest.checkpointName, in: snapshot)
        guard let member = snapshot.archive[Manifest.checkpointName] else {
            throw SnapshotError.differs(part: part, reason: "it is missing")
        }
        let checkpoint: Checkpoint
        do { checkpoint = try Checkpoint(parsing: try member.bytes(max: Checkpoint.bytesMax)) } catch {
            throw SnapshotError.differs(part: part, reason: "\(error)")
        }
        guard checkpoint.size == snapshot.manifest.position else {
            throw SnapshotError.differs(part: part, reason: "it covers \(checkpoint.size) records")
        }
        return checkpoint
    }

    /// What was found of one read model of one snapshot.
    public struct ReadModel: Sendable {
        public var name: String
        public var snapshot: String
        public var position: UInt64
        /// That of the log, folded again. Nil: its version is not this program's, so there is nothing to compare it
        /// with; a daemon makes it anew.
        public var digest: MultisetDigest?
        /// Nil when it holds.
        public var fault: String?
    }

    /// Folds the log again and compares: the digest that each snapshot names, and the rows of the read models that the
    /// full one holds.
    public func readModels(
        _ log: SnapshotLog, progress: (UInt64) throws -> Void = { _ in }
    ) throws -> [ReadModel] {
        struct Wanted {
            var type: any Projection.Type
            var model: Manifest.ReadModel
            var snapshot: Snapshot
        }
        var wanted: [Wanted] = []
        var others: [ReadModel] = []
        for snapshot in chain.snapshots {
            for model in snapshot.manifest.readModels {
                guard let type = ReadModels.all.first(where: { $0.name == model.name }),
                    type.schemaVersion == model.schemaVersion
                else {
                    others.append(
                        ReadModel(
                            name: model.name, snapshot: snapshot.archive.path, position: model.position, digest: nil))
                    continue
                }
                guard model.position <= snapshot.manifest.position else {
                    throw SnapshotError.differs(
                        part: place(Manifest.fileName, in: snapshot),
                        reason: "the read model \(model.name) is past the log's end")
                }
                wanted.append(Wanted(type: type, model: model, snapshot: snapshot))
            }
        }
        let folded = try Refold.run(
            wanted.map { (type: $0.type, through: $0.model.position) }, log: log, progress: progress)
        let scratch = try ReadModelFiles(chain.base)
        return try others + zip(wanted, folded).map { wanted, folded in
            var found = ReadModel(
                name: wanted.model.name, snapshot: wanted.snapshot.archive.path, position: wanted.model.position,
                digest: folded)
            if folded != wanted.model.digest {
                found.fault = "the log gives another digest than \(wanted.model.digest.hex), which is written"
            } else if wanted.snapshot.manifest.previous == nil {
                let stored = try wanted.type.stored(in: scratch.folder)
                if stored?.position != wanted.model.position || stored?.digest != folded {
                    found.fault = "its file does not say the position and digest that the manifest has"
                } else if stored?.digestOfRows != folded {
                    found.fault = "its rows are not what the log gives"
                }
            }
            return found
        }
    }

    private func place(_ name: String, in snapshot: Snapshot) -> String {
        chain.snapshots.count == 1 ? name : "\(snapshot.archive.path): \(name)"
    }
}

extension Snapshot {
    /// Those that the manifest names, in its order.
    var files: [Archive.Member] {
        archive.members.filter { $0.name != Manifest.fileName && $0.name != Manifest.hashName }
    }
}

/// The read models of a snapshot as files that SQLite can open: where they are, or copies out of a tar file.
private final class ReadModelFiles {
    let folder: String
    private let temporary: String?

    init(_ snapshot: Snapshot) throws {
        guard snapshot.archive.isTar else {
            folder = snapshot.archive.path + "/readmodels"
            temporary = nil
            return
        }
        let folder = try Folder.makeTemporary(prefix: "tallystick-verify")
        temporary = folder
        self.folder = folder
        for type in ReadModels.all {
            guard let member = snapshot.archive[Snapshot.readModelName(type.name)] else { continue }
            _ = try member.copy(to: "\(folder)/\(type.name).sqlite")
        }
    }

    deinit {
        // Copies only: one that cannot be removed harms nobody.
        if let temporary { try? Folder.remove(temporary) }
    }
}
