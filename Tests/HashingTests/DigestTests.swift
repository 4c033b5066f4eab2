import Hashing
import Testing

@Suite struct DigestTests {
    @Test func `bytes and hexadecimal digits come back as they went in`() {
        let bytes = (0..<32).map { UInt8($0 * 8 + 1) }
        let digest = Digest(bytes: bytes)
        #expect(digest.bytes == bytes)
        #expect(bytes.withUnsafeBytes { Digest(bytes: $0) } == digest)
        #expect(digest.word0 == 0x0109_1119_2129_3139)
        #expect(digest.hex.hasPrefix("0109111921293139"))
        #expect(Digest(hex: digest.hex) == digest)
        #expect(Digest(hex: digest.hex.uppercased()) == digest)
        #expect(Digest.zero.bytes == [UInt8](repeating: 0, count: 32))
    }

    @Test(arguments: [
        "", "00", String(repeating: "0", count: 63), String(repeating: "0", count: 65),
        String(repeating: "0", count: 62) + "0g", String(repeating: "0", count: 66),
        "é" + String(repeating: "0", count: 62),
    ])
    func `what is not 64 hexadecimal digits is no digest`(text: String) {
        #expect(Digest(hex: text) == nil)
    }

    @Test func `digests are ordered as their bytes`() {
        var digests: [Digest] = []
        for position in 0..<32 {
            for value: UInt8 in [1, 0x80, 0xFF] {
                var bytes = [UInt8](repeating: 0, count: 32)
                bytes[position] = value
                digests.append(Digest(bytes: bytes))
            }
        }
        let sorted = digests.sorted()
        let byBytes = digests.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        #expect(sorted == byBytes)
    }

    @Test func `rows in any order have one digest, and a removed row leaves no trace`() {
        let rows = (0..<50).map { Array("row \($0 % 40)".utf8) }
        var forward = MultisetDigest()
        var backward = MultisetDigest()
        rows.forEach { forward.add($0) }
        rows.reversed().forEach { backward.add($0) }
        #expect(forward == backward)
        #expect(MultisetDigest(bytes: forward.bytes) == forward)
        #expect(MultisetDigest(bytes: forward.bytes.dropLast()) == nil)

        var more = forward
        more.add(rows[3])
        #expect(more != forward, "a row twice is not a row once")
        more.remove(rows[3])
        #expect(more == forward)
        rows.forEach { more.remove($0) }
        #expect(more == MultisetDigest())
        #expect(more.hex == String(repeating: "0", count: 64))

        var left = MultisetDigest()
        var right = MultisetDigest()
        rows.prefix(20).forEach { left.add($0) }
        rows.dropFirst(20).forEach { right.add($0) }
        left.merge(right)
        #expect(left == forward)
    }

    @Test func `one row has the lanes of its hash`() {
        var digest = MultisetDigest()
        digest.add(Array("abc".utf8))
        #expect(digest.hex == SHA256.hash(Array("abc".utf8)).hex)
    }
}
