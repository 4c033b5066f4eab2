/// Comma-separated values as RFC 4180 has them, in pieces of any size: quoted fields may hold commas, quotes (doubled)
/// and line ends. A line may end with LF alone; a byte order mark is passed over, and so are empty lines. Anything else
/// that section 2 does not allow is a fault with its line.
public struct CSVReader: Sendable {
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        /// From 1.
        public var line: Int
        public var reason: String
        public var description: String { "line \(line): \(reason)" }
    }

    public static let fieldBytesMax = 1 << 20
    public static let fieldsMax = 1000

    private enum State {
        case fieldStart
        case plain
        case quoted
        /// After a quote within quotes: the end of the field, or half of a quote.
        case quote
        case carriageReturn
    }

    private var state = State.fieldStart
    private var field: [UInt8] = []
    private var fields: [String] = []
    /// The line being read, and the one on which the record began.
    private var line = 1
    private var firstLine = 1
    private var isQuoted = false
    private var markSeen = 0

    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    public init() {}

    /// Takes more bytes; `body` is called with the fields of each record that they end and the line on which it began.
    public mutating func push(
        _ bytes: some Sequence<UInt8>, _ body: ([String], _ line: Int) throws -> Void
    ) throws {
        for byte in bytes {
            if markSeen < 3 {
                if byte == CSVReader.byteOrderMark[markSeen] {
                    markSeen += 1
                    continue
                }
                let held = CSVReader.byteOrderMark[..<markSeen]
                markSeen = 3
                for byte in held { try take(byte, body) }
            }
            try take(byte, body)
        }
    }

    /// The bytes have ended: a last record needs no line end.
    public mutating func end(_ body: ([String], _ line: Int) throws -> Void) throws {
        if (1...2).contains(markSeen) { throw fault("a field is not UTF-8") }
        switch state {
        case .quoted: throw Fault(line: firstLine, reason: "a quoted field of the record has no end")
        case .carriageReturn: throw fault("a CR without an LF")
        case .fieldStart where fields.isEmpty: return
        case .fieldStart, .plain, .quote: try endRecord(body)
        }
    }

    private mutating func take(_ byte: UInt8, _ body: ([String], Int) throws -> Void) throws {
        switch (state, byte) {
        case (.carriageReturn, 0x0A):
            try endRecord(body)
        case (.carriageReturn, _):
            throw fault("a CR without an LF")
        case (.quoted, 0x22):
            state = .quote
        case (.quoted, _):
            if byte == 0x0A { line += 1 }
            try append(byte)
        case (.quote, 0x22):
            try append(byte)
            state = .quoted
        case (_, 0x2C):
            try endField()
        case (_, 0x0D):
            state = .carriageReturn
        case (_, 0x0A):
            try endRecord(body)
        case (.fieldStart, 0x22):
            state = .quoted
            isQuoted = true
        case (.quote, _):
            throw fault("a quoted field goes on after its closing quote")
        case (.plain, 0x22):
            throw fault("a quote inside a field that is not quoted")
        case (.fieldStart, _), (.plain, _):
            try append(byte)
            state = .plain
        }
    }

    private mutating func append(_ byte: UInt8) throws {
        guard field.count < CSVReader.fieldBytesMax else {
            throw fault("a field is longer than \(CSVReader.fieldBytesMax) bytes")
        }
        field.append(byte)
    }

    private mutating func endField() throws {
        guard let text = String(validating: field, as: UTF8.self) else { throw fault("a field is not UTF-8") }
        guard fields.count < CSVReader.fieldsMax else { throw fault("more than \(CSVReader.fieldsMax) fields") }
        fields.append(text)
        field.removeAll(keepingCapacity: true)
        state = .fieldStart
    }

    private mutating func endRecord(_ body: ([String], Int) throws -> Void) throws {
        try endField()
        let isEmptyLine = fields.count == 1 && fields[0].isEmpty && !isQuoted
        let (record, start) = (fields, firstLine)
        fields.removeAll(keepingCapacity: true)
        isQuoted = false
        line += 1
        firstLine = line
        if !isEmptyLine { try body(record, start) }
    }

    private func fault(_ reason: String) -> Fault { Fault(line: line, reason: reason) }
}
