/// An identifier from outside: org, user, service, source, id, model and so on.
///
/// 1 to 256 bytes of UTF-8 without control characters (contract 1 and 3). Two names are the same when their bytes are
/// the same: Swift's `String` equality would merge canonically equivalent spellings, and with them two customers.
public struct Name: Hashable, Sendable {
    public static let bytesMax = 256

    public let text: String

    /// Nil when `bytes` is empty, over 256 bytes, not UTF-8, or holds a control character (U+0000...U+001F, U+007F...U+009F).
    public init?(bytes: some Collection<UInt8>) {
        guard (1...Name.bytesMax).contains(bytes.count) else { return nil }
        var previous: UInt8 = 0
        for byte in bytes {
            if byte < 0x20 || byte == 0x7F { return nil }
            if previous == 0xC2 && (0x80...0x9F).contains(byte) { return nil }
            previous = byte
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        self.text = text
    }

    public init?(_ text: String) {
        self.init(bytes: text.utf8)
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
