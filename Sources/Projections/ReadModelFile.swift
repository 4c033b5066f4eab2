public import Billing
import Glibc
public import Hashing
internal import Platform
internal import SQLite
internal import Schemas

/// The file of one read model: its tables, and the row that says how far it is.
struct ReadModelFile {
    /// "TLYS": the file is one of ours.
    static let applicationID: Int64 = 0x544C_5953
    /// Of the tables that every read model has; a change rebuilds all of them.
    static let layoutVersion = 1

    let database: Database
    var position: UInt64
    var recordedAt: Timestamp?
    var digest: MultisetDigest

    static func path(folder: String, name: String) -> String { "\(folder)/\(name).sqlite" }

    /// Opens the file, made new when it is absent, damaged, or of another schema version: a read model is a cache, and
    /// the log gives the same rows again.
    init<P: Projection>(folder: String, of projection: P.Type) throws(SQLiteError) {
        let path = Self.path(folder: folder, name: P.name)
        do {
            if let file = try Self(existing: path, of: P.self) {
                self = file
                return
            }
        } catch {
            guard error.isCorrupt else { throw error }
        }
        Self.delete(path)
        try self.init(new: path, of: P.self)
    }

    static func delete(_ path: String) {
        for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) }
    }

    static func version<P: Projection>(of projection: P.Type) -> Int64 {
        precondition((1...9_999).contains(P.schemaVersion), "\(P.name): schema version \(P.schemaVersion)")
        return Int64(layoutVersion * 10_000 + P.schemaVersion)
    }

    private init?<P: Projection>(existing path: String, of projection: P.Type) throws(SQLiteError) {
        // What SQLite makes beside the file is given the file's owner by SQLite itself.
        File.makeForFolder(path)
        let database = try Database(path: path, mode: .readWrite)
        guard try database.integer("PRAGMA application_id") == Self.applicationID,
            try database.integer("PRAGMA user_version") == Self.version(of: P.self)
        else { return nil }
        try self.init(database: database, name: P.name)
    }

    /// From the row of progress; nil when there is none.
    init?(database: Database, name: String) throws(SQLiteError) {
        let statement = try database.statement("SELECT position, recorded_at, digest FROM progress WHERE name = ?")
        try statement.bind(name, at: 0)
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        guard let digest = MultisetDigest(bytes: statement.blob(at: 2)) else { return nil }
        self.database = database
        self.digest = digest
        position = UInt64(statement.integer(at: 0))
        recordedAt = statement.isNull(at: 1) ? nil : Timestamp(microseconds: statement.integer(at: 1))
    }

    /// Makes the file. An empty path: a temporary one of SQLite's own.
    init<P: Projection>(new path: String, of projection: P.Type) throws(SQLiteError) {
        if !path.isEmpty { File.makeForFolder(path) }
        database = try Database(path: path, mode: .readWrite)
        position = 0
        recordedAt = nil
        digest = MultisetDigest()
        try database.run("BEGIN IMMEDIATE")
        try database.run(script: String(decoding: Schema.readModel, as: UTF8.self))
        try database.run(script: String(decoding: P.schema, as: UTF8.self))
        try database.run(
            "INSERT INTO progress (name, position, recorded_at, digest) VALUES (?, 0, NULL, ?)", .text(P.name),
            .blob(digest.bytes))
        try database.run(script: "PRAGMA application_id = \(Self.applicationID)")
        try database.run(script: "PRAGMA user_version = \(Self.version(of: P.self))")
        try database.run("COMMIT")
    }

    /// Moves the progress from `position` on, inside the transaction that writes the rows: applying twice is
    /// impossible.
    mutating func advance(
        name: String, to last: UInt64, recordedAt: Timestamp, digest: MultisetDigest
    ) throws(SQLiteError) -> Bool {
        let changed = try database.run(
            "UPDATE progress SET position = ?, recorded_at = ?, digest = ? WHERE name = ? AND position = ?",
            .integer(Int64(last)), .integer(recordedAt.microseconds), .blob(digest.bytes), .text(name),
            .integer(Int64(position)))
        return changed == 1
    }
}

