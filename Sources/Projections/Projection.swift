public import Hashing
public import Records
public import SQLite

/// A fold of the log with its own SQLite file.
///
/// `apply` is pure: it changes memory only, and gathers what the rows need. `flush` hands that over, once for many
/// records; where batches are cut changes nothing in the rows. Memory must come back from the rows, or from records
/// that the rows point at, since a projector starts from its file.
public protocol Projection: SendableMetatype {
    /// "calls": also the name of the file.
    static var name: String { get }
    /// Over 0. Another one than the file's: the file is deleted and built again.
    static var schemaVersion: Int { get }
    /// SQL of the tables, from Schemas. Tables of every read model (`progress`, `names`) are made before it.
    static var schema: [UInt8] { get }
    /// All that the digest covers.
    static var tables: [Table] { get }

    /// At position 0.
    init()

    /// Restores the memory that belongs to the rows in `database`, which are those of all records to `position`. A fold
    /// may keep `database` and read its own rows again in `apply`: they change in `flush` only. A fold that is never
    /// loaded (a refold in memory) has to know everything by itself.
    mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws

    /// Folds one record; called with every position in order. Throws what it cannot take: the projector stops before
    /// it.
    mutating func apply(_ record: Record, log: any RecordSource) throws

    /// Throws when what the fold holds after `position` cannot be. `verify` asks at the end; nothing by default.
    func check(at position: UInt64) throws

    /// Hands over all that was gathered since the last flush.
    mutating func flush(into sink: any RowSink) throws
}

extension Projection {
    public func check(at position: UInt64) throws {}

    /// The digest of the rows in the file, all read: equals the one kept beside the progress, or the file is damaged.
    public static func digest(of database: Database) throws -> MultisetDigest {
        try DatabaseSink.digest(of: tables, in: database)
    }

    /// Folds the log from 1 to `position` in memory: the digest that a read model at `position` must have.
    public static func refold(_ log: any RecordSource, through position: UInt64) throws -> MultisetDigest {
        let digests = try Refold.run([(Self.self, position)], log: log)
        return digests[0]
    }
}
