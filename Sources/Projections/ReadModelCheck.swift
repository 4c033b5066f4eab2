public import Hashing
internal import SQLite

/// What a read model's file says of itself, and what its rows say: read in one transaction, beside a running daemon
/// too.
public struct ReadModelCheck: Sendable {
    public var name: String
    /// The last position folded.
    public var position: UInt64
    /// Kept beside the progress as rows changed.
    public var kept: MultisetDigest
    /// Of the rows, all read now.
    public var rows: MultisetDigest

    /// Nil when there is no file: a read model that was never built, or was deleted to be built again.
    public static func read<P: Projection>(_ projection: P.Type, folder: String) throws -> ReadModelCheck? {
        let path = ReadModelFile.path(folder: folder, name: P.name)
        let database: Database
        do {
            database = try Database(path: path, mode: .readOnly)
        } catch {
            if error.isCannotOpen { return nil }
            throw error
        }
        return try database.read {
            guard try database.integer("PRAGMA user_version") == ReadModelFile.version(of: P.self) else {
                throw ReadModelFault(name: P.name, reason: "it has another schema version; the daemon builds it anew")
            }
            let statement = try database.statement("SELECT position, digest FROM progress WHERE name = ?")
            try statement.bind(P.name, at: 0)
            guard try statement.step(), let kept = MultisetDigest(bytes: statement.blob(at: 1)) else {
                throw ReadModelFault(name: P.name, reason: "it does not say how far it is")
            }
            let position = UInt64(statement.integer(at: 0))
            statement.reset()
            return ReadModelCheck(
                name: P.name, position: position, kept: kept, rows: try P.digest(of: database))
        }
    }
}

/// A read model's file that cannot be checked.
public struct ReadModelFault: Error, CustomStringConvertible {
    public var name: String
    public var reason: String
    public var description: String { "read model \(name): \(reason)" }
}