/// What a read model's file says of itself, and what its rows say.
public struct StoredReadModel: Hashable, Sendable {
    /// The last position whose record is in the rows.
    public var position: UInt64
    /// When that record was stored; nil at 0.
    public var recordedAt: Timestamp?
    /// As kept beside the progress.
    public var digest: MultisetDigest
    /// Of the rows, all read in the same transaction: differs when the file is damaged.
    public var digestOfRows: MultisetDigest
}

/// A read model's file as it is at one moment, beside a running daemon or not: what it says of itself now, and its rows
/// when asked. Holds a read transaction until it is let go.
public final class ReadModelSnapshot: Sendable {
    /// The last position whose record is in the rows.
    public let position: UInt64
    /// When that record was stored; nil at 0.
    public let recordedAt: Timestamp?
    /// As kept beside the progress.
    public let digest: MultisetDigest
    private let tables: [Table]
    /// A connection is for one thread at a time.
    private let file: Lock<ReadModelFile>

    fileprivate init(_ file: ReadModelFile, tables: [Table]) {
        position = file.position
        recordedAt = file.recordedAt
        digest = file.digest
        self.tables = tables
        self.file = Lock(file)
    }

    /// Of all rows, read at the same moment as the rest: differs when the file is damaged.
    /// - Throws: `SQLiteError`.
    public func digestOfRows() throws -> MultisetDigest {
        try file.withLock { try DatabaseSink.digest(of: tables, in: $0.database) }
    }
}

extension Projection {
    /// Looks at a read model's file. Nil when there is none, or one of another schema version, which a daemon would
    /// build anew.
    /// - Throws: `SQLiteError`.
    public static func snapshot(in folder: String) throws -> ReadModelSnapshot? {
        let path = ReadModelFile.path(folder: folder, name: name)
        guard access(path, F_OK) == 0 else { return nil }
        let database = try Database(path: path, mode: .readOnly)
        // Ends with the connection. The first read fixes the moment.
        try database.run("BEGIN")
        guard try database.integer("PRAGMA application_id") == ReadModelFile.applicationID,
            try database.integer("PRAGMA user_version") == ReadModelFile.version(of: Self.self),
            let file = try ReadModelFile(database: database, name: name)
        else { return nil }
        return ReadModelSnapshot(file, tables: tables)
    }

    /// The same, rows and all.
    public static func stored(in folder: String) throws -> StoredReadModel? {
        guard let snapshot = try snapshot(in: folder) else { return nil }
        return StoredReadModel(
            position: snapshot.position, recordedAt: snapshot.recordedAt, digest: snapshot.digest,
            digestOfRows: try snapshot.digestOfRows())
    }

    /// Copies the read model of `folder`, as it is at one moment, to `target`, beside a running daemon or not. False
    /// when there is none of this schema version: it is folded from the log then.
    /// - Throws: `SQLiteError`.
    public static func copy(from folder: String, to target: String) throws -> Bool {
        let path = ReadModelFile.path(folder: folder, name: name)
        guard access(path, F_OK) == 0 else { return false }
        let database = try Database(path: path, mode: .readOnly)
        return try database.read {
            guard try database.integer("PRAGMA application_id") == ReadModelFile.applicationID,
                try database.integer("PRAGMA user_version") == ReadModelFile.version(of: Self.self)
            else { return false }
            File.makeForFolder(ReadModelFile.path(folder: target, name: name))
            try database.copy(to: ReadModelFile.path(folder: target, name: name))
            return true
        }
    }

    /// Makes the file one that can be read without anything being written beside it: no WAL. Nobody has it open.
    /// - Throws: `SQLiteError`.
    public static func settle(in folder: String) throws {
        let database = try Database(path: ReadModelFile.path(folder: folder, name: name), mode: .readWrite)
        _ = try database.first("PRAGMA journal_mode = DELETE") { _ in true }
    }
}
