public import Hashing
public import SQLite

/// Keeps what it must to have the digest, and nothing on disk: how `verify` refolds a log at the speed of memory.
public final class MemorySink: RowSink {
    public private(set) var digest = MultisetDigest()
    public var prefersKeyOrder: Bool { false }
    /// By the canonical bytes of a key, which begin with the table's tag.
    private var sums: [Key: Sums] = [:]
    /// The canonical bytes of a row by those of its key.
    private var rows: [Key: [UInt8]] = [:]

    /// The sums of a row: twice as wide only where one has to be.
    private enum Sums {
        case narrow([Int64])
        case wide([Int128])

        init(_ cells: borrowing RowCells, from first: Int) {
            var narrow: [Int64] = []
            var wide: [Int128] = []
            narrow.reserveCapacity(cells.count - first)
            for index in first..<cells.count {
                if wide.isEmpty && cells[index].kind == .integer {
                    narrow.append(cells[index].integer)
                } else {
                    if wide.isEmpty { wide = narrow.map { Int128($0) } }
                    wide.append(cells.sum(index))
                }
            }
            self = wide.isEmpty ? .narrow(narrow) : .wide(wide)
        }

        func fill(_ cells: inout RowCells) {
            switch self {
            case .narrow(let sums): for sum in sums { cells.integer(sum) }
            case .wide(let sums): for sum in sums { cells.sum(sum) }
            }
        }
    }

    /// An array would be hashed byte by byte.
    private struct Key: Hashable {
        var bytes: [UInt8]

        func hash(into hasher: inout Hasher) {
            bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    public init() {}

    private func key(of cells: borrowing RowCells, _ table: Table) -> Key {
        Key(bytes: [UInt8](UnsafeRawBufferPointer(rebasing: cells.canonical[..<cells[table.keys.count - 1].end])))
    }

    public func add(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .sums, "table \(table.name) has no sums")
        let width = table.keys.count
        var cells = RowCells()
        var before = RowCells()
        var digest = digest
        for index in 0..<count {
            table.fill(&cells, index, fill)
            let key = key(of: cells, table)
            if let known = sums[key] {
                before.begin(with: cells, cells: width)
                known.fill(&before)
                digest.remove(before.canonical)
                cells.add(before, from: width)
            }
            if cells.areZero(from: width) {
                sums[key] = nil
            } else {
                sums[key] = Sums(cells, from: width)
                digest.add(cells.canonical)
            }
        }
        self.digest = digest
    }

    public func append(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .appended, "table \(table.name) is not appended to")
        var cells = RowCells()
        var other = RowCells()
        var digest = digest
        for index in stride(from: 0, to: count, by: 2) {
            table.fill(&cells, index, fill)
            if index + 1 < count {
                table.fill(&other, index + 1, fill)
                digest.add(cells.canonical, other.canonical)
            } else {
                digest.add(cells.canonical)
            }
        }
        self.digest = digest
    }

    public func put(_ count: Int, in table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to replace")
        var cells = RowCells()
        for index in 0..<count {
            table.fill(&cells, index, fill)
            digest.add(cells.canonical)
            if let before = rows.updateValue([UInt8](cells.canonical), forKey: key(of: cells, table)) {
                digest.remove(before)
            }
        }
    }

    public func remove(key: [Value], from table: Table) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to remove")
        var cells = RowCells()
        table.fill(&cells, key: key)
        guard let before = rows.removeValue(forKey: self.key(of: cells, table)) else { return }
        digest.remove(before)
    }

    public func values(key: [Value], in table: Table) throws -> [Value]? {
        precondition(table.kind == .rows, "table \(table.name) has no rows to read")
        var cells = RowCells()
        table.fill(&cells, key: key)
        let start = cells.canonical.count
        return rows[self.key(of: cells, table)].map { MemorySink.values($0[start...]) }
    }

    /// From canonical bytes that this sink was given.
    private static func values(_ bytes: ArraySlice<UInt8>) -> [Value] {
        var rest = bytes
        var values: [Value] = []
        func take(_ count: Int) -> ArraySlice<UInt8> {
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func number(_ count: Int) -> UInt64 { take(count).reduce(0) { $0 << 8 | UInt64($1) } }
        while let kind = rest.popFirst() {
            switch kind {
            case 0: values.append(.null)
            case 1: values.append(.integer(Int64(bitPattern: number(8))))
            case 2: values.append(.text(String(decoding: take(Int(number(4))), as: UTF8.self)))
            case 3: values.append(.blob([UInt8](take(Int(number(4))))))
            default: preconditionFailure("cell of kind \(kind)")
            }
        }
        return values
    }
}
