import CHashing

/// SHA-256 (FIPS 180-4). The block function is C: the processor's SHA instructions where there are any.
public struct SHA256: Sendable {
    private var state = tally_sha256()

    public init() {
        tally_sha256_start(&state)
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        tally_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The UTF-8 of `text`.
    public mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// The digest of all bytes so far. Starts afresh: what is updated afterwards belongs to the next digest.
    public mutating func finalize() -> Digest {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { buffer in
            tally_sha256_finish(&state, buffer.baseAddress?.assumingMemoryBound(to: UInt64.self))
        }
        tally_sha256_start(&state)
        return Digest(words.0, words.1, words.2, words.3)
    }

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
        oneShot(prefix: -1, bytes)
    }

    public static func hash(_ bytes: [UInt8]) -> Digest {
        bytes.withUnsafeBytes { oneShot(prefix: -1, $0) }
    }

    /// Of one byte followed by `bytes`: how RFC 6962 section 2.1 keeps leaves and nodes apart.
    public static func hash(prefix: UInt8, _ bytes: UnsafeRawBufferPointer) -> Digest {
        oneShot(prefix: Int32(prefix), bytes)
    }

    /// The digests of two messages, faster than one after the other where they are short.
    public static func hash(
        _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
    ) -> (Digest, Digest) {
        twoShot(prefix: -1, one, other)
    }

    /// The same with one byte before each.
    public static func hash(
        prefix: UInt8, _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
    ) -> (Digest, Digest) {
        twoShot(prefix: Int32(prefix), one, other)
    }

    private static func twoShot(
        prefix: Int32, _ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer
    ) -> (Digest, Digest) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8) { words in
            guard let start = words.baseAddress else { preconditionFailure("no room for two digests") }
            tally_sha256_of_two(
                prefix, one.baseAddress, one.count, other.baseAddress, other.count, start, start + 4)
            return (
                Digest(words[0], words[1], words[2], words[3]), Digest(words[4], words[5], words[6], words[7])
            )
        }
    }

    private static func oneShot(prefix: Int32, _ bytes: UnsafeRawBufferPointer) -> Digest {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { buffer in
            tally_sha256_of(
                prefix, bytes.baseAddress, bytes.count, buffer.baseAddress?.assumingMemoryBound(to: UInt64.self))
        }
        return Digest(words.0, words.1, words.2, words.3)
    }
}
