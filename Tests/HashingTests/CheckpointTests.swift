import Hashing
import Testing

@Suite struct CheckpointTests {
    /// RFC 4648 section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func `base64 as the RFC has it`(plain: String, text: String) {
        #expect(Base64.text(Array(plain.utf8)) == text)
        #expect(Base64.bytes(text.utf8) == Array(plain.utf8))
        #expect(Base64.bytes(ofAnyAlphabet: text.utf8) == Array(plain.utf8))
        #expect(Base64.bytes(ofAnyAlphabet: text.utf8.filter { $0 != 0x3D }) == Array(plain.utf8))
    }

    @Test func `others write base64 for URLs, and without padding`() {
        #expect(Base64.bytes(ofAnyAlphabet: "-_8".utf8) == Base64.bytes("+/8=".utf8))
        for text in ["Z", "Zm9v=", "Zh", "Zg===", "Z g", "Zg.."] {
            #expect(Base64.bytes(ofAnyAlphabet: text.utf8) == nil, "\(text)")
        }
    }

    @Test(arguments: ["Zg", "Zg=", "Zh==", "Zm9=", "Zm8", "Z===", "====", "Zm9v\n", "Zm 9", "Zm9-", "Zg==Zg=="])
    func `what base64 would not write is none`(text: String) {
        #expect(Base64.bytes(text.utf8) == nil)
    }

    @Test func `every byte comes back`() {
        let bytes = (0..<256).map { UInt8($0) }
        #expect(Base64.bytes(Base64.text(bytes).utf8) == bytes)
        #expect(Base64.text(bytes).contains("+") && Base64.text(bytes).contains("/"))
    }

    private let sample = Checkpoint(origin: "example.com/log", size: 20_852_163, root: Merkle.emptyRoot)

    @Test func `a checkpoint is three lines and comes back from them`() throws {
        #expect(sample.text == "example.com/log\n20852163\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
        #expect(try Checkpoint(parsing: Array(sample.text.utf8)) == sample)
        let signed = sample.text + "\n— example.com/log Az3grlgt\n— witness.example Az3grlgu\n"
        #expect(try Checkpoint(parsing: Array(signed.utf8)) == sample)
        #expect(Checkpoint.standardOrigin(logID: [0x00, 0xAB]) == "tallystick/00ab")
    }

    @Test func `nothing else is a checkpoint`() {
        let root = sample.root.base64
        for text in [
            "", "a", "a\n1\n", "a\n1\n\(root)", "\n1\n\(root)\n", "a b\n1\n\(root)\n", "a+b\n1\n\(root)\n",
            "a\n01\n\(root)\n", "a\n\n\(root)\n", "a\n-1\n\(root)\n", "a\n18446744073709551615\n\(root)\n",
            "a\n1\n\(root.dropLast())\n", "a\n1\n\(root)=\n", "a\n1\n\(root)\nextension\n", "a\r\n1\r\n\(root)\r\n",
            "a\n1\n\(root)\n\n— unfinished",
        ] {
            #expect(throws: Checkpoint.FormError.self, "\(text)") { try Checkpoint(parsing: Array(text.utf8)) }
        }
        var invalid = Array(sample.text.utf8)
        invalid[2] = 0xFF
        #expect(throws: Checkpoint.FormError.self) { try Checkpoint(parsing: invalid) }
        let long = sample.text + "\n" + String(repeating: "— a Az3grlgt\n", count: 10_000)
        #expect(throws: Checkpoint.FormError.self) { try Checkpoint(parsing: Array(long.utf8)) }
    }
}
