/// Columns of text for a terminal: names to the left, numbers by their points below each other.
struct TextTable {
    struct Column {
        var title: String
        var isText: Bool

        init(_ title: String, isText: Bool = false) {
            self.title = title
            self.isText = isText
        }
    }

    private let columns: [Column]
    private var rows: [[String]] = []
    private var hasTotal = false

    /// Longer names are cut in the table.
    private static let nameMax = 40

    init(_ columns: [Column]) {
        self.columns = columns
    }

    mutating func add(_ cells: [String], isTotal: Bool = false) {
        precondition(cells.count == columns.count, "\(cells.count) cells in \(columns.count) columns")
        rows.append(cells)
        hasTotal = hasTotal || isTotal
    }

    var text: String {
        var lines = [String](repeating: "", count: rows.count + 1)
        for (index, column) in columns.enumerated() {
            var cells = rows.map { column.isText ? TextTable.cut($0[index]) : $0[index] }
            if !column.isText {
                let fractionMax = cells.map(TextTable.fraction).max() ?? 0
                cells = cells.map { $0 + TextTable.spaces(fractionMax - TextTable.fraction($0)) }
            }
            let width = max(column.title.count, cells.map(\.count).max() ?? 0)
            for (line, cell) in ([column.title] + cells).enumerated() {
                let padding = TextTable.spaces(width - cell.count)
                lines[line] += (index == 0 ? "" : "  ") + (column.isText ? cell + padding : padding + cell)
            }
        }
        let rule = String(repeating: "-", count: lines[0].count)
        lines.insert(rule, at: 1)
        if hasTotal { lines.insert(rule, at: lines.count - 1) }
        return lines.map { TextTable.trimmed($0) + "\n" }.joined()
    }

    /// How many characters stand from the point on.
    private static func fraction(_ number: String) -> Int {
        number.firstIndex(of: ".").map { number.distance(from: $0, to: number.endIndex) } ?? 0
    }

    private static func cut(_ text: String) -> String {
        text.count > nameMax ? text.prefix(nameMax - 1) + "…" : text
    }

    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }

    private static func trimmed(_ line: String) -> String {
        var line = line[...]
        while line.last == " " { line.removeLast() }
        return String(line)
    }
}
