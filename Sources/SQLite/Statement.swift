internal import CSQLite

/// A prepared statement of one `Database`, reused for every run of its SQL. Parameters and columns count from 0.
///
/// Get it from `Database.statement`, bind every parameter, `step` until it gives false, then `reset`.
public final class Statement {
    public let sql: String
    private let handle: OpaquePointer
    private let connection: OpaquePointer
    private let parameterCount: Int
    private let columnCount: Int
    private let row: UnsafeMutablePointer<tally_sqlite_cell>
    /// Between the first `step` and `reset`: a second use of the same statement meanwhile is a bug.
    public private(set) var isRunning = false

    init(handle: OpaquePointer, connection: OpaquePointer, sql: String) {
        self.handle = handle
        self.connection = connection
        self.sql = sql
        parameterCount = Int(sqlite3_bind_parameter_count(handle))
        columnCount = Int(sqlite3_column_count(handle))
        row = .allocate(capacity: max(1, columnCount))
        row.initialize(repeating: tally_sqlite_cell(), count: max(1, columnCount))
    }

    // The connection outlives its statements: sqlite3_close_v2 waits for the last of them.
    deinit {
        sqlite3_finalize(handle)
        row.deallocate()
    }

    private func error(_ code: Int32) -> SQLiteError {
        SQLiteError(
            code: sqlite3_extended_errcode(connection), message: String(cString: sqlite3_errmsg(connection)), sql: sql)
    }

    private func check(_ code: Int32) throws(SQLiteError) {
        if code != SQLITE_OK { throw error(code) }
    }

    private func parameter(_ index: Int) -> Int32 {
        precondition(!isRunning, "bound while it runs: \(sql)")
        precondition((0..<parameterCount).contains(index), "parameter \(index) of \(parameterCount): \(sql)")
        return Int32(index + 1)
    }

    public func bind(_ value: Int64, at index: Int) throws(SQLiteError) {
        try check(sqlite3_bind_int64(handle, parameter(index), value))
    }

    public func bindNull(at index: Int) throws(SQLiteError) {
        try check(sqlite3_bind_null(handle, parameter(index)))
    }

    public func bind(_ text: String, at index: Int) throws(SQLiteError) {
        let parameter = parameter(index)
        var text = text
        let code = text.withUTF8 { bytes in
            // A null pointer would bind NULL: the empty text needs an address.
            guard let start = bytes.baseAddress else {
                return sqlite3_bind_text(handle, parameter, "", 0, tally_sqlite_transient())
            }
            return start.withMemoryRebound(to: CChar.self, capacity: bytes.count) { characters in
                sqlite3_bind_text(handle, parameter, characters, Int32(bytes.count), tally_sqlite_transient())
            }
        }
        try check(code)
    }

    /// Binds text where it is: the bytes, UTF-8, must stay until the statement is reset.
    public func bind(borrowing text: UnsafeRawBufferPointer, at index: Int) throws(SQLiteError) {
        let parameter = parameter(index)
        guard let start = text.baseAddress else {
            return try check(sqlite3_bind_text(handle, parameter, "", 0, nil))
        }
        // No destructor: SQLITE_STATIC.
        try check(
            sqlite3_bind_text(
                handle, parameter, start.assumingMemoryBound(to: CChar.self), Int32(text.count), nil))
    }

