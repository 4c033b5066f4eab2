internal import Billing
internal import Hashing
public import Records
internal import SQLite

/// A read model of the past: folded from records handed to it, asked by the very queries that answer for today. Its
/// rows are in a temporary file of SQLite's own, which is gone with it.
public struct PastModel<P: Projection> {
    private let log: any RecordSource
    private let database: Database
    private let sink: DatabaseSink
    private let catalog = CachedCatalog()
    private var fold = P()
    private var gathered = 0
    /// Of the last record that was taken.
    public private(set) var position: UInt64 = 0

    /// - Parameter log: where corrected calls and rules are looked up.
    public init(_ projection: P.Type, log: any RecordSource) throws {
        self.log = log
        database = try ReadModelFile(new: "", of: P.self).database
        sink = DatabaseSink(database, digest: MultisetDigest())
    }

    /// Takes the next record that counts.
    public mutating func apply(_ record: Record) throws {
        try fold.apply(record, log: log)
        position = record.position
        gathered += 1
        if gathered == Refold.flushRecords { try flush() }
    }

    public mutating func answer<Q: Query>(_ query: Q) throws -> Q.Answer {
        precondition(Q.model == P.name, "a question to \(Q.model), asked of \(P.name)")
        try flush()
        return try query.answer(
            from: Reader(database: database, position: position, log: log, catalog: catalog))
    }

    private mutating func flush() throws {
        try database.run("BEGIN")
        try fold.flush(into: sink)
        try database.run("COMMIT")
        gathered = 0
    }
}
