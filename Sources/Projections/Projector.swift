internal import Billing
internal import Hashing
internal import Platform
internal import Records
internal import SQLite

/// What `ReadModels` needs of a projector, whatever it folds.
protocol ProjectorDriver: Actor {
    nonisolated var name: String { get }
    nonisolated var board: ProgressBoard { get }
    /// Opens the file and compares it with the log.
    func open() throws(ProjectionError)
    /// Follows the log until the board says stop; then closes the file.
    func run() async
}

/// Pulls records from the log, folds them, and writes rows and progress in one SQLite transaction.
///
/// Start, catch-up, rebuild and steady state are one loop: what is after the progress is folded. A file of another
/// schema version is deleted and built again from the log; meanwhile queries say by their position how little they have
/// seen.
actor Projector<P: Projection>: ProjectorDriver {
    private nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    nonisolated let board = ProgressBoard()
    nonisolated let name = P.name

    private let folder: String
    private let source: any RecordSource
    private let pace: ProjectorPace
    private let decoder = RecordDecoder()
    private var fold = P()
    private var file: ReadModelFile?
    private var sink: DatabaseSink?
    /// The record this projector stops before.
    private var fault: RecordFault?
    private var flushedAt: UInt64 = 0
    /// From the last flush to the next, when live and nobody waits.
    private var restNanoseconds: UInt64 = 0

    init(folder: String, source: any RecordSource, pace: ProjectorPace = ProjectorPace()) {
        executor = ThreadExecutor(name: "fold \(P.name)", niceness: pace.niceness)
        self.folder = folder
        self.source = source
        self.pace = pace
    }

    func open() throws(ProjectionError) {
        do {
            try openFile()
        } catch let error as ProjectionError {
            throw error
        } catch let error as SQLiteError {
            throw .sqlite(name: name, error)
        } catch {
            throw .log(name: name, reason: "\(error)")
        }
    }

    private func openFile() throws {
        close()
        let file = try ReadModelFile(folder: folder, of: P.self)
        let highWater = source.highWater
        guard file.position <= highWater else {
            throw ProjectionError.logOlderThanReadModel(name: name, progress: file.position, highWater: highWater)
        }
        if file.position > 0, try source.record(at: file.position)?.recordedAt != file.recordedAt {
            throw ProjectionError.otherLog(name: name, progress: file.position)
        }
        var fold = P()
        try fold.load(from: file.database, at: file.position, log: source)
        self.fold = fold
        self.file = file
        sink = DatabaseSink(file.database, digest: file.digest)
        board.show { shown in
            shown.progress = file.position
            shown.recordedAt = file.recordedAt
            shown.digest = file.digest
            // One that has stopped and tries again has not moved yet: nobody is told its old numbers meanwhile.
            if !shown.state.isStopped { shown.state = .catchingUp }
            shown.generation += 1
        }
    }

    private func close() {
        sink = nil
        file = nil
        // A fold may hold the connection.
        fold = P()
    }

    func run() async {
        while !board.isStopping {
            do {
                if file == nil { try openFile() }
                try await follow()
            } catch let error as SQLiteError {
                // A full disk, a damaged file: memory may be ahead of the rows, so start from the file again.
                close()
                board.show { $0.state = .stopped("\(error)") }
                await board.pause(nanoseconds: pace.retryNanoseconds)
            } catch let error as RecordFault where fault == nil || error.position < fault?.position ?? 0 {
                // What comes before it can still be folded, from the file on.
                fault = error
                close()
            } catch {
                close()
                board.show { $0.state = .stopped("\(error)") }
                while !board.isStopping { await board.sleep() }
            }
        }
        close()
    }

    /// Folds whatever comes, until told to stop.
    private func follow() async throws {
        while !board.isStopping {
            guard let progress = file?.position else { preconditionFailure("\(name): no file") }
            if let fault, progress + 1 >= fault.position { throw fault }
            let highWater = min(source.highWater, fault.map { $0.position - 1 } ?? .max)
            if progress >= highWater {
                board.show { $0.state = .live }
                await board.sleep()
                continue
            }
            // Under load the batch grows while we wait; a full batch or a waiting reader does not wait.
            let now = SteadyClock.nanoseconds()
            let due = flushedAt + restNanoseconds
            if board.shown.state == .live, now < due, !board.isAwaited, highWater - progress < pace.batchRecords {
                await board.pause(nanoseconds: due - now)
                continue
            }
            let target = min(highWater, progress + pace.batchRecords)
            try step(through: target)
            flushedAt = SteadyClock.nanoseconds()
            restNanoseconds = pace.rest(after: flushedAt - now)
            // All that was there at the beginning of the step: under a steady load there is always more by its end.
            if target == highWater { board.show { $0.state = .live } }
            // Other jobs of this actor get their turn.
            await Task.yield()
        }
    }

    /// Folds records up to `target` and writes what they changed, with the progress, in one transaction.
    private func step(through target: UInt64) throws {
        guard var file, let sink else { preconditionFailure("\(name): no file") }
        var reached = file.position
        var recordedAt = file.recordedAt ?? Timestamp(microseconds: 0)
        while reached < target {
            let before = reached
            let recordsMax = Int(min(target - reached, UInt64(pace.chunkRecords)))
            _ = try source.read(
                after: reached, recordsMax: recordsMax, bytesMax: pace.chunkBytes, decoder: decoder
            ) { record in
                guard record.position <= target else { return }
                guard record.position == reached + 1 else {
                    throw RecordFault(position: reached + 1, reason: "the log gave record \(record.position) instead")
                }
                do {
                    try fold.apply(record, log: source)
                } catch let error as SQLiteError {
                    // Not the record's fault: a fold may look at its rows.
                    throw error
                } catch {
                    throw (error as? RecordFault) ?? RecordFault(position: record.position, reason: "\(error)")
                }
                reached = record.position
                recordedAt = record.recordedAt
            }
            guard reached > before else {
                throw RecordFault(position: reached + 1, reason: "the log does not give it, though it ends later")
            }
        }
        try file.database.write {
            try fold.flush(into: sink)
            guard try file.advance(name: name, to: reached, recordedAt: recordedAt, digest: sink.digest) else {
                throw ProgressMoved(name: name, expected: file.position)
            }
        }
        file.position = reached
        file.recordedAt = recordedAt
        file.digest = sink.digest
        self.file = file
        board.show { shown in
            shown.progress = reached
            shown.recordedAt = recordedAt
            shown.digest = sink.digest
            if shown.state.isStopped { shown.state = .catchingUp }
            shown.flushes += 1
        }
    }
}

