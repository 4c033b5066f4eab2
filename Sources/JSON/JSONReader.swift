/// A pull reader: the caller asks for what it expects, in the order of the document, and skips the rest. Strict RFC
/// 8259: no duplicate names (also inside what is skipped), UTF-8 only, no byte order mark, no lone surrogates, at most
/// `depthMax` levels; numbers stay text. A reader that threw is spent. Copying one is cheap until the copy moves on.
///
///     var reader = JSONReader(bytes)
///     try reader.beginObject()
///     while let key = try reader.nextName() {
///         switch key {
///         case "id": id = try reader.string()
///         default: try reader.skip()
///         }
///     }
///     try reader.end()
public struct JSONReader: Sendable {
    /// Objects and arrays within each other, the outermost counted.
    public static let depthMax = 64
    /// Bytes of a member name that an error quotes.
    static let quotedMax = 64

    /// What a value is, told by its first byte.
    public enum Kind: Sendable {
        case object, array, string, number, bool, null

        /// "an object", for messages.
        public var phrase: String {
            switch self {
            case .object: "an object"
            case .array: "an array"
            case .string: "a string"
            case .number: "a number"
            case .bool: "true or false"
            case .null: "null"
            }
        }
    }

    private struct Frame: Sendable {
        var isObject: Bool
        var isEmpty = true
        var level: Names.Level
    }

    public internal(set) var bytes: [UInt8]
    /// Index in `bytes` of the next byte to be read.
    public internal(set) var offset: Int
    private let limit: Int
    private var frames: [Frame] = []
    private var names = Names()
    /// A name was read, its value not yet.
    var owesValue = false

    /// Reads `range` of `bytes`, all of them when nil.
    public init(_ bytes: [UInt8], range: Range<Int>? = nil) {
        let range = range ?? 0..<bytes.count
        precondition(
            range.lowerBound >= 0 && range.upperBound <= bytes.count, "range \(range) of \(bytes.count) bytes")
        self.bytes = bytes
        self.offset = range.lowerBound
        self.limit = range.upperBound
    }

    /// How many objects and arrays are open.
    public var depth: Int { frames.count }

    /// Skips white space and says what comes next; consumes nothing of it.
    public mutating func peek() throws(JSONError) -> Kind {
        try withScan { (scan, reader) throws(JSONError) in
            reader.offset = scan.space(reader.offset)
            return try scan.kind(reader.offset)
        }
    }

    public mutating func beginObject() throws(JSONError) { try begin(.object) }

    public mutating func beginArray() throws(JSONError) { try begin(.array) }

    /// The next member's name, its value being next to read; nil at the end of the object, which is then closed.
    public mutating func nextKey() throws(JSONError) -> String? {
        try nextName()?.text
    }

    /// As `nextKey`, without making a String.
    public mutating func nextName() throws(JSONError) -> JSONKey? {
        precondition(frames.last?.isObject == true, "nextName outside of an object at byte \(offset)")
        precondition(!owesValue, "the value before byte \(offset) was not read")
        var decoded: [UInt8] = []
        let member = try withScan { (scan, reader) throws(JSONError) -> (Range<Int>, escaped: Bool)? in
            guard let (range, escaped) = try reader.member(scan) else { return nil }
            reader.owesValue = true
            if escaped { try scan.unescape(range, into: &decoded) }
            return (range, escaped)
        }
        guard let (range, escaped) = member else { return nil }
        if escaped { return JSONKey(bytes: decoded, start: 0, count: decoded.count) }
        return JSONKey(bytes: bytes, start: range.lowerBound, count: range.count)
    }

    /// Whether an element follows, being next to read; false at the end of the array, which is then closed.
    public mutating func nextElement() throws(JSONError) -> Bool {
        precondition(frames.last?.isObject == false, "nextElement outside of an array at byte \(offset)")
        return try withScan { (scan, reader) throws(JSONError) in try reader.element(scan) }
    }

    public mutating func string() throws(JSONError) -> String {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.expect(.string, scan)
            let start = reader.offset + 1
            let (close, escaped) = try scan.string(start)
            reader.offset = close + 1
            reader.owesValue = false
            guard escaped else {
                return String(decoding: UnsafeBufferPointer(rebasing: scan.bytes[start..<close]), as: UTF8.self)
            }
            var decoded: [UInt8] = []
            decoded.reserveCapacity(close - start)
            try scan.unescape(start..<close, into: &decoded)
            return String(decoding: decoded, as: UTF8.self)
        }
    }

    /// The range of the number as it is written in `bytes`, its grammar checked.
    public mutating func number() throws(JSONError) -> Range<Int> {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.expect(.number, scan)
            let start = reader.offset
            reader.offset = try scan.number(start)
            reader.owesValue = false
            return start..<reader.offset
        }
    }

    public mutating func bool() throws(JSONError) -> Bool {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.expect(.bool, scan)
            let isTrue = scan.bytes[reader.offset] == 0x74
            reader.offset = try scan.literal(reader.offset, isTrue ? "true" : "false")
            reader.owesValue = false
            return isTrue
        }
    }

    public mutating func null() throws(JSONError) {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.expect(.null, scan)
            reader.offset = try scan.literal(reader.offset, "null")
            reader.owesValue = false
        }
    }

    /// Passes over the next value, whatever it is; as strict as reading it.
    public mutating func skip() throws(JSONError) {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.skip(scan)
            reader.owesValue = false
        }
    }

    /// The document is over: only white space may follow.
    public mutating func end() throws(JSONError) {
        precondition(frames.isEmpty, "end inside of \(frames.count) open objects or arrays at byte \(offset)")
        try withScan { (scan, reader) throws(JSONError) in
            reader.offset = scan.space(reader.offset)
            if reader.offset < scan.end {
                throw JSONError(offset: reader.offset, reason: "something follows the value")
            }
        }
    }

    /// The next value as a tree.
    public mutating func value() throws(JSONError) -> JSONValue {
        switch try peek() {
        case .object:
            try beginObject()
            var members: [JSONValue.Member] = []
            while let name = try nextKey() { members.append(.init(name: name, value: try value())) }
            return .object(members)
        case .array:
            try beginArray()
            var elements: [JSONValue] = []
            while try nextElement() { elements.append(try value()) }
            return .array(elements)
        case .string: return .string(try string())
        case .number:
            let range = try number()
            return .number(String(decoding: bytes[range], as: UTF8.self))
        case .bool: return .bool(try bool())
        case .null:
            try null()
            return .null
        }
    }
}