    public func bind(_ bytes: [UInt8], at index: Int) throws(SQLiteError) {
        let parameter = parameter(index)
        let code = bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress, buffer.count > 0 else {
                return sqlite3_bind_zeroblob(handle, parameter, 0)
            }
            return sqlite3_bind_blob(handle, parameter, start, Int32(buffer.count), tally_sqlite_transient())
        }
        try check(code)
    }

    public func bind(_ value: Value, at index: Int) throws(SQLiteError) {
        switch value {
        case .null: try bindNull(at: index)
        case .integer(let number): try bind(number, at: index)
        case .text(let text): try bind(text, at: index)
        case .blob(let bytes): try bind(bytes, at: index)
        }
    }

    /// Binds all parameters, from the first.
    public func bind(_ values: [Value]) throws(SQLiteError) {
        precondition(values.count == parameterCount, "\(values.count) values for \(parameterCount) parameters: \(sql)")
        for index in values.indices { try bind(values[index], at: index) }
    }

    /// Runs to the next row; false when there is none. After an error or false the statement is reset.
    @discardableResult
    public func step() throws(SQLiteError) -> Bool {
        isRunning = true
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        let failure = code == SQLITE_DONE ? nil : error(code)
        reset()
        if let failure { throw failure }
        return false
    }

    public func reset() {
        sqlite3_reset(handle)
        isRunning = false
    }

    private func column(_ index: Int) -> Int32 {
        precondition(isRunning, "no row: \(sql)")
        precondition((0..<columnCount).contains(index), "column \(index) of \(columnCount): \(sql)")
        return Int32(index)
    }

    public func isNull(at index: Int) -> Bool {
        sqlite3_column_type(handle, column(index)) == SQLITE_NULL
    }

    /// Traps when the column holds no integer: tables are STRICT, so another type is a bug of ours.
    public func integer(at index: Int) -> Int64 {
        let column = column(index)
        let type = sqlite3_column_type(handle, column)
        precondition(type == SQLITE_INTEGER, "column \(index) has type \(type), not integer: \(sql)")
        return sqlite3_column_int64(handle, column)
    }

    /// A sum of up to 128 bits: an integer, or 16 bytes (`WideInteger`). Traps on anything else.
    public func sum(at index: Int) -> Int128 {
        let column = column(index)
        if sqlite3_column_type(handle, column) == SQLITE_INTEGER { return Int128(sqlite3_column_int64(handle, column)) }
        guard let sum = WideInteger.value(blob(at: index)) else {
            preconditionFailure("column \(index) holds no sum: \(sql)")
        }
        return sum
    }

    /// Traps when the column holds no text.
    public func text(at index: Int) -> String {
        let column = column(index)
        let type = sqlite3_column_type(handle, column)
        precondition(type == SQLITE_TEXT, "column \(index) has type \(type), not text: \(sql)")
        guard let start = sqlite3_column_text(handle, column) else { return "" }
        return String(
            decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))),
            as: UTF8.self)
    }

    /// Traps when the column holds no blob.
    public func blob(at index: Int) -> [UInt8] {
        let column = column(index)
        let type = sqlite3_column_type(handle, column)
        precondition(type == SQLITE_BLOB, "column \(index) has type \(type), not blob: \(sql)")
        guard let start = sqlite3_column_blob(handle, column) else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }

    /// The columns from the first to the last as whatever they hold, even what no table of ours has: for files that may
    /// be damaged. Text and blobs are SQLite's own bytes, there until the next step or reset.
    public func forEachCell(_ body: (Int, Cell) -> Void) {
        precondition(isRunning, "no row: \(sql)")
        tally_sqlite_row(handle, Int32(columnCount), row)
        for index in 0..<columnCount {
            let cell = row[index]
            switch cell.type {
            case SQLITE_NULL: body(index, .null)
            case SQLITE_INTEGER: body(index, .integer(cell.bits))
            case SQLITE_TEXT: body(index, .text(UnsafeRawBufferPointer(start: cell.bytes, count: Int(cell.length))))
            case SQLITE_BLOB: body(index, .blob(UnsafeRawBufferPointer(start: cell.bytes, count: Int(cell.length))))
            default: body(index, .real(bits: UInt64(bitPattern: cell.bits)))
            }
        }
    }

    /// The column as whatever it holds. Traps on floating point, which no table of ours has.
    public func value(at index: Int) -> Value {
        switch sqlite3_column_type(handle, column(index)) {
        case SQLITE_NULL: return .null
        case SQLITE_INTEGER: return .integer(integer(at: index))
        case SQLITE_TEXT: return .text(text(at: index))
        case SQLITE_BLOB: return .blob(blob(at: index))
        case let type: preconditionFailure("column \(index) has type \(type): \(sql)")
        }
    }
}
