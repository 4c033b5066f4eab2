/// A table of a read model as its projection sees it: which columns are the key, which are values, and how rows change.
/// The SQL of the table itself is in Schemas; both are checked against each other by the first statement prepared.
public struct Table: Sendable {
    /// How rows come about.
    public enum Kind: Sendable {
        /// Values are integers and sums, changed only by adding to them. A row of zeros is no row: it is not kept.
        case sums
        /// Rows are put, replaced and removed as a whole.
        case rows
        /// Rows are added once and never change: a sink that only digests does not keep them.
        case appended
    }

    /// A column and what its cells hold.
    public enum Column: Sendable {
        case integer(String)
        /// An integer of up to 128 bits (`WideInteger`); in the schema the type is ANY, so that it is kept as it is.
        case sum(String)
        case text(String)
        case blob(String)
        /// A name, kept once in the file's `names` table; the column holds its number, 0 when null.
        case name(String)

        public var name: String {
            switch self {
            case .integer(let name), .sum(let name), .text(let name), .blob(let name), .name(let name): name
            }
        }

        var isName: Bool {
            if case .name = self { true } else { false }
        }
    }

    public let name: String
    /// Tells the rows of different tables of one read model apart in its digest.
    public let tag: UInt8
    public let kind: Kind
    public let keys: [Column]
    public let values: [Column]

    /// Of each column, key columns first.
    let isName: [Bool]
    /// Sets the values from each one on, in the row of a key.
    let updateSQL: [String]
    let insertSQL: String
    let deleteSQL: String
    let selectSQL: String
    let scanSQL: String
    /// Names as their numbers.
    let rawScanSQL: String

    /// `name` and columns are SQL identifiers of ours, never text from outside.
    public init(_ name: String, tag: UInt8, kind: Kind, keys: [Column], values: [Column] = []) {
        precondition(!keys.isEmpty, "table \(name) has no key")
        precondition(kind != .sums || !values.isEmpty, "table \(name) has no sums")
        self.name = name
        self.tag = tag
        self.kind = kind
        self.keys = keys
        self.values = values
        let columns = keys + values
        let names = columns.map(\.name).joined(separator: ", ")
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        let match = keys.map { "\($0.name) = ?" }.joined(separator: " AND ")
        isName = columns.map(\.isName)
        insertSQL = "INSERT INTO \(name) (\(names)) VALUES (\(marks))"
        updateSQL = values.indices.map { first in
            "UPDATE \(name) SET \(values[first...].map { "\($0.name) = ?" }.joined(separator: ", ")) WHERE \(match)"
        }
        deleteSQL = "DELETE FROM \(name) WHERE \(match)"
        func resolved(_ columns: [Column]) -> String {
            columns.map {
                $0.isName ? "(SELECT text FROM names WHERE id = \(name).\($0.name))" : "\(name).\($0.name)"
            }.joined(separator: ", ")
        }
        selectSQL = "SELECT \(values.isEmpty ? "1" : resolved(values)) FROM \(name) WHERE \(match)"
        scanSQL = "SELECT \(resolved(columns)) FROM \(name)"
        rawScanSQL = "SELECT \(names) FROM \(name)"
    }
}
