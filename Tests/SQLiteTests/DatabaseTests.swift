import Glibc
import SQLite
import Testing

@Suite struct DatabaseTests {
    private let folder = TemporaryFolder()
    private var path: String { folder.path + "/test.sqlite" }

    private func opened(_ mode: Database.Mode = .readWrite) throws -> Database {
        let database = try Database(path: path, mode: mode)
        if mode == .readWrite {
            try database.run(
                script: """
                    CREATE TABLE IF NOT EXISTS things (
                        id INTEGER PRIMARY KEY, number INTEGER, text TEXT, bytes BLOB
                    ) STRICT;
                    """)
        }
        return database
    }

    @Test(arguments: [
        [.integer(Int64.min), .text(""), .blob([])],
        [.integer(Int64.max), .text("é e\u{301} \u{0} 日\u{1F98A}"), .blob([0, 255, 0])],
        [.null, .null, .null],
    ] as [[Value]])
    func `what is bound comes back`(values: [Value]) throws {
        let database = try opened()
        #expect(try database.run("INSERT INTO things VALUES (1, ?, ?, ?)", values[0], values[1], values[2]) == 1)
        let read = try database.first("SELECT number, text, bytes FROM things WHERE id = 1") { row in
            (0..<3).map { row.value(at: $0) }
        }
        #expect(read == values)
    }

    @Test func `cells are read as they are stored, and borrowed text is stored as it is`() throws {
        let database = try opened()
        let insert = try database.statement("INSERT INTO things VALUES (1, ?, ?, ?)")
        for (text, number) in [("", -5), ("é日", Int64.max)] as [(String, Int64)] {
            try database.run("DELETE FROM things")
            let bytes = [UInt8](text.utf8)
            try bytes.withUnsafeBytes { buffer in
                try insert.bind(number, at: 0)
                try insert.bind(borrowing: bytes.isEmpty ? UnsafeRawBufferPointer(start: nil, count: 0) : buffer, at: 1)
                try insert.bind([9, 0], at: 2)
                try insert.step()
            }
            var seen = 0
            try database.rows("SELECT number, text, bytes, NULL, 0.5 FROM things") { row in
                row.forEachCell { index, cell in
                    switch (index, cell) {
                    case (0, .integer(number)), (3, .null), (4, .real(0x3FE0_0000_0000_0000)): seen += 1
                    case (1, .text(let found)): if found.elementsEqual(bytes) { seen += 1 }
                    case (2, .blob(let found)): if found.elementsEqual([9, 0]) { seen += 1 }
                    default: break
                    }
                }
            }
            #expect(seen == 5)
        }
    }