/// The progress in the file is not where the fold began: somebody else writes it, or a record was folded twice. Nothing
/// was written, and this projector stops.
struct ProgressMoved: Error, CustomStringConvertible {
    var name: String
    var expected: UInt64
    var description: String { "the file of read model \(name) is not at position \(expected), where it was left" }
}

/// How fast a projector goes, and how much it takes at a time.
struct ProjectorPace: Sendable {
    /// Between two flushes, when live and nobody waits: the least and the most.
    var flushNanoseconds: UInt64 = 20_000_000
    var flushNanosecondsMax: UInt64 = 250_000_000
    /// A flush is followed by a rest of so many times as long: what is dear is done seldom, and rows that many records
    /// change are written once for all of them.
    var restFactor: UInt64 = 4
    /// Of the projector's thread: events are taken first, and read models follow.
    var niceness = 10
    /// Records of one transaction: what they change is in memory until then, some 400 bytes a record in each of four
    /// projectors.
    var batchRecords: UInt64 = 50_000
    /// Records and bytes of one read of the log: its transactions stay short.
    var chunkRecords = 10_000
    var chunkBytes = 8 << 20
    /// After an error of SQLite.
    var retryNanoseconds: UInt64 = 1_000_000_000

    /// How long to rest after a step that took `nanoseconds`.
    func rest(after nanoseconds: UInt64) -> UInt64 {
        let (wanted, overflow) = nanoseconds.multipliedReportingOverflow(by: restFactor)
        return max(flushNanoseconds, min(overflow ? .max : wanted, flushNanosecondsMax))
    }
}
