internal import CSQLite

/// One connection to one SQLite file, for one thread at a time (an actor on a thread of its own, say).
public final class Database {
    public enum Mode: Hashable, Sendable {
        /// Made when absent; WAL, synchronous NORMAL: a power cut may lose the newest transactions, never order or
        /// shape.
        case readWrite
        /// Must exist.
        case readOnly
    }

    /// How long a statement waits for another connection's lock.
    public static let busyTimeoutMilliseconds: Int32 = 5_000
    /// Page cache of a connection that writes: the leaves that some thousands of owners' next rows go to.
    public static let writerCacheBytes = 24 << 20
    /// Page cache of one that reads; there are more of these.
    public static let readerCacheBytes = 4 << 20
    /// A commit that leaves more than this in the WAL brings its pages back to the file. A page that many commits
    /// changed is copied once, so the more the cheaper; readers look through all of it.
    public static let walBytesBeforeCheckpoint = 32 << 20
    /// What files are made with, and what the bytes before a checkpoint are counted in.
    public static let pageBytes = 4096
    /// The WAL file is cut back to this after a checkpoint.
    public static let walBytesKept = 64 << 20
    /// Statements kept prepared; past it all are prepared anew.
    public static let statementsMax = 256

    public let path: String
    private let handle: OpaquePointer
    private var statements: [String: Statement] = [:]

    /// Once in the process, before the first connection. A second library in the process that uses SQLite already would
    /// only leave the statistics on.
    private static let hasNoMemoryStatistics = tally_sqlite_config_no_memory_statistics() == SQLITE_OK

    /// Opens `path`. Statements may say `wide_sum(column)` (`WideInteger`). Nothing in the file is trusted: no
    /// extensions, no schema that runs code, no double-quoted strings.
    public init(path: String, mode: Mode) throws(SQLiteError) {
        _ = Database.hasNoMemoryStatistics
        var handle: OpaquePointer?
        let access = mode == .readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        // NOMUTEX: one thread at a time is this type's contract. NOFOLLOW would refuse links in the data folder's path.
        let code = sqlite3_open_v2(path, &handle, access | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let handle else {
            let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            let extended = handle.map { sqlite3_extended_errcode($0) } ?? code
            sqlite3_close_v2(handle)
            throw SQLiteError(code: extended, message: message, sql: "open \(path)")
        }
        self.path = path
        self.handle = handle
        sqlite3_extended_result_codes(handle, 1)
        sqlite3_busy_timeout(handle, Database.busyTimeoutMilliseconds)
        for (option, value) in [
            (SQLITE_DBCONFIG_DEFENSIVE, 1), (SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0), (SQLITE_DBCONFIG_DQS_DML, 0),
            (SQLITE_DBCONFIG_DQS_DDL, 0), (SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
        ] {
            let code = tally_sqlite_db_config_int(handle, Int32(option), Int32(value))
            precondition(code == SQLITE_OK, "sqlite3_db_config \(option): \(code)")
        }
        let registered = tally_sqlite_register_wide_sum(handle)
        precondition(registered == SQLITE_OK, "sqlite3_create_function_v2: \(registered)")
        let cacheBytes = mode == .readOnly ? Database.readerCacheBytes : Database.writerCacheBytes
        try run(
            script: """
                PRAGMA cache_size = -\(cacheBytes / 1024);
                PRAGMA mmap_size = 0;
                PRAGMA temp_store = MEMORY;
                """)
        if mode == .readWrite {
            try run(
                script: """
                    PRAGMA page_size = \(Database.pageBytes);
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = NORMAL;
                    PRAGMA wal_autocheckpoint = \(Database.walBytesBeforeCheckpoint / Database.pageBytes);
                    PRAGMA journal_size_limit = \(Database.walBytesKept);
                    """)
        } else {
            try run(script: "PRAGMA query_only = 1;")
        }
    }

    deinit {
        sqlite3_close_v2(handle)
    }

    func error(sql: String) -> SQLiteError {
        SQLiteError(
            code: sqlite3_extended_errcode(handle), message: String(cString: sqlite3_errmsg(handle)), sql: sql)
    }

    /// Runs statements without parameters or results, one after the other: a schema, pragmas.
    public func run(script: String) throws(SQLiteError) {
        if sqlite3_exec(handle, script, nil, nil, nil) != SQLITE_OK { throw error(sql: script) }
    }

    /// The prepared statement for `sql`, from the cache or made. It must not be running.
    public func statement(_ sql: String) throws(SQLiteError) -> Statement {
        if let statement = statements[sql] {
            precondition(!statement.isRunning, "the statement is running already: \(sql)")
            return statement
        }
        var prepared: OpaquePointer?
        var text = sql
        var complete = true
        let code = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                var tail: UnsafePointer<CChar>?
                let code = sqlite3_prepare_v3(
                    handle, characters.baseAddress, Int32(characters.count), UInt32(SQLITE_PREPARE_PERSISTENT),
                    &prepared, &tail)
                if let tail, let start = characters.baseAddress { complete = tail - start == characters.count }
                return code
            }
        }
        if code != SQLITE_OK { throw error(sql: sql) }
        guard let prepared, complete else { preconditionFailure("not exactly one statement: \(sql)") }
        if statements.count >= Database.statementsMax { statements.removeAll() }
        let statement = Statement(handle: prepared, connection: handle, sql: sql)
        statements[sql] = statement
        return statement
    }

