internal import CSQLite

/// What SQLite said when it could not do something. Never holds bound values: they are customers' data.
public struct SQLiteError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Extended result code (https://www.sqlite.org/rescode.html); its low byte is the primary code.
    public var code: Int32
    /// SQLite's own words.
    public var message: String
    /// The statement or operation, with `?` where values were.
    public var sql: String

    public init(code: Int32, message: String, sql: String) {
        self.code = code
        self.message = message
        self.sql = sql
    }

    /// The file is not a database, or damaged: a read model is then deleted and built again.
    public var isCorrupt: Bool { code & 0xFF == SQLITE_CORRUPT || code & 0xFF == SQLITE_NOTADB }
    /// Another connection held a lock for longer than the busy timeout.
    public var isBusy: Bool { code & 0xFF == SQLITE_BUSY || code & 0xFF == SQLITE_LOCKED }
    /// No room on the disk.
    public var isFull: Bool { code & 0xFF == SQLITE_FULL }
    /// The file cannot be opened; for a read-only connection: it is not there.
    public var isCannotOpen: Bool { code & 0xFF == SQLITE_CANTOPEN }

    public var description: String { "SQLite error \(code): \(message) (in: \(sql))" }
}
