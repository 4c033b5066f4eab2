public import Hashing
public import SQLite

/// Writes rows into a read model's file, inside whatever transaction its owner has open, and follows the digest.
public final class DatabaseSink: RowSink {
    /// Numbers of names kept in memory; past it the cache starts afresh and asks the file.
    public static let namesCachedMax = 65_536

    public private(set) var digest: MultisetDigest
    /// They share a page of the B-tree.
    public var prefersKeyOrder: Bool { true }
    private let database: Database
    /// Numbers that the file gave to names.
    private var numbers: [Value: Int64] = [:]

    /// `digest`: of the rows that are in the file.
    public init(_ database: Database, digest: MultisetDigest) {
        self.database = database
        self.digest = digest
    }

    // MARK: - Names

    /// The file's numbers of names by those of the fold's pool, within one call; 0 when not yet known.
    private typealias PoolNumbers = [Int64]

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
    private func number(
        _ cells: borrowing RowCells, at index: Int, pool: inout PoolNumbers
    ) throws(SQLiteError) -> Int64 {
        let cell = cells[index]
        if cell.kind == .null { return 0 }
        let place = Int(cell.poolNumber)
        if place == 0 { return try number(of: cells.value(index)) }
        if place < pool.count {
            if pool[place] != 0 { return pool[place] }
        } else {
            pool.append(contentsOf: repeatElement(0, count: place + 1 - pool.count))
        }
        let number = try number(of: cells.value(index))
        pool[place] = number
        return number
    }

    // MARK: - Statements

    /// Binds cells as the file holds them; text stays where it is, so the statement is to be reset before the row is.
    private func bind(
        _ cells: borrowing RowCells, _ range: Range<Int>, of table: Table, pool: inout PoolNumbers,
        to statement: Statement, at first: Int = 0
    ) throws(SQLiteError) {
        for index in range {
            let place = first + index - range.lowerBound
            if table.isName[index] {
                try statement.bind(try number(cells, at: index, pool: &pool), at: place)
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

    private func insert(
        _ cells: borrowing RowCells, into table: Table, pool: inout PoolNumbers
    ) throws(SQLiteError) {
        let statement = try database.statement(table.insertSQL)
        try bind(cells, 0..<cells.count, of: table, pool: &pool, to: statement)
        try statement.step()
    }

    /// Writes the columns from `first` on. Those before it have not changed: an index on them is left alone.
    private func update(
        _ cells: borrowing RowCells, from first: Int, in table: Table, pool: inout PoolNumbers
    ) throws(SQLiteError) {
        let statement = try database.statement(table.updateSQL[first - table.keys.count])
        try bind(cells, first..<cells.count, of: table, pool: &pool, to: statement)
        try bind(cells, 0..<table.keys.count, of: table, pool: &pool, to: statement, at: cells.count - first)
        try statement.step()
    }

    private func delete(
        _ cells: borrowing RowCells, from table: Table, pool: inout PoolNumbers
    ) throws(SQLiteError) {
        let statement = try database.statement(table.deleteSQL)
        try bind(cells, 0..<table.keys.count, of: table, pool: &pool, to: statement)
        try statement.step()
    }

    /// Reads the row with the key of `cells` into `before`; false when there is none.
    private func read(
        _ before: inout RowCells, keyOf cells: borrowing RowCells, from table: Table, pool: inout PoolNumbers
    ) throws(SQLiteError) -> Bool {
        let statement = try database.statement(table.selectSQL)
        try bind(cells, 0..<table.keys.count, of: table, pool: &pool, to: statement)
        guard try statement.step() else { return false }
        defer { statement.reset() }
        before.begin(with: cells, cells: table.keys.count)
        statement.forEachCell { index, cell in
            // A table without values has a 1 instead.
            if index < table.values.count { before.append(cell) }
        }
        return true
    }

    // MARK: - Rows

    public func add(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .sums, "table \(table.name) has no sums")
        if count == 0 { return }
        var cells = RowCells()
        var before = RowCells()
        var pool: PoolNumbers = []
        var digest = digest
        let width = table.keys.count
        for index in try order(count, of: table, &cells, &pool, fill) {
            table.fill(&cells, index, fill)
            let isThere = try read(&before, keyOf: cells, from: table, pool: &pool)
            if isThere {
                digest.remove(before.canonical)
                // Not SQLite's own sum: where one does not fit in 64 bits, it goes on in floating point.
                cells.add(before, from: width)
            }
            if cells.areZero(from: width) {
                if isThere { try delete(cells, from: table, pool: &pool) }
                continue
            }
            if isThere {
                try update(cells, from: width, in: table, pool: &pool)
            } else {
                try insert(cells, into: table, pool: &pool)
            }
            digest.add(cells.canonical)
        }
        self.digest = digest
    }

    /// The rows of sums in the order of the table's B-tree: neighbours share a page. Their keys are all numbers in the
    /// file.
    private func order(
        _ count: Int, of table: Table, _ cells: inout RowCells, _ pool: inout PoolNumbers,
        _ fill: (Int, inout RowCells) -> Void
    ) throws(SQLiteError) -> [Int] {
        let width = table.keys.count
        var keys: [Int64] = []
        keys.reserveCapacity(count * width)
        for index in 0..<count {
            table.fill(&cells, index, fill)
            for column in 0..<width {
                if table.isName[column] {
                    keys.append(try number(cells, at: column, pool: &pool))
                } else {
                    precondition(cells[column].kind == .integer, "a key of sums that is no integer: \(table.name)")
                    keys.append(cells[column].integer)
                }
            }
        }
        return keys.withUnsafeBufferPointer { keys in
            (0..<count).sorted { left, right in
                for column in 0..<width where keys[left * width + column] != keys[right * width + column] {
                    return keys[left * width + column] < keys[right * width + column]
                }
                return false
            }
        }
    }

    public func append(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .appended, "table \(table.name) is not appended to")
        if count == 0 { return }
        var cells = RowCells()
        var pool: PoolNumbers = []
        var digest = digest
        for index in 0..<count {
            table.fill(&cells, index, fill)
            try insert(cells, into: table, pool: &pool)
            digest.add(cells.canonical)
        }
        self.digest = digest
    }

    public func put(_ count: Int, in table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to replace")
        if count == 0 { return }
        var cells = RowCells()
        var before = RowCells()
        var pool: PoolNumbers = []
        var digest = digest
        for index in 0..<count {
            table.fill(&cells, index, fill)
            if try read(&before, keyOf: cells, from: table, pool: &pool) {
                guard let first = cells.firstDifference(to: before, from: table.keys.count) else { continue }
                try update(cells, from: first, in: table, pool: &pool)
                digest.remove(before.canonical)
            } else {
                try insert(cells, into: table, pool: &pool)
            }
            digest.add(cells.canonical)
        }
        self.digest = digest
    }

    public func remove(key: [Value], from table: Table) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to remove")
        var cells = RowCells()
        var before = RowCells()
        var pool: PoolNumbers = []
        table.fill(&cells, key: key)
        guard try read(&before, keyOf: cells, from: table, pool: &pool) else { return }
        try delete(cells, from: table, pool: &pool)
        digest.remove(before.canonical)
    }

    public func values(key: [Value], in table: Table) throws -> [Value]? {
        precondition(table.kind == .rows, "table \(table.name) has no rows to read")
        var cells = RowCells()
        var before = RowCells()
        var pool: PoolNumbers = []
        table.fill(&cells, key: key)
        guard try read(&before, keyOf: cells, from: table, pool: &pool) else { return nil }
        return (table.keys.count..<before.count).map { before.value($0) }
    }
}
