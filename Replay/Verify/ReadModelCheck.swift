import EventLog
import Glibc
import Hashing
import Platform
import Projections
import Records

/// One read model: its file at the moment when the verification began, and what was found of it since.
final class ReadModelCheck: Sendable {
    let name: String
    private let type: any Projection.Type
    /// The folder of its file.
    private let readModels: String
    /// Nil: there is no read model to compare with.
    private let file: ReadModelSnapshot?
    private let found = Lock(Found())

    private struct Found {
        var folded: Result<MultisetDigest, any Error>?
        var rows: Result<MultisetDigest, any Error>?
        /// Where it stood at the end, short of what the log had at the beginning; nil when it got there.
        var standing: Result<UInt64?, any Error> = .success(nil)
    }

    private init(_ type: any Projection.Type, in readModels: String, file: ReadModelSnapshot?) {
        name = type.name
        self.type = type
        self.readModels = readModels
        self.file = file
    }

    /// Those that can be compared; what is wrong with the others is reported.
    static func open(
        _ types: [any Projection.Type], in folder: DataFolder, report: Report
    ) throws -> [ReadModelCheck] {
        var checks: [ReadModelCheck] = []
        for type in types {
            do {
                let file = try type.snapshot(in: folder.readModels)
                checks.append(ReadModelCheck(type, in: folder.readModels, file: file))
            } catch {
                report.add(type.name, position: 0, .couldNotRun("\(error)"))
            }
        }
        // Beside a running daemon a read model may be past the high water that was taken first.
        try folder.log.refresh()
        let end = folder.log.highWater
        return checks.filter { check in
            guard let position = check.file?.position, position > end else { return true }
            report.add(
                check.name, position: position,
                .differs(
                    "it has seen position \(position), but the log ends at \(end): the log lost its tail or is an "
                        + "older copy"))
            return false
        }
    }

    static func fold(_ checks: [ReadModelCheck], in folder: DataFolder, highWater: UInt64) -> Refold {
        Refold(checks.map { (type: $0.type, through: $0.file?.position ?? highWater) }, log: folder.source)
    }

    static func finish(
        _ fold: Refold, _ checks: [ReadModelCheck], progress: (UInt64) throws -> Void = { _ in }
    ) {
        do {
            for (check, digest) in zip(checks, try fold.finish(progress: progress)) {
                check.found.withLock { $0.folded = .success(digest) }
            }
        } catch {
            for check in checks { check.fail(error) }
        }
    }

    func fail(_ error: any Error) {
        found.withLock { $0.folded = .failure(error) }
    }

    /// Every record that was in the log when the verification began must be in the read model by its end, if there is
    /// one: a projector that stopped stands still, and the rows it has say nothing of what came after. Beside a
    /// running daemon it goes on meanwhile; it gets until `deadline` (steady clock) to get there, as long as it moves.
    func followProgress(to highWater: UInt64, deadline: UInt64) {
        guard var reached = file?.position, reached < highWater else { return }
        var movedAt = SteadyClock.nanoseconds()
        let standing = Result<UInt64?, any Error> {
            while let position = try type.snapshot(in: readModels)?.position {
                if position >= highWater { return nil }
                let now = SteadyClock.nanoseconds()
                if position > reached { (reached, movedAt) = (position, now) }
                guard now < deadline, now - movedAt < ReadModelCheck.restNanoseconds else { break }
                usleep(ReadModelCheck.pollMicroseconds)
            }
            return reached
        }
        found.withLock { $0.standing = standing }
    }

    /// One that has not moved for so long stands still.
    private static let restNanoseconds: UInt64 = 2_000_000_000
    private static let pollMicroseconds: UInt32 = 50_000

    func readRows() {
        guard let file else { return }
        let rows = Result { try file.digestOfRows() }
        found.withLock { $0.rows = rows }
    }

    /// Compares what the read model holds with what the log gives.
    func conclude(highWater: UInt64, into report: Report) {
        do {
            let found = found.withLock { $0 }
            guard let folded = try found.folded?.get() else { preconditionFailure("\(name) was not folded") }
            report.add(
                name, highWater: highWater, file, rows: try found.rows?.get(), folded: folded,
                standing: try found.standing.get())
        } catch let fault as RecordFault {
            report.add(name, position: fault.position, .differs("\(fault)"))
        } catch LogError.corrupt(let position, let reason) {
            report.add(name, position: position, .differs("damaged at position \(position): \(reason)"))
        } catch {
            report.add(name, position: 0, .couldNotRun("\(error)"))
        }
    }
}

extension Report {
    /// - Parameter rows: what the rows of `file` say.
    fileprivate func add(
        _ name: String, highWater: UInt64, _ file: ReadModelSnapshot?, rows: MultisetDigest?, folded: MultisetDigest,
        standing: UInt64?
    ) {
        let digest = folded.hex
        guard let file, let rows else {
            add(
                name, position: highWater, digest: digest,
                .holds("refolded to \(highWater); there is no read model to compare with"))
            return
        }
        let position = file.position
        if rows != folded {
            add(
                name, position: position, digest: digest,
                .differs("at position \(position) the rows are not what the log gives: digest \(rows.hex)"))
        } else if file.digest != folded {
            add(
                name, position: position, digest: digest,
                .differs("at position \(position) the rows are right, but the digest kept beside them is not"))
        } else if let standing {
            add(
                name, position: standing, digest: digest,
                .differs(
                    "it stands at position \(standing), and the log had \(highWater) records when this began: "
                        + "start the daemon, or rebuild; where one runs, /readyz says why it stopped"))
        } else {
            add(name, position: position, digest: digest, .holds("at position \(position), as refolded from the log"))
        }
    }
}
