public import Hashing
public import SQLite

/// Where a projection's rows go: a SQLite file, or memory when only the digest is asked for. The sink keeps the digest,
/// so that no projection can forget it.
///
/// A digest is the sum over rows of SHA-256 of their canonical bytes (`RowCells`); it depends neither on the order of
/// rows nor on how records were cut into batches.
///
/// Rows are handed over as a count and a function that fills in the row of an index, its key cells first: it may be
/// called more than once for an index, and all names of one call that have numbers are numbers of one pool.
public protocol RowSink: AnyObject {
    /// Of all rows as they are now.
    var digest: MultisetDigest { get }
    /// Whether rows with neighbouring keys cost less one after the other.
    var prefersKeyOrder: Bool { get }
    /// Adds to rows of a `.sums` table; each key at most once.
    func add(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws
    /// Adds rows to an `.appended` table. A key that is there already is an error.
    func append(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws
    /// Makes or replaces rows of a `.rows` table.
    func put(_ count: Int, in table: Table, _ fill: (Int, inout RowCells) -> Void) throws
    /// Removes a row of a `.rows` table; nothing happens when it is not there.
    func remove(key: [Value], from table: Table) throws
    /// The values of a row of a `.rows` table.
    func values(key: [Value], in table: Table) throws -> [Value]?
}

extension RowSink {
    /// Adds a row to an `.appended` table.
    public func append(_ values: [Value], key: [Value], to table: Table) throws {
        try append(1, to: table) { _, cells in
            for cell in key { cells.append(cell) }
            for cell in values { cells.append(cell) }
        }
    }

    /// Makes or replaces a row of a `.rows` table.
    public func put(_ values: [Value], key: [Value], in table: Table) throws {
        try put(1, in: table) { _, cells in
            for cell in key { cells.append(cell) }
            for cell in values { cells.append(cell) }
        }
    }
}

extension Table {
    /// Fills in a row, and checks that it is one of this table.
    func fill(_ cells: inout RowCells, _ index: Int, _ fill: (Int, inout RowCells) -> Void) {
        cells.begin(tag: tag)
        fill(index, &cells)
        precondition(
            cells.count == keys.count + values.count,
            "\(cells.count) cells for \(keys.count + values.count) columns of table \(name)")
    }

    /// Fills in a row's key alone.
    func fill(_ cells: inout RowCells, key: [Value]) {
        precondition(key.count == keys.count, "\(key.count) cells for \(keys.count) key columns of table \(name)")
        cells.begin(tag: tag)
        for cell in key { cells.append(cell) }
    }
}
