/// Appends JSON to bytes: compact, commas by itself, escapes only what RFC 8259 section 7 demands. Wrong nesting is a
/// bug of the caller and stops the program.
public struct JSONWriter: Sendable {
    public private(set) var bytes: [UInt8] = []
    /// For each open object or array: is it an object, has it members already.
    private var frames: [(isObject: Bool, isEmpty: Bool)] = []
    private var owesValue = false

    public init(reservingCapacity capacity: Int = 256) {
        bytes.reserveCapacity(capacity)
    }

    /// The bytes as text.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Forgets what was written and keeps the memory.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        frames.removeAll(keepingCapacity: true)
        owesValue = false
    }

    public mutating func beginObject() {
        value()
        bytes.append(Scan.openBrace)
        frames.append((true, true))
    }

    public mutating func endObject() {
        precondition(frames.last?.isObject == true && !owesValue, "endObject without an object to end")
        frames.removeLast()
        bytes.append(Scan.closeBrace)
    }

    public mutating func beginArray() {
        value()
        bytes.append(Scan.openBracket)
        frames.append((false, true))
    }

    public mutating func endArray() {
        precondition(frames.last?.isObject == false, "endArray without an array to end")
        frames.removeLast()
        bytes.append(Scan.closeBracket)
    }

    /// A member's name; its value must follow. Names of ours: nothing in them needs an escape.
    public mutating func key(_ name: StaticString) {
        beginKey()
        bytes.append(Scan.quote)
        bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        bytes.append(Scan.quote)
        bytes.append(Scan.colon)
    }

    /// A member's name from outside.
    @_disfavoredOverload
    public mutating func key(_ name: String) {
        beginKey()
        quoted(name)
        bytes.append(Scan.colon)
    }

    public mutating func string(_ text: String) {
        value()
        quoted(text)
    }

    public mutating func integer(_ number: some BinaryInteger) {
        value()
        guard var rest = UInt64(exactly: number) else {
            bytes.append(contentsOf: String(number).utf8)
            return
        }
        var power: UInt64 = 1
        while rest / power >= 10 { power *= 10 }
        while power > 0 {
            let (digit, remainder) = rest.quotientAndRemainder(dividingBy: power)
            bytes.append(0x30 + UInt8(digit))
            rest = remainder
            power /= 10
        }
    }

    /// A number as written, or JSON made elsewhere: it goes out as it is.
    public mutating func raw(_ json: String) {
        value()
        bytes.append(contentsOf: json.utf8)
    }

    /// JSON made elsewhere.
    public mutating func raw(_ json: some Collection<UInt8>) {
        value()
        bytes.append(contentsOf: json)
    }

    public mutating func bool(_ flag: Bool) {
        value()
        bytes.append(contentsOf: (flag ? "true" : "false").utf8)
    }

    public mutating func null() {
        value()
        bytes.append(contentsOf: "null".utf8)
    }

    public mutating func value(_ value: JSONValue) {
        switch value {
        case .object(let members):
            beginObject()
            for member in members {
                key(member.name)
                self.value(member.value)
            }
            endObject()
        case .array(let elements):
            beginArray()
            for element in elements { self.value(element) }
            endArray()
        case .string(let text): string(text)
        case .number(let text): raw(text)
        case .bool(let flag): bool(flag)
        case .null: null()
        }
    }

    private mutating func beginKey() {
        precondition(frames.last?.isObject == true, "a key outside of an object")
        precondition(!owesValue, "a key where a value is due")
        if !frames[frames.count - 1].isEmpty { bytes.append(Scan.comma) }
        frames[frames.count - 1].isEmpty = false
        owesValue = true
    }

    private mutating func value() {
        guard let top = frames.last else {
            precondition(bytes.isEmpty, "a second value beside the first")
            return
        }
        if top.isObject {
            precondition(owesValue, "a value without a key")
            owesValue = false
            return
        }
        if !top.isEmpty { bytes.append(Scan.comma) }
        frames[frames.count - 1].isEmpty = false
    }

    private mutating func quoted(_ text: String) {
        bytes.append(Scan.quote)
        var text = text
        text.withUTF8 { utf8 in
            var start = 0
            for index in 0..<utf8.count {
                let byte = utf8[index]
                guard byte < 0x20 || byte == Scan.quote || byte == Scan.backslash else { continue }
                bytes.append(contentsOf: utf8[start..<index])
                escape(byte)
                start = index + 1
            }
            bytes.append(contentsOf: utf8[start..<utf8.count])
        }
        bytes.append(Scan.quote)
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(Scan.backslash)
        switch byte {
        case 0x08: bytes.append(0x62)
        case 0x09: bytes.append(0x74)
        case 0x0A: bytes.append(0x6E)
        case 0x0C: bytes.append(0x66)
        case 0x0D: bytes.append(0x72)
        case Scan.quote, Scan.backslash: bytes.append(byte)
        default:
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(contentsOf: hex(byte).utf8)
        }
    }
}

/// Members in one line. The optional variants leave out a member that is nil: absent is not null.
extension JSONWriter {
    public mutating func member(_ name: StaticString, string text: String) {
        key(name)
        string(text)
    }

    @_disfavoredOverload
    public mutating func member(_ name: StaticString, string text: String?) {
        if let text { member(name, string: text) }
    }

    public mutating func member(_ name: StaticString, integer number: some BinaryInteger) {
        key(name)
        integer(number)
    }

    @_disfavoredOverload
    public mutating func member<Number: BinaryInteger>(_ name: StaticString, integer number: Number?) {
        if let number { member(name, integer: number) }
    }

    /// A number as written.
    public mutating func member(_ name: StaticString, raw number: String) {
        key(name)
        raw(number)
    }

    @_disfavoredOverload
    public mutating func member(_ name: StaticString, raw number: String?) {
        if let number { member(name, raw: number) }
    }

    public mutating func member(_ name: StaticString, bool flag: Bool) {
        key(name)
        bool(flag)
    }

    @_disfavoredOverload
    public mutating func member(_ name: StaticString, bool flag: Bool?) {
        if let flag { member(name, bool: flag) }
    }

    public mutating func member(null name: StaticString) {
        key(name)
        null()
    }

    public mutating func member(_ name: StaticString, value: JSONValue) {
        key(name)
        self.value(value)
    }
}

extension JSONWriter {
    public mutating func object(_ build: (inout JSONWriter) -> Void) {
        beginObject()
        build(&self)
        endObject()
    }

    public mutating func array<Element>(
        _ elements: some Sequence<Element>, _ build: (inout JSONWriter, Element) -> Void
    ) {
        beginArray()
        for element in elements { build(&self, element) }
        endArray()
    }
}
