/// A digest of rows that does not depend on their order and follows a change without reading the other rows: the sum,
/// in four lanes modulo 2^64, of the SHA-256 of each row's bytes.
///
/// It tells whether two caches hold the same rows. It is no proof against somebody who picks rows to make sums meet.
public struct MultisetDigest: Hashable, Sendable {
    public static let byteCount = 32

    private var lane0: UInt64 = 0
    private var lane1: UInt64 = 0
    private var lane2: UInt64 = 0
    private var lane3: UInt64 = 0

    /// Of no rows: all zero.
    public init() {}

    /// As `bytes` gave them; nil unless there are exactly 32.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == MultisetDigest.byteCount else { return nil }
        let words = Digest(bytes: bytes)
        (lane0, lane1, lane2, lane3) = (words.word0, words.word1, words.word2, words.word3)
    }

    public mutating func add(_ row: UnsafeRawBufferPointer) { add(hash: SHA256.hash(row)) }
    public mutating func add(_ row: [UInt8]) { add(hash: SHA256.hash(row)) }

    /// Two rows, for less than one after the other.
    public mutating func add(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) {
        let hashes = SHA256.hash(one, other)
        add(hash: hashes.0)
        add(hash: hashes.1)
    }

    /// Takes one occurrence of `row` out again. Removing what was never added leaves the digest of no set of rows.
    public mutating func remove(_ row: UnsafeRawBufferPointer) { remove(hash: SHA256.hash(row)) }
    public mutating func remove(_ row: [UInt8]) { remove(hash: SHA256.hash(row)) }

    /// Adds all rows of `other`.
    public mutating func merge(_ other: MultisetDigest) {
        lane0 &+= other.lane0
        lane1 &+= other.lane1
        lane2 &+= other.lane2
        lane3 &+= other.lane3
    }

    private mutating func add(hash: Digest) {
        lane0 &+= hash.word0
        lane1 &+= hash.word1
        lane2 &+= hash.word2
        lane3 &+= hash.word3
    }

    private mutating func remove(hash: Digest) {
        lane0 &-= hash.word0
        lane1 &-= hash.word1
        lane2 &-= hash.word2
        lane3 &-= hash.word3
    }

    private var digest: Digest { Digest(lane0, lane1, lane2, lane3) }

    /// The lanes, big-endian.
    public var bytes: [UInt8] { digest.bytes }

    /// 64 lower-case hexadecimal digits.
    public var hex: String { digest.hex }
}
