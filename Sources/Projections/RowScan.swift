public import Hashing
public import SQLite

extension DatabaseSink {
    /// Of the rows in the file, all read. A damaged file gives another digest, or an error.
    /// - Throws: `SQLiteError`.
    public static func digest(of tables: [Table], in database: Database) throws -> MultisetDigest {
        let names = try NameTexts(of: database)
        var digest = MultisetDigest()
        var cells = RowCells()
        // A row that waits for another one to be hashed with.
        var waiting = RowCells()
        var isWaiting = false
        for table in tables {
            let isName = table.isName
            try database.rows(table.rawScanSQL) { row in
                cells.begin(tag: table.tag)
                row.forEachCell { column, cell in
                    if isName[column], case .integer(let number) = cell {
                        names.append(number, to: &cells)
                    } else {
                        cells.append(cell)
                    }
                }
                if isWaiting {
                    digest.add(waiting.canonical, cells.canonical)
                } else {
                    swap(&waiting, &cells)
                }
                isWaiting.toggle()
            }
        }
        if isWaiting { digest.add(waiting.canonical) }
        return digest
    }
}

/// All names of a file as canonical cells, one after the other: a number is looked up without a search, since SQLite
/// gives them in order from 1.
private struct NameTexts {
    private var bytes: [UInt8] = []
    /// Ascending.
    private var numbers: [Int64] = []
    private var ends: [Int] = []

    init(of database: Database) throws {
        try database.rows("SELECT id, text FROM names ORDER BY id") { row in
            var cells = RowCells()
            cells.begin(tag: 0)
            row.forEachCell { if $0 == 1 { cells.append($1) } }
            bytes.append(contentsOf: cells.canonical(0))
            numbers.append(row.integer(at: 0))
            ends.append(bytes.count)
        }
    }

    private func place(of number: Int64) -> Int? {
        if let guess = Int(exactly: number &- 1), numbers.indices.contains(guess), numbers[guess] == number {
            return guess
        }
        var low = 0
        var high = numbers.count
        while low < high {
            let middle = (low + high) / 2
            if numbers[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < numbers.count && numbers[low] == number ? low : nil
    }

    func append(_ number: Int64, to cells: inout RowCells) {
        if number == 0 { return cells.null() }
        guard let place = place(of: number) else { return cells.unknownName(number) }
        let start = place == 0 ? 0 : ends[place - 1]
        bytes.withUnsafeBytes {
            cells.append(canonicalText: UnsafeRawBufferPointer(rebasing: $0[start..<ends[place]]))
        }
    }
}
