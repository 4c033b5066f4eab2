internal import Billing
internal import Records
internal import SQLite

/// A projection that keeps a book and follows what each record did to it. In the daemon every one has a book of its
/// own, beside its rows; a refold of several at one position folds one book for all of them.
protocol BookProjection: Projection {
    /// Of its own, until a refold gives it another one.
    var rows: BookRows { get set }
    /// The tables beside those of the book.
    static var ownTables: [Table] { get }

    /// Restores what is kept beside the book, which is restored already.
    mutating func loadOwn(from database: Database, at position: UInt64, log: any RecordSource) throws
    /// Folds a record that the book has taken, with what it did there.
    mutating func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws
    /// Hands over rows that are only ever added, in the middle of a flush's records: those a sink in memory need not
    /// keep.
    mutating func drain(into sink: any RowSink) throws
    /// Hands over all that was gathered since the last flush, but for the rows of the book.
    mutating func flushOwn(into sink: any RowSink) throws
}

extension BookProjection {
    public static var tables: [Table] { BookRows.tables.all + ownTables }

    public mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try rows.load(from: database, log: log)
        try loadOwn(from: database, at: position, log: log)
    }

    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        let outcome = try rows.apply(record)
        try follow(record, outcome, log: log)
    }

    mutating func drain(into sink: any RowSink) throws {}

    public func check(at position: UInt64) throws { try rows.check(at: position) }

    public mutating func flush(into sink: any RowSink) throws {
        try flushOwn(into: sink)
        try rows.flush(into: sink)
    }
}
