internal import CLMDB

/// A look at one moment of an environment. Kept short: it pins every page it can see. Ends when it goes out of scope.
struct ReadTransaction: ~Copyable {
    let handle: OpaquePointer

    init(_ environment: Environment) throws(LogError) {
        var begun: OpaquePointer?
        try check(mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &begun), "mdb_txn_begin for reading")
        guard let begun else { preconditionFailure("mdb_txn_begin gave no transaction") }
        handle = begun
    }

    deinit { mdb_txn_abort(handle) }

    /// Ends it and keeps the databases that were opened in it; an abort would close them.
    consuming func keepDatabases() throws(LogError) {
        let handle = handle
        discard self
        try check(mdb_txn_commit(handle), "mdb_txn_commit of a reader")
    }
}

/// A change of an environment, on disk when `commit` returns, never made when it goes out of scope before.
struct WriteTransaction: ~Copyable {
    let handle: OpaquePointer

    @available(*, noasync, message: "LMDB ties a write transaction to its thread")
    init(_ environment: Environment) throws(LogError) {
        var begun: OpaquePointer?
        try check(mdb_txn_begin(environment.handle, nil, 0, &begun), "mdb_txn_begin for writing")
        guard let begun else { preconditionFailure("mdb_txn_begin gave no transaction") }
        handle = begun
    }

    deinit { mdb_txn_abort(handle) }

    /// The code of `mdb_txn_commit`; whatever it is, the transaction is gone.
    consuming func commitCode() -> Int32 {
        let handle = handle
        discard self
        return mdb_txn_commit(handle)
    }

    consuming func commit() throws(LogError) {
        let code = commitCode()
        guard code == 0 || LogError.isFull(code) else { throw .commitFailed(code: code, operation: "mdb_txn_commit") }
        try check(code, "mdb_txn_commit")
    }
}

/// A place in a database, valid as long as the transaction it was opened in.
struct Cursor: ~Copyable {
    let handle: OpaquePointer

    init(_ transaction: OpaquePointer, _ database: Database) throws(LogError) {
        var opened: OpaquePointer?
        try check(mdb_cursor_open(transaction, database.number, &opened), "mdb_cursor_open")
        guard let opened else { preconditionFailure("mdb_cursor_open gave no cursor") }
        handle = opened
    }

    deinit { mdb_cursor_close(handle) }

    /// The entry that a move without a key leads to: MDB_FIRST, MDB_LAST, MDB_NEXT, MDB_PREV.
    borrowing func move(_ operation: MDB_cursor_op) throws(LogError) -> (
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    )? {
        var key = MDB_val()
        var value = MDB_val()
        let code = mdb_cursor_get(handle, &key, &value, operation)
        if code == MDB_NOTFOUND { return nil }
        try check(code, "mdb_cursor_get")
        return (bytes(of: key), bytes(of: value))
    }

    /// The first entry whose key is not below.
    borrowing func seek(_ key: UInt64) throws(LogError) -> (
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    )? {
        var number = key
        var found = MDB_val()
        var value = MDB_val()
        let code = withUnsafeMutableBytes(of: &number) { raw in
            found = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
            return mdb_cursor_get(handle, &found, &value, MDB_SET_RANGE)
        }
        if code == MDB_NOTFOUND { return nil }
        try check(code, "mdb_cursor_get")
        return (bytes(of: found), bytes(of: value))
    }
}

func bytes(of value: MDB_val) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
}

/// An integer key as stored: 8 bytes, native order (MDB_INTEGERKEY), which is little-endian wherever this runs.
func integerKey(_ bytes: UnsafeRawBufferPointer) throws(LogError) -> UInt64 {
    guard bytes.count == 8 else { throw .corrupt(position: 0, reason: "a key of \(bytes.count) bytes") }
    return bytes.loadUnaligned(as: UInt64.self)
}

/// The value under an integer key.
func getValue(
    _ transaction: OpaquePointer, _ database: Database, _ key: UInt64
) throws(LogError) -> UnsafeRawBufferPointer? {
    var number = key
    var value = MDB_val()
    let code = withUnsafeMutableBytes(of: &number) { raw in
        var wanted = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
        return mdb_get(transaction, database.number, &wanted, &value)
    }
    if code == MDB_NOTFOUND { return nil }
    try check(code, "mdb_get")
    return bytes(of: value)
}

/// The value under a name.
func getValue(_ transaction: OpaquePointer, _ database: Database, _ name: StaticString) throws(LogError) -> [UInt8]? {
    var wanted = MDB_val(mv_size: name.utf8CodeUnitCount, mv_data: UnsafeMutableRawPointer(mutating: name.utf8Start))
    var value = MDB_val()
    let code = mdb_get(transaction, database.number, &wanted, &value)
    if code == MDB_NOTFOUND { return nil }
    try check(code, "mdb_get \(name)")
    return Array(bytes(of: value))
}

/// Makes room for a value under an integer key and lets `fill` write it, without a copy in between.
func putValue(
    _ transaction: OpaquePointer, _ database: Database, _ key: UInt64, count: Int, flags: Int32,
    _ fill: (UnsafeMutableRawBufferPointer) -> Void
) throws(LogError) {
    var number = key
    var value = MDB_val(mv_size: count, mv_data: nil)
    let code = withUnsafeMutableBytes(of: &number) { raw in
        var wanted = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
        return mdb_put(transaction, database.number, &wanted, &value, UInt32(flags | MDB_RESERVE))
    }
    try check(code, "mdb_put")
    fill(UnsafeMutableRawBufferPointer(start: value.mv_data, count: count))
}

/// Stores a value under a name.
func putValue(
    _ transaction: OpaquePointer, _ database: Database, _ name: StaticString, _ bytes: [UInt8]
) throws(LogError) {
    var wanted = MDB_val(mv_size: name.utf8CodeUnitCount, mv_data: UnsafeMutableRawPointer(mutating: name.utf8Start))
    var copy = bytes
    let code = copy.withUnsafeMutableBytes { raw in
        var value = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
        return mdb_put(transaction, database.number, &wanted, &value, 0)
    }
    try check(code, "mdb_put \(name)")
}
