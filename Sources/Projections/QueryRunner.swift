internal import Platform
internal import SQLite

/// Runs queries on a thread of its own, one after the other, over read-only connections: one to each read model.
actor QueryRunner {
    private struct Connection {
        var database: Database
        /// Of the file, as the board counts.
        var generation: UInt64
        var catalog: CachedCatalog
    }

    /// Behind the threads that take events, before those that fold them: somebody waits for the answer.
    static let niceness = 2

    private nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let folder: String
    private let log: any RecordSource
    private var connections: [String: Connection] = [:]

    init(folder: String, log: any RecordSource, number: Int) {
        executor = ThreadExecutor(name: "query \(number)", niceness: QueryRunner.niceness)
        self.folder = folder
        self.log = log
    }

    func run<Q: Query>(_ query: Q, board: ProgressBoard) -> Result<Seen<Q.Answer>, QueryError> {
        do {
            let connection = try connection(to: Q.model, generation: board.shown.generation)
            return .success(
                try connection.database.read {
                    // The first read: from here on the transaction sees one state of the file.
                    let progress = try connection.database.integer(
                        "SELECT position FROM progress WHERE name = ?", .text(Q.model))
                    guard let progress else { throw QueryError.unavailable(model: Q.model) }
                    let reader = Reader(
                        database: connection.database, position: UInt64(progress), log: log,
                        catalog: connection.catalog)
                    return Seen(position: reader.position, answer: try query.answer(from: reader))
                })
        } catch let error as QueryError {
            return .failure(error)
        } catch {
            // Whatever it was, the next query begins with a new connection.
            connections[Q.model] = nil
            if let error = error as? SQLiteError, error.isCannotOpen { return .failure(.unavailable(model: Q.model)) }
            return .failure(.failed(model: Q.model, reason: "\(error)"))
        }
    }

    private func connection(to model: String, generation: UInt64) throws -> Connection {
        guard generation > 0 else { throw QueryError.unavailable(model: model) }
        if let connection = connections[model], connection.generation == generation { return connection }
        connections[model] = nil
        let database = try Database(path: ReadModelFile.path(folder: folder, name: model), mode: .readOnly)
        let connection = Connection(database: database, generation: generation, catalog: CachedCatalog())
        connections[model] = connection
        return connection
    }

    /// Closes all connections.
    func close() {
        connections = [:]
    }
}
