import Hashing
import SQLite
import TestEvents
import Testing

@testable import Projections

/// Rows through both sinks: what the file holds, what memory keeps, and the digest of either.
@Suite final class RowSinkTests {
    private let folder = TemporaryFolder()
    private static let sums = Table(
        "sums", tag: 1, kind: .sums, keys: [.name("who"), .integer("day")], values: [.integer("a"), .integer("b")])
    private static let rows = Table(
        "rows", tag: 2, kind: .rows, keys: [.text("id")],
        values: [.name("who"), .integer("at"), .text("note"), .blob("data")])
    private static let list = Table(
        "list", tag: 3, kind: .appended, keys: [.integer("position")], values: [.name("who"), .text("text")])
    private static let tables = [sums, rows, list]

    private func database() throws -> Database {
        let database = try Database(path: folder.path + "/rows.sqlite", mode: .readWrite)
        try database.run(
            script: """
                CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
                CREATE TABLE sums (who INTEGER NOT NULL, day INTEGER NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,
                    PRIMARY KEY (who, day)) STRICT, WITHOUT ROWID;
                CREATE TABLE rows (id TEXT PRIMARY KEY, who INTEGER NOT NULL, at INTEGER, note TEXT, data BLOB)
                    STRICT, WITHOUT ROWID;
                CREATE INDEX rows_by_who ON rows (who);
                CREATE TABLE list (position INTEGER PRIMARY KEY, who INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
                """)
        return database
    }

    private static func cells(_ values: [Value]) -> RowCells {
        var cells = RowCells()
        cells.begin(tag: 9)
        for value in values { cells.append(value) }
        return cells
    }

    @Test func `canonical bytes are the tag and each cell with its kind`() {
        let cells = Self.cells([.null, .integer(-2), .text("é"), .blob([7])])
        #expect(
            [UInt8](cells.canonical) == [
                9, 0, 1, 255, 255, 255, 255, 255, 255, 255, 254, 2, 0, 0, 0, 2, 0xC3, 0xA9, 3, 0, 0, 0, 1, 7,
            ])
        #expect(cells.value(0) == .null)
        #expect(cells.value(1) == .integer(-2))
        #expect(cells.value(2) == .text("é"))
        #expect(cells.value(3) == .blob([7]))
    }

    @Test(arguments: [0, 7, 10, -1, 123_456_789, Int64.max, Int64.min])
    func `a text in pieces is the text in one`(number: Int64) {
        var cells = RowCells()
        cells.begin(tag: 9)
        cells.beginText()
        cells.piece(decimal: number)
        cells.piece(byte: 0x20)
        cells.piece(String(repeating: "lot ", count: 300))
        cells.endText()
        let whole = Self.cells([.text("\(number) " + String(repeating: "lot ", count: 300))])
        #expect([UInt8](cells.canonical) == [UInt8](whole.canonical))
    }

    @Test func `file, memory and a scan agree on random changes`() throws {
        let database = try database()
        let file = DatabaseSink(database, digest: MultisetDigest())
        let memory = MemorySink()
        var events = RandomEvents(seed: 11)
        func below(_ limit: Int) -> Int { Int(events.next() % UInt64(limit)) }
        let names: [Value] = ["a", "b", "é", .text(String(repeating: "n", count: 200)), .null]
        var position: Int64 = 0
        for _ in 0..<60 {
            var keys: Set<[Value]> = []
            for _ in 0..<8 { keys.insert([names[below(5)], .integer(Int64(below(3)))]) }
            let added = keys.map { ($0, Int64(below(5)) - 2, Int64(below(3)) - 1) }
            let put = (0..<6).map { _ in
                [
                    Value.text("id \(below(4))"), names[below(5)], .integer(Int64(below(2))),
                    below(2) == 0 ? .null : .text("note"), .blob([UInt8](repeating: 1, count: below(2))),
                ]
            }
            for sink in [file as any RowSink, memory] {
                try sink.add(added.count, to: Self.sums) { index, cells in
                    for cell in added[index].0 { cells.append(cell) }
                    cells.integer(added[index].1)
                    cells.integer(added[index].2)
                }
                try sink.put(put.count, in: Self.rows) { index, cells in
                    for cell in put[index] { cells.append(cell) }
                }
                try sink.append([names[0], "text"], key: [.integer(position)], to: Self.list)
                try sink.remove(key: ["id 3"], from: Self.rows)
                #expect(try sink.values(key: ["id 3"], in: Self.rows) == nil)
            }
            position += 1
            for id in 0..<3 {
                let key = [Value.text("id \(id)")]
                #expect(try file.values(key: key, in: Self.rows) == memory.values(key: key, in: Self.rows))
            }
            #expect(file.digest == memory.digest)
            #expect(try DatabaseSink.digest(of: Self.tables, in: database) == file.digest)
        }
        #expect(try database.integer("SELECT count(*) FROM sums WHERE a = 0 AND b = 0") == 0)
        #expect(try database.integer("SELECT count(*) FROM sums") ?? 0 > 0)
    }

    @Test func `names of a fold's pool get one number each`() throws {
        let database = try database()
        let sink = DatabaseSink(database, digest: MultisetDigest())
        var pool = NamePool()
        let numbers = [pool.number(of: "x"), pool.number(of: nil), pool.number(of: "y")]
        try database.run("INSERT INTO names (id, text) VALUES (7, 'y')")
        try sink.append(6, to: Self.list) { index, cells in
            cells.integer(Int64(index))
            cells.name(numbers[index % 3], of: pool)
            cells.text("")
        }
        var who: [Int64] = []
        try database.rows("SELECT who FROM list ORDER BY position") { who.append($0.integer(at: 0)) }
        #expect(who == [8, 0, 7, 8, 0, 7])
        #expect(try DatabaseSink.digest(of: Self.tables, in: database) == sink.digest)
    }

    @Test(arguments: [
        "UPDATE list SET who = 99", "UPDATE list SET who = -1", "UPDATE list SET who = 9223372036854775807",
        "UPDATE list SET who = 0", "UPDATE names SET text = 'b'", "UPDATE names SET id = 12", "DELETE FROM names",
        "UPDATE list SET text = 'Text'", "DELETE FROM list", "UPDATE list SET position = 6",
    ])
    func `rows that somebody changed have another digest`(damage: String) throws {
        let database = try database()
        let sink = DatabaseSink(database, digest: MultisetDigest())
        try sink.append(["a", "text"], key: [.integer(5)], to: Self.list)
        #expect(try DatabaseSink.digest(of: Self.tables, in: database) == sink.digest)
        try database.run(script: damage)
        #expect(try DatabaseSink.digest(of: Self.tables, in: database) != sink.digest)
        // A number without a name is no null either: one name lost and one not given must not look the same.
        try database.run(script: "DELETE FROM list; INSERT INTO list VALUES (5, 99, 'text')")
        let other = MemorySink()
        try other.append([.null, "text"], key: [.integer(5)], to: Self.list)
        #expect(try DatabaseSink.digest(of: [Self.list], in: database) != other.digest)
    }

    @Test func `a rest is four times as long as the flush, within bounds`() {
        let pace = ProjectorPace()
        for (flush, rest) in [
            (0, 20_000_000), (5_000_000, 20_000_000), (6_000_000, 24_000_000), (62_500_000, 250_000_000),
            (10_000_000_000, 250_000_000), (UInt64.max, 250_000_000),
        ] as [(UInt64, UInt64)] {
            #expect(pace.rest(after: flush) == rest)
        }
    }
}
