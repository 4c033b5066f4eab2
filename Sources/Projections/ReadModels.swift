internal import Billing
internal import Hashing
internal import Platform

/// All read models of a data folder: their projectors, and queries on them.
public final class ReadModels: Sendable {
    /// Queries waiting or running; past it a query is refused.
    public static let queriesPendingMax = 256
    /// Threads that run queries.
    public static let runnersDefault = 2

    /// In the order in which they are started and listed.
    public static let all: [any Projection.Type] = [Calls.self, Credits.self, Tokens.self, Lago.self, Alerts.self]

    private let source: any RecordSource
    private let projectors: [any ProjectorDriver]
    private let runners: [QueryRunner]
    private let tasks = Lock<[Task<Void, Never>]>([])
    private let pending = Lock((count: 0, next: 0))

    /// `folder` must exist.
    public convenience init(
        folder: String, source: any RecordSource, projections: [any Projection.Type] = ReadModels.all,
        runners: Int = ReadModels.runnersDefault
    ) {
        self.init(folder: folder, source: source, projections: projections, runners: runners, pace: ProjectorPace())
    }

    init(
        folder: String, source: any RecordSource, projections: [any Projection.Type], runners: Int,
        pace: ProjectorPace
    ) {
        precondition(runners > 0, "\(runners) query threads")
        func projector<P: Projection>(_ type: P.Type) -> any ProjectorDriver {
            Projector<P>(folder: folder, source: source, pace: pace)
        }
        self.source = source
        projectors = projections.map { projector($0) }
        precondition(Set(projectors.map(\.name)).count == projectors.count, "two projections with one name")
        self.runners = (0..<runners).map { QueryRunner(folder: folder, log: source, number: $0) }
    }

    /// Opens every read model, compares it with the log, and lets the projectors run. Once only. Throws when a read
    /// model does not belong to this log; one that merely cannot be opened shows as stopped and is tried again.
    public func start() async throws(ProjectionError) {
        for projector in projectors {
            do {
                try await projector.open()
            } catch {
                switch error {
                case .logOlderThanReadModel, .otherLog: throw error
                case .log, .sqlite: projector.board.show { $0.state = .stopped("\(error)") }
                }
            }
        }
        let boards = projectors.map(\.board)
        source.onAppend { _ in
            for board in boards { board.call() }
        }
        tasks.withLock { tasks in
            precondition(tasks.isEmpty, "started twice")
            tasks = projectors.map { projector in Task { await projector.run() } }
        }
    }

    /// Waits until every read model that moves has seen all that the log has now, that long at most: so that a folder
    /// at rest is level. Nothing is lost without it; the next start goes on from where they are.
    public func settle(timeoutMilliseconds: Int) async {
        let end = source.highWater
        let until = SteadyClock.nanoseconds() + UInt64(timeoutMilliseconds) * 1_000_000
        for projector in projectors {
            let now = SteadyClock.nanoseconds()
            guard now < until else { return }
            await wait(projector.name, until: end, timeoutMilliseconds: Int((until - now) / 1_000_000))
        }
    }

    /// Lets each projector finish its transaction, and closes all files. Progress is kept: a start goes on from there.
    public func stop() async {
        for projector in projectors { projector.board.stop() }
        // Readers first: the last connection to close writes the WAL back, and a reader cannot.
        for runner in runners { await runner.close() }
        for task in tasks.withLock({ $0 }) { await task.value }
    }

    public var statuses: [ProjectorStatus] {
        projectors.map { status(of: $0) }
    }

    /// Nil for a name that is none.
    public func status(_ name: String) -> ProjectorStatus? {
        projector(name).map { status(of: $0) }
    }

    private func status(of projector: any ProjectorDriver) -> ProjectorStatus {
        let shown = projector.board.shown
        return ProjectorStatus(
            name: projector.name, progress: shown.progress, highWater: max(source.highWater, shown.progress),
            state: shown.state, digest: Digest(bytes: shown.digest.bytes).hex, recordedAt: shown.recordedAt,
            flushes: shown.flushes)
    }

    private func projector(_ name: String) -> (any ProjectorDriver)? {
        projectors.first { $0.name.utf8.elementsEqual(name.utf8) }
    }

    /// Waits until the read model has seen `position`, at most that long, and gives its progress then. Does not wait
    /// for one that is stopped. Traps on a name that is none.
    @discardableResult
    public func wait(_ name: String, until position: UInt64, timeoutMilliseconds: Int) async -> UInt64 {
        guard let projector = projector(name) else { preconditionFailure("no read model \(name)") }
        return await projector.board.wait(until: position, milliseconds: timeoutMilliseconds)
    }

    /// Answers a query from one state of its read model.
    public func ask<Q: Query>(_ query: Q) async throws(QueryError) -> Seen<Q.Answer> {
        guard let projector = projector(Q.model) else { preconditionFailure("no read model \(Q.model)") }
        let number: Int? = pending.withLock { pending in
            guard pending.count < Self.queriesPendingMax else { return nil }
            pending.count += 1
            pending.next = (pending.next + 1) % runners.count
            return pending.next
        }
        guard let number else { throw .overloaded }
        defer { pending.withLock { $0.count -= 1 } }
        return try await runners[number].run(query, board: projector.board).get()
    }

    /// Folds the log into the read models of `folder` until each has seen all that `source` has or has stopped, closes
    /// them, and says how far they are.
    public static func catchUp(
        folder: String, source: any RecordSource
    ) async throws(ProjectionError) -> [ProjectorStatus] {
        let models = ReadModels(folder: folder, source: source)
        try await models.start()
        for projector in models.projectors {
            await models.wait(
                projector.name, until: source.highWater, timeoutMilliseconds: catchUpMillisecondsMax)
        }
        let statuses = models.statuses
        await models.stop()
        return statuses
    }

    private static let catchUpMillisecondsMax = 24 * 3600 * 1000
}
