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
}
