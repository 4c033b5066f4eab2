/// Finds where the objects of a large JSON array end, or of lines of objects, in pieces of any size: each is then read
/// by itself, and only one at a time is in memory. What is inside of an object is its reader's matter.
public struct JSONSplitter: Sendable {
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        /// From 0, of the whole text.
        public var offset: Int
        public var reason: String
        public var description: String { "byte \(offset): \(reason)" }
    }

    public static let objectBytesMax = 64 << 20

    private enum State {
        /// Before the first byte that says what it is.
        case start
        /// Between objects.
        case between
        case object
        /// After the array's end.
        case over
    }

    private var state = State.start
    private var isArray = false
    /// After an object of an array comes a comma, after a comma an object.
    private var owesComma = false
    private var owesObject = false
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var object: [UInt8] = []
    private var offset = 0

    public init() {}

    /// Takes more bytes; `body` is called with each object that they end and the offset of its first byte.
    public mutating func push(
        _ bytes: some Sequence<UInt8>, _ body: ([UInt8], _ offset: Int) throws -> Void
    ) throws {
        for byte in bytes {
            try take(byte, body)
            offset += 1
        }
    }

    /// The bytes have ended.
    public func end() throws(Fault) {
        guard state == .over || !isArray && state != .object else { throw fault("the text ends before it is whole") }
    }

    private mutating func take(_ byte: UInt8, _ body: ([UInt8], Int) throws -> Void) throws {
        if state == .object {
            try append(byte)
            guard depth == 0 else { return }
            state = .between
            owesComma = isArray
            try body(object, offset + 1 - object.count)
            object.removeAll(keepingCapacity: true)
            return
        }
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D: return
        case 0x5B where state == .start:
            isArray = true
            state = .between
        case 0x5D where isArray && state == .between && !owesObject:
            state = .over
        case 0x2C where owesComma:
            owesComma = false
            owesObject = true
        case 0x7B where state != .over && !owesComma:
            state = .object
            owesObject = false
            try append(byte)
        default:
            throw fault("neither an array of objects nor objects one after the other")
        }
    }

    private mutating func append(_ byte: UInt8) throws(Fault) {
        guard object.count < JSONSplitter.objectBytesMax else {
            throw fault("an object is longer than \(JSONSplitter.objectBytesMax) bytes")
        }
        object.append(byte)
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == 0x5C {
                isEscaped = true
            } else if byte == 0x22 {
                isInString = false
            }
            return
        }
        switch byte {
        case 0x22: isInString = true
        case 0x7B, 0x5B: depth += 1
        case 0x7D, 0x5D: depth -= 1
        default: break
        }
    }

    private func fault(_ reason: String) -> Fault { Fault(offset: offset, reason: reason) }
}
