public import Hashing
public import SQLite

/// Writes rows into a read model's file, inside whatever transaction its owner has open, and follows the digest.
public final class DatabaseSink: RowSink {
    /// Numbers of names kept in memory; past it the cache starts afresh and asks the file.
    public static let namesCachedMax = 200_000

    private let database: Database
    private var digester: RowDigester
    private var names: [Value: Int64] = [:]

    /// `digest`: of the rows that are in the file.
    public init(_ database: Database, digest: MultisetDigest) {
        self.database = database
        digester = RowDigester(digest)
    }

    public var digest: MultisetDigest { digester.digest }

    /// Of the rows in the file, all read.
    public static func digest(of tables: [Table], in database: Database) throws -> MultisetDigest {
        var digester = RowDigester()
        for table in tables {
            try database.rows(table.scanSQL) { row in
                let key = table.keys.indices.map { row.value(at: $0) }
                let values = table.values.indices.map { row.value(at: table.keys.count + $0) }
                digester.add(table, key: key, values: values)
            }
        }
        return digester.digest
    }

    /// The number of a name, given one when it has none; 0 for null.
    private func number(of name: Value) throws(SQLiteError) -> Int64 {
        if name == .null { return 0 }
        if let number = names[name] { return number }
        let select = try database.statement("SELECT id FROM names WHERE text = ?")
        try select.bind(name, at: 0)
        var number: Int64
        if try select.step() {
            number = select.integer(at: 0)
            select.reset()
        } else {
            let insert = try database.statement("INSERT INTO names (text) VALUES (?) RETURNING id")
            try insert.bind(name, at: 0)
            try insert.step()
            number = insert.integer(at: 0)
            while try insert.step() {}
        }
        if names.count >= DatabaseSink.namesCachedMax { names.removeAll(keepingCapacity: true) }
        names[name] = number
        return number
    }

    /// Cells as the file holds them: names as their numbers.
    private func stored(_ cells: [Value], _ columns: [Table.Column]) throws(SQLiteError) -> [Value] {
        precondition(cells.count == columns.count, "\(cells.count) cells for \(columns.count) columns")
        var stored = cells
        for index in columns.indices where columns[index].isName {
            stored[index] = .integer(try number(of: cells[index]))
        }
        return stored
    }

    public func add(_ rows: [SumRow], to table: Table) throws {
        precondition(table.kind == .sums, "table \(table.name) has no sums")
        // In the order of the table's B-tree: neighbours share a page.
        var keys: [(stored: [Value], row: Int)] = []
        keys.reserveCapacity(rows.count)
        for index in rows.indices { keys.append((try stored(rows[index].key, table.keys), index)) }
        keys.sort { DatabaseSink.precedes($0.stored, $1.stored) }

        let statement = try database.statement(table.addSQL)
        var totals = [Int64](repeating: 0, count: table.values.count)
        for (stored, index) in keys {
            let row = rows[index]
            precondition(row.sums.count == totals.count, "\(row.sums.count) sums for table \(table.name)")
            for column in stored.indices { try statement.bind(stored[column], at: column) }
            for column in totals.indices { try statement.bind(row.sums[column], at: stored.count + column) }
            guard try statement.step() else { preconditionFailure("no row returned: \(table.addSQL)") }
            for column in totals.indices { totals[column] = statement.integer(at: column) }
            statement.reset()
            digester.change(table, key: row.key, sums: totals, delta: row.sums)
            if totals.allSatisfy({ $0 == 0 }) { try delete(stored, from: table) }
        }
    }

    private static func precedes(_ left: [Value], _ right: [Value]) -> Bool {
        for index in left.indices {
            switch (left[index], right[index]) {
            case (.integer(let left), .integer(let right)):
                if left != right { return left < right }
            case (.text(let left), .text(let right)):
                if left != right { return left.utf8.lexicographicallyPrecedes(right.utf8) }
            default:
                continue
            }
        }
        return false
    }

    private func delete(_ stored: [Value], from table: Table) throws(SQLiteError) {
        let statement = try database.statement(table.deleteSQL)
        try statement.bind(stored)
        try statement.step()
    }

    public func append(_ values: [Value], key: [Value], to table: Table) throws {
        precondition(table.kind == .appended, "table \(table.name) is not appended to")
        let statement = try database.statement(table.insertSQL)
        try statement.bind(try stored(key, table.keys) + stored(values, table.values))
        try statement.step()
        digester.add(table, key: key, values: values)
    }

    public func put(_ values: [Value], key: [Value], in table: Table) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to replace")
        if let before = try self.values(key: key, in: table) {
            if before == values { return }
            digester.remove(table, key: key, values: before)
        }
        let statement = try database.statement(table.putSQL)
        try statement.bind(try stored(key, table.keys) + stored(values, table.values))
        try statement.step()
        digester.add(table, key: key, values: values)
    }

    public func remove(key: [Value], from table: Table) throws {
        guard let before = try values(key: key, in: table) else { return }
        try delete(try stored(key, table.keys), from: table)
        digester.remove(table, key: key, values: before)
    }

    public func values(key: [Value], in table: Table) throws -> [Value]? {
        precondition(table.kind == .rows, "table \(table.name) has no rows to read")
        let statement = try database.statement(table.selectSQL)
        try statement.bind(try stored(key, table.keys))
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return table.values.indices.map { statement.value(at: $0) }
    }
}