    @Test func `a file that is written keeps a bounded log beside it`() throws {
        let database = try opened()
        #expect(try database.integer("PRAGMA page_size") == Int64(Database.pageBytes))
        #expect(
            try database.integer("PRAGMA wal_autocheckpoint")
                == Int64(Database.walBytesBeforeCheckpoint / Database.pageBytes))
        #expect(try database.integer("PRAGMA cache_size") == Int64(-Database.writerCacheBytes / 1024))
        #expect(try database.integer("PRAGMA synchronous") == 1)
        let reader = try opened(.readOnly)
        #expect(try reader.integer("PRAGMA cache_size") == Int64(-Database.readerCacheBytes / 1024))
    }

    @Test func `texts that only look the same are two texts`() throws {
        let database = try opened()
        try database.run("INSERT INTO things (text) VALUES (?), (?)", .text("é"), .text("e\u{301}"))
        #expect(try database.integer("SELECT count(*) FROM things WHERE text = ?", .text("é")) == 1)
        #expect(Value.text("é") != Value.text("e\u{301}"))
    }

    @Test func `a transaction that throws leaves nothing`() throws {
        struct Stop: Error {}
        let database = try opened()
        #expect(throws: Stop.self) {
            try database.write {
                try database.run("INSERT INTO things (number) VALUES (1)")
                throw Stop()
            }
        }
        #expect(try database.integer("SELECT count(*) FROM things") == 0)
        try database.write { try database.run("INSERT INTO things (number) VALUES (2)") }
        #expect(try database.integer("SELECT sum(number) FROM things") == 2)
    }

    @Test func `an error names the statement and not the values`() throws {
        let database = try opened()
        try database.run("INSERT INTO things (id) VALUES (?)", 7)
        let error = #expect(throws: SQLiteError.self) {
            try database.run("INSERT INTO things (id, text) VALUES (?, ?)", 7, "secret")
        }
        #expect(error?.sql == "INSERT INTO things (id, text) VALUES (?, ?)")
        #expect(error?.code == 1555)
        #expect(error.map { $0.description.contains("secret") } == false)
        // The statement can run again.
        #expect(try database.run("INSERT INTO things (id, text) VALUES (?, ?)", 8, "fine") == 1)
    }

    @Test(arguments: [
        "SELECT * FROM things WHERE text = \"no such column\"",
        "INSERT INTO things (number) VALUES ('a text')",
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = ''",
    ])
    func `what a schema of ours never does is refused`(sql: String) throws {
        let database = try opened()
        #expect(throws: SQLiteError.self) { try database.run(script: sql) }
    }

    @Test func `a reader sees one state for as long as its transaction`() throws {
        let writer = try opened()
        let reader = try Database(path: path, mode: .readOnly)
        try reader.read {
            #expect(try reader.integer("SELECT count(*) FROM things") == 0)
            try writer.run("INSERT INTO things (number) VALUES (1)")
            #expect(try reader.integer("SELECT count(*) FROM things") == 0)
        }
        #expect(try reader.integer("SELECT count(*) FROM things") == 1)
    }

    @Test func `a reader cannot write and makes no file`() throws {
        let missing = #expect(throws: SQLiteError.self) { try Database(path: path, mode: .readOnly) }
        #expect(missing?.isCannotOpen == true)
        #expect(access(path, F_OK) != 0)
        _ = try opened()
        let reader = try Database(path: path, mode: .readOnly)
        #expect(throws: SQLiteError.self) { try reader.run("INSERT INTO things (number) VALUES (1)") }
    }

    @Test func `a file that is no database says so`() throws {
        let file = try #require(fopen(path, "w"))
        fputs(String(repeating: "not a database. ", count: 100), file)
        fclose(file)
        let error = #expect(throws: SQLiteError.self) { try opened() }
        #expect(error?.isCorrupt == true)
    }

    @Test func `more statements than are kept still work`() throws {
        let database = try opened()
        let kept = try database.statement("SELECT 'kept'")
        for number in 0..<Database.statementsMax * 2 {
            #expect(try database.integer("SELECT \(number)") == Int64(number))
        }
        #expect(try kept.step())
        #expect(kept.text(at: 0) == "kept")
        kept.reset()
    }

    @Test func `what was committed is there after the connection`() throws {
        try opened().run("INSERT INTO things (text) VALUES (?)", "stays")
        #expect(try opened(.readOnly).first("SELECT text FROM things") { $0.text(at: 0) } == "stays")
    }

    @Test func `wide_sum adds integers and blobs of 16 bytes, and nothing else`() throws {
        let database = try opened()
        try database.run(script: "CREATE TABLE sums (id INTEGER PRIMARY KEY, v ANY) STRICT;")
        func sum(_ values: [Int128]) throws -> Int128? {
            try database.run("DELETE FROM sums")
            for value in values {
                let cell: Value = Int64(exactly: value).map { .integer($0) } ?? .blob(WideInteger.bytes(value))
                try database.run("INSERT INTO sums (v) VALUES (?)", cell)
            }
            return try database.first("SELECT wide_sum(v) FROM sums") { $0.isNull(at: 0) ? nil : $0.sum(at: 0) } ?? nil
        }
        #expect(try sum([]) == nil)
        #expect(try sum([1, -3]) == -2)
        let most = Int128(Int64.max)
        #expect(try sum([most, most, 1]) == 2 * most + 1)
        #expect(try sum([most, 1, -1]) == most)
        #expect(try sum([Int128(Int64.min), -1]) == Int128(Int64.min) - 1)
        #expect(try sum([Int128(1) << 90, -(Int128(1) << 90), 5]) == 5)
        #expect(try sum([Int128.max - 1, 1]) == Int128.max)
        #expect(throws: SQLiteError.self) { try sum([Int128.max, 1]) }
        #expect(WideInteger.value(WideInteger.bytes(Int128.min)) == Int128.min)
        #expect(WideInteger.value([UInt8](repeating: 0, count: 16)) == nil && WideInteger.value([1]) == nil)
        for odd in [.text("7"), .blob([1, 2]), .null] as [Value] {
            try database.run("DELETE FROM sums")
            try database.run("INSERT INTO sums (v) VALUES (?)", odd)
            #expect(throws: SQLiteError.self) { try database.integer("SELECT wide_sum(v) FROM sums") }
        }
    }
}
