public import Hashing
public import SQLite

/// Writes rows into a read model's file, inside whatever transaction its owner has open, and follows the digest.
public final class DatabaseSink: RowSink {
    /// Numbers of names kept in memory; past it the cache starts afresh and asks the file.
    public static let namesCachedMax = 200_000

    public private(set) var digest: MultisetDigest
    private let database: Database
    private var cells = RowCells()
    /// The row that is replaced.
    private var before = RowCells()
    /// Numbers that the file gave to names.
    private var numbers: [Value: Int64] = [:]
    /// The same, by the numbers of the fold's pool, within one call; 0 when not yet known.
    private var numbersByPool: [Int64] = []

    /// `digest`: of the rows that are in the file.
    public init(_ database: Database, digest: MultisetDigest) {
        self.database = database
        self.digest = digest
    }

    // MARK: - Names

    /// The number of a name, given one when it has none.
    private func number(of name: Value) throws(SQLiteError) -> Int64 {
        if let number = numbers[name] { return number }
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
        if numbers.count >= DatabaseSink.namesCachedMax { numbers.removeAll(keepingCapacity: true) }
        numbers[name] = number
        return number
    }

    /// The number of the name in a cell; 0 for null.
    private func number(at index: Int) throws(SQLiteError) -> Int64 {
        let cell = cells[index]
        if cell.kind == .null { return 0 }
        let place = Int(cell.poolNumber)
        if place == 0 { return try number(of: cells.value(index)) }
        if place < numbersByPool.count {
            if numbersByPool[place] != 0 { return numbersByPool[place] }
        } else {
            numbersByPool.append(contentsOf: repeatElement(0, count: place + 1 - numbersByPool.count))
        }
        let number = try number(of: cells.value(index))
        numbersByPool[place] = number
        return number
    }

    // MARK: - Statements

    /// Binds cells as the file holds them; text stays where it is, so the statement is to be reset before the row is.
    private func bind(
        _ range: Range<Int>, of table: Table, to statement: Statement, at first: Int = 0
    ) throws(SQLiteError) {
        for index in range {
            let place = first + index - range.lowerBound
            if table.isName[index] {
                try statement.bind(try number(at: index), at: place)
                continue
            }
            switch cells[index].kind {
            case .null: try statement.bindNull(at: place)
            case .integer: try statement.bind(cells[index].integer, at: place)
            case .text: try statement.bind(borrowing: cells.content(index), at: place)
            case .blob: try statement.bind([UInt8](cells.content(index)), at: place)
            }
        }
    }

    private func delete(from table: Table) throws(SQLiteError) {
        let statement = try database.statement(table.deleteSQL)
        try bind(0..<table.keys.count, of: table, to: statement)
        try statement.step()
    }

    /// Reads the row whose key is in `cells` into `before`; false when there is none.
    private func readBefore(from table: Table) throws(SQLiteError) -> Bool {
        let statement = try database.statement(table.selectSQL)
        try bind(0..<table.keys.count, of: table, to: statement)
        guard try statement.step() else { return false }
        defer { statement.reset() }
        before.begin(with: cells, cells: table.keys.count)
        for index in table.values.indices { before.append(statement.cell(at: index)) }
        return true
    }

    // MARK: - Rows

    public func add(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .sums, "table \(table.name) has no sums")
        if count == 0 { return }
        numbersByPool.removeAll(keepingCapacity: true)
        // In the order of the table's B-tree: neighbours share a page. Keys of sums are all numbers in the file.
        let width = table.keys.count
        var keys: [Int64] = []
        keys.reserveCapacity(count * width)
        for index in 0..<count {
            table.fill(&cells, index, fill)
            for column in 0..<width {
                if table.isName[column] {
                    keys.append(try number(at: column))
                } else {
                    precondition(cells[column].kind == .integer, "a key of sums that is no integer: \(table.name)")
                    keys.append(cells[column].integer)
                }
            }
        }
        let order = keys.withUnsafeBufferPointer { keys in
            (0..<count).sorted { left, right in
                for column in 0..<width where keys[left * width + column] != keys[right * width + column] {
                    return keys[left * width + column] < keys[right * width + column]
                }
                return false
            }
        }

        let statement = try database.statement(table.addSQL)
        var totals = [Int64](repeating: 0, count: table.values.count)
        for index in order {
            table.fill(&cells, index, fill)
            for column in 0..<width { try statement.bind(keys[index * width + column], at: column) }
            for column in width..<cells.count { try statement.bind(cells[column].integer, at: column) }
            guard try statement.step() else { preconditionFailure("no row returned: \(table.addSQL)") }
            for column in totals.indices { totals[column] = statement.integer(at: column) }
            statement.reset()
            digest.change(&cells, keyCount: width, totals: totals)
            if !totals.contains(where: { $0 != 0 }) { try delete(from: table) }
        }
    }

    public func append(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .appended, "table \(table.name) is not appended to")
        if count == 0 { return }
        numbersByPool.removeAll(keepingCapacity: true)
        let statement = try database.statement(table.insertSQL)
        for index in 0..<count {
            table.fill(&cells, index, fill)
            try bind(0..<cells.count, of: table, to: statement)
            try statement.step()
            digest.add(cells.canonical)
        }
    }

    public func put(_ count: Int, in table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to replace")
        numbersByPool.removeAll(keepingCapacity: true)
        for index in 0..<count {
            table.fill(&cells, index, fill)
            if try readBefore(from: table) {
                guard let first = (table.keys.count..<cells.count).first(where: { !cells.isSame($0, as: before) })
                else { continue }
                digest.remove(before.canonical)
                try update(from: first, in: table)
            } else {
                let statement = try database.statement(table.insertSQL)
                try bind(0..<cells.count, of: table, to: statement)
                try statement.step()
            }
            digest.add(cells.canonical)
        }
    }

    /// Writes the columns from `first` on. Those before it have not changed: an index on them is left alone.
    private func update(from first: Int, in table: Table) throws(SQLiteError) {
        let statement = try database.statement(table.updateSQL[first - table.keys.count])
        try bind(first..<cells.count, of: table, to: statement)
        try bind(0..<table.keys.count, of: table, to: statement, at: cells.count - first)
        try statement.step()
    }

    public func remove(key: [Value], from table: Table) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to remove")
        table.fill(&cells, key: key)
        guard try readBefore(from: table) else { return }
        try delete(from: table)
        digest.remove(before.canonical)
    }

    public func values(key: [Value], in table: Table) throws -> [Value]? {
        precondition(table.kind == .rows, "table \(table.name) has no rows to read")
        table.fill(&cells, key: key)
        guard try readBefore(from: table) else { return nil }
        return (table.keys.count..<before.count).map { before.value($0) }
    }
}