extension JSONReader {
    /// The pointer lives for one call only. `bytes` is moved out meanwhile, so that `self` may change inside and no
    /// reference is counted: `body` finds none in its reader.
    @inline(__always)
    mutating func withScan<R>(
        _ body: (Scan, inout JSONReader) throws(JSONError) -> R
    ) throws(JSONError) -> R {
        var bytes: [UInt8] = []
        swap(&bytes, &self.bytes)
        defer { swap(&bytes, &self.bytes) }
        return try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
            try body(Scan(buffer, end: limit), &self)
        }
    }

    @inline(__always)
    private mutating func expect(_ kind: Kind, _ scan: Scan) throws(JSONError) {
        offset = scan.space(offset)
        let found = try scan.kind(offset)
        guard found == kind else {
            throw JSONError(offset: offset, reason: "\(kind.phrase) was expected, not \(found.phrase)")
        }
    }

    private mutating func begin(_ kind: Kind) throws(JSONError) {
        try withScan { (scan, reader) throws(JSONError) in
            try reader.expect(kind, scan)
            try reader.open(isObject: kind == .object)
            reader.owesValue = false
        }
    }

    @inline(__always)
    private mutating func open(isObject: Bool) throws(JSONError) {
        guard frames.count < JSONReader.depthMax else {
            throw JSONError(offset: offset, reason: "more than \(JSONReader.depthMax) levels")
        }
        frames.append(Frame(isObject: isObject, level: names.level))
        offset += 1
    }

    @inline(__always)
    private mutating func close() {
        names.close(frames.removeLast().level)
        offset += 1
    }

    /// The next name and its colon; nil after closing the object.
    @inline(__always)
    private mutating func member(_ scan: Scan) throws(JSONError) -> (Range<Int>, escaped: Bool)? {
        let top = frames.count - 1
        offset = scan.space(offset)
        var byte = try scan.byte(offset)
        if byte == Scan.closeBrace {
            close()
            return nil
        }
        if !frames[top].isEmpty {
            guard byte == Scan.comma else { throw JSONError(offset: offset, reason: "neither a comma nor a }") }
            offset = scan.space(offset + 1)
            byte = try scan.byte(offset)
        }
        guard byte == Scan.quote else { throw JSONError(offset: offset, reason: "a name is missing") }
        frames[top].isEmpty = false
        let start = offset + 1
        let (end, escaped) = try scan.string(start)
        if !(try names.insert(start..<end, escaped: escaped, scan: scan, level: frames[top].level)) {
            throw duplicate(start..<end, scan)
        }
        offset = scan.space(end + 1)
        guard try scan.byte(offset) == Scan.colon else { throw JSONError(offset: offset, reason: "a colon is missing") }
        offset += 1
        return (start..<end, escaped)
    }

    @inline(__always)
    private mutating func element(_ scan: Scan) throws(JSONError) -> Bool {
        let top = frames.count - 1
        offset = scan.space(offset)
        let byte = try scan.byte(offset)
        if byte == Scan.closeBracket {
            close()
            return false
        }
        if !frames[top].isEmpty {
            guard byte == Scan.comma else { throw JSONError(offset: offset, reason: "neither a comma nor a ]") }
            offset = scan.space(offset + 1)
            _ = try scan.kind(offset)
        }
        frames[top].isEmpty = false
        return true
    }

    private mutating func skip(_ scan: Scan) throws(JSONError) {
        let floor = frames.count
        while true {
            offset = scan.space(offset)
            switch try scan.kind(offset) {
            case .string: offset = try scan.string(offset + 1).close + 1
            case .number: offset = try scan.number(offset)
            case .null: offset = try scan.literal(offset, "null")
            case .bool: offset = try scan.literal(offset, scan.bytes[offset] == 0x74 ? "true" : "false")
            case .object: try open(isObject: true)
            case .array: try open(isObject: false)
            }
            // On to the next value: a member's, an element, or none when all that was opened here is closed.
            while true {
                guard frames.count > floor else { return }
                if frames[frames.count - 1].isObject {
                    if try member(scan) != nil { break }
                } else {
                    if try element(scan) { break }
                }
            }
        }
    }

    @inline(never)
    private func duplicate(_ range: Range<Int>, _ scan: Scan) -> JSONError {
        var name: [UInt8] = []
        // Scanned before: it cannot fail.
        try? scan.unescape(range, into: &name)
        let cut = name.prefix(JSONReader.quotedMax).map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }
        let dots = name.count > JSONReader.quotedMax ? "..." : ""
        return JSONError(
            offset: range.lowerBound - 1,
            reason: JSONError.duplicateName + "\"\(String(decoding: cut, as: UTF8.self))\(dots)\"")
    }
}
