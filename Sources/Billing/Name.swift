/// An identifier from outside: org, user, service, source, id, model and so on.
///
/// 1 to 256 bytes of UTF-8 without control characters (contract 1 and 3). Two names are the same when their bytes are
/// the same: Swift's `String` equality would merge canonically equivalent spellings, and with them two customers.
public struct Name: Hashable, Sendable {
    public static let bytesMax = 256

    public let text: String

    /// Nil when `bytes` is empty, over 256 bytes, not UTF-8, or holds a control character (U+0000...U+001F,
    /// U+007F...U+009F).
    public init?(bytes: some Collection<UInt8>) {
        let fromBuffer = bytes.withContiguousStorageIfAvailable { Name(buffer: UnsafeRawBufferPointer($0)) }
        guard let name = fromBuffer ?? Array(bytes).withUnsafeBytes({ Name(buffer: $0) }) else { return nil }
        self = name
    }

    /// The same for bytes that are one buffer: one pass and one copy.
    public init?(buffer: UnsafeRawBufferPointer) {
        switch Name.look(at: buffer) {
        case .ascii: self.text = String(decoding: buffer, as: UTF8.self)
        case .other:
            guard let text = String(validating: buffer, as: UTF8.self) else { return nil }
            self.text = text
        case .invalid: return nil
        }
    }

    public init?(_ text: String) {
        let look = text.utf8.withContiguousStorageIfAvailable { Name.look(at: UnsafeRawBufferPointer($0)) }
        guard (look ?? Array(text.utf8).withUnsafeBytes { Name.look(at: $0) }) != .invalid else { return nil }
        self.text = text
    }

    private enum Look {
        case ascii
        /// No control characters, but whether it is UTF-8 is still to be seen.
        case other
        case invalid
    }

    private static func look(at bytes: UnsafeRawBufferPointer) -> Look {
        guard (1...Name.bytesMax).contains(bytes.count) else { return .invalid }
        let (hasControl, isASCII) = scan(bytes)
        if hasControl { return .invalid }
        return isASCII ? .ascii : .other
    }

    /// Whether UTF-8 `bytes` hold a control character (U+0000...U+001F, U+007F...U+009F).
    public static func hasControl(_ bytes: UnsafeRawBufferPointer) -> Bool { scan(bytes).hasControl }

    private static func scan(_ bytes: UnsafeRawBufferPointer) -> (hasControl: Bool, isASCII: Bool) {
        var controls: UInt8 = 0
        var all: UInt8 = 0
        // No early exit: the loop is short and vectorizes.
        for byte in bytes {
            controls |= byte < 0x20 ? 1 : 0
            controls |= byte == 0x7F ? 1 : 0
            all |= byte
        }
        if controls != 0 { return (true, all < 0x80) }
        guard all >= 0x80 else { return (false, true) }
        // U+0080...U+009F.
        let isC1 = (1..<bytes.count).contains { bytes[$0 - 1] == 0xC2 && (0x80...0x9F).contains(bytes[$0]) }
        return (isC1, false)
    }

    /// For bytes that were checked before they were stored, and for literals of ours.
    public init(checked text: String) {
        assert(Name(text) != nil, "not a name: \(text)")
        self.text = text
    }

    public static func == (left: Name, right: Name) -> Bool {
        left.text.hasSameBytes(as: right.text)
    }

    public func hash(into hasher: inout Hasher) {
        text.hash(into: &hasher)
    }
}

extension Name: Comparable {
    /// By bytes, so that the order is the same on every machine and in SQLite's BINARY collation.
    public static func < (left: Name, right: Name) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
}

extension String {
    /// Equality of bytes, where `==` is one of canonical equivalents. Through pointers: walking two UTF-8 views side by
    /// side took a quarter of a charge's time.
    func hasSameBytes(as other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        let same = utf8.withContiguousStorageIfAvailable { left in
            other.utf8.withContiguousStorageIfAvailable { right in
                for index in left.indices where left[index] != right[index] { return false }
                return true
            }
        }
        // Only strings bridged from elsewhere have no contiguous storage.
        return (same ?? nil) ?? utf8.elementsEqual(other.utf8)
    }
}

extension Name: CustomStringConvertible {
    public var description: String { text }
}
