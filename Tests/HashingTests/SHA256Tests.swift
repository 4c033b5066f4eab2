import CHashing
import Hashing
import Testing

@Suite struct SHA256Tests {
    /// FIPS 180-4 examples of NIST, and the empty message.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        ("é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
    ])
    func `the digests are those of the standard`(message: String, expected: String) {
        #expect(SHA256.hash(Array(message.utf8)).hex == expected)
        var streaming = SHA256()
        streaming.update(message)
        #expect(streaming.finalize().hex == expected)
    }

    @Test func `a million bytes hash as the standard says`() {
        let million = [UInt8](repeating: 0x61, count: 1_000_000)
        #expect(SHA256.hash(million).hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    static func message(length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7 + length) }
    }

    @Test func `every length up to 300 bytes hashes as another implementation does`() {
        // The digest of all the digests, computed with Python's hashlib.
        var all = SHA256()
        for length in 0...300 { all.update(SHA256.hash(Self.message(length: length)).bytes) }
        #expect(all.finalize().hex == "60d63ff40b5558727a9b786ac0be9300f7ca58fd9ddd3b2f3681b369018a87dc")
    }

    @Test func `pieces of any size give the digest of the whole`() {
        let message = Self.message(length: 300)
        let whole = SHA256.hash(message)
        for size in 1...130 {
            var hash = SHA256()
            for start in stride(from: 0, to: message.count, by: size) {
                hash.update(Array(message[start..<min(start + size, message.count)]))
            }
            #expect(hash.finalize() == whole, "pieces of \(size)")
            hash.update(message)
            #expect(hash.finalize() == whole, "finalize starts afresh")
        }
    }

    @Test func `a prefixed hash is the hash of the prefix and the rest`() {
        for length in [0, 3, 54, 55, 56, 63, 64, 65, 250] {
            let message = Self.message(length: length)
            let prefixed = message.withUnsafeBytes { SHA256.hash(prefix: 1, $0) }
            #expect(prefixed == SHA256.hash([1] + message))
        }
        let leaf = Array("abc".utf8).withUnsafeBytes { SHA256.hash(prefix: 0, $0) }
        #expect(leaf.hex == "609f6e36d2405585188d5cfd761f407c7cc46a7d3f314c88270469dde315fcd1")
    }

    @Test func `two at once are what each is alone`() {
        // Every place of the padding against every other, and longer than what is hashed side by side.
        let lengths = Array(0...131) + [1000, 1980, 1981, 1982, 1983, 2047, 2048, 5000]
        for one in lengths {
            for other in lengths where one <= 131 || other <= 131 || one == other {
                let (first, second) = (Self.message(length: one), Self.message(length: other))
                first.withUnsafeBytes { first in
                    second.withUnsafeBytes { second in
                        let alone = (SHA256.hash(first), SHA256.hash(second))
                        #expect(SHA256.hash(first, second) == alone, "\(one) and \(other) bytes")
                        let prefixed = (SHA256.hash(prefix: 7, first), SHA256.hash(prefix: 7, second))
                        #expect(SHA256.hash(prefix: 7, first, second) == prefixed, "\(one) and \(other) bytes")
                    }
                }
            }
        }
    }

    @Test func `the portable and the accelerated block functions agree`() {
        guard tally_sha256_accelerated() != 0 else { return }
        let bytes = Self.message(length: 64 * 9)
        for count in 0...9 {
            var portable = [UInt32](1...8).map { $0 &* 0x9E37_79B9 }
            var accelerated = portable
            tally_sha256_blocks_portable(&portable, bytes, count)
            tally_sha256_blocks_accelerated(&accelerated, bytes, count)
            #expect(portable == accelerated, "\(count) blocks")
        }
    }
}