    /// Runs one statement to its end and gives how many rows it changed.
    @discardableResult
    public func run(_ sql: String, _ values: Value...) throws(SQLiteError) -> Int {
        let statement = try statement(sql)
        try statement.bind(values)
        while try statement.step() {}
        return Int(sqlite3_changes(handle))
    }

    /// Calls `body` with the statement on each row.
    public func rows(_ sql: String, _ values: Value..., body: (Statement) throws -> Void) throws {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { if statement.isRunning { statement.reset() } }
        while try statement.step() { try body(statement) }
    }

    /// What `body` makes of the first row; nil when there is none.
    public func first<Result>(_ sql: String, _ values: Value..., body: (Statement) throws -> Result) throws -> Result? {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { if statement.isRunning { statement.reset() } }
        return try statement.step() ? try body(statement) : nil
    }

    /// The first column of the first row, an integer; nil when there is no row or it is null.
    public func integer(_ sql: String, _ values: Value...) throws(SQLiteError) -> Int64? {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { if statement.isRunning { statement.reset() } }
        guard try statement.step(), !statement.isNull(at: 0) else { return nil }
        return statement.integer(at: 0)
    }

    /// Runs `body` in a transaction that takes the write lock at once; rolled back when `body` throws.
    @discardableResult
    public func write<Result>(_ body: () throws -> Result) throws -> Result {
        try transaction(begin: "BEGIN IMMEDIATE", body)
    }

    /// Runs `body` in a transaction that sees one state of the file, from its first read on.
    @discardableResult
    public func read<Result>(_ body: () throws -> Result) throws -> Result {
        try transaction(begin: "BEGIN", body)
    }

    private func transaction<Result>(begin: String, _ body: () throws -> Result) throws -> Result {
        precondition(sqlite3_get_autocommit(handle) != 0, "a transaction in a transaction")
        try run(begin)
        do {
            let result = try body()
            try run("COMMIT")
            return result
        } catch {
            // After some errors (full, I/O) SQLite has rolled back by itself.
            if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    /// Copies the whole file, as this connection sees it, into a new file at `path`. Inside `read` it is that
    /// transaction's state, whatever others write meanwhile; they can go on, but their WAL is not cut back before the
    /// end. Not synced: the caller does that (sqlite3_backup_init).
    public func copy(to path: String) throws(SQLiteError) {
        var target: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let opened = sqlite3_open_v2(path, &target, flags, nil)
        defer { sqlite3_close_v2(target) }
        func fault(_ code: Int32) -> SQLiteError {
            let message = target.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            return SQLiteError(code: code, message: message, sql: "copy to \(path)")
        }
        guard opened == SQLITE_OK else { throw fault(opened) }
        guard sqlite3_exec(target, "PRAGMA synchronous = OFF", nil, nil, nil) == SQLITE_OK,
            let backup = sqlite3_backup_init(target, "main", handle, "main")
        else { throw fault(sqlite3_extended_errcode(target)) }
        let stepped = sqlite3_backup_step(backup, -1)
        let finished = sqlite3_backup_finish(backup)
        guard stepped == SQLITE_DONE && finished == SQLITE_OK else {
            throw fault(finished == SQLITE_OK ? stepped : finished)
        }
    }
}
