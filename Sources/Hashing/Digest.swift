/// A SHA-256 digest: 32 bytes, ordered as bytes.
public struct Digest: Hashable, Comparable, Sendable {
    public static let byteCount = 32
    public static let zero = Digest(0, 0, 0, 0)

    /// The bytes as four big-endian words, first word first.
    public let word0, word1, word2, word3: UInt64

    public init(_ word0: UInt64, _ word1: UInt64, _ word2: UInt64, _ word3: UInt64) {
        self.word0 = word0
        self.word1 = word1
        self.word2 = word2
        self.word3 = word3
    }

    /// Traps unless there are exactly 32 bytes.
    public init(bytes: some Collection<UInt8>) {
        precondition(bytes.count == Digest.byteCount, "a digest of \(bytes.count) bytes")
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var index = 0
        for byte in bytes {
            switch index >> 3 {
            case 0: words.0 = words.0 << 8 | UInt64(byte)
            case 1: words.1 = words.1 << 8 | UInt64(byte)
            case 2: words.2 = words.2 << 8 | UInt64(byte)
            default: words.3 = words.3 << 8 | UInt64(byte)
            }
            index += 1
        }
        self.init(words.0, words.1, words.2, words.3)
    }

    /// Traps unless there are exactly 32 bytes.
    public init(bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Digest.byteCount, "a digest of \(bytes.count) bytes")
        func word(_ index: Int) -> UInt64 {
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        }
        self.init(word(0), word(1), word(2), word(3))
    }

    /// 64 hexadecimal digits in either case; nil for anything else.
    public init?(hex: String) {
        guard let bytes = Hex.bytes(hex.utf8), bytes.count == Digest.byteCount else { return nil }
        self.init(bytes: bytes)
    }

    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Digest.byteCount) { buffer, count in
            write(to: UnsafeMutableRawBufferPointer(buffer))
            count = Digest.byteCount
        }
    }

    /// Writes the 32 bytes at the start of `buffer`. Traps when it is shorter.
    public func write(to buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= Digest.byteCount, "\(buffer.count) bytes for a digest")
        buffer.storeBytes(of: word0.bigEndian, toByteOffset: 0, as: UInt64.self)
        buffer.storeBytes(of: word1.bigEndian, toByteOffset: 8, as: UInt64.self)
        buffer.storeBytes(of: word2.bigEndian, toByteOffset: 16, as: UInt64.self)
        buffer.storeBytes(of: word3.bigEndian, toByteOffset: 24, as: UInt64.self)
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String { Hex.text(bytes) }

    public static func < (left: Digest, right: Digest) -> Bool {
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }
}

extension Digest: CustomStringConvertible {
    public var description: String { hex }
}
