import Billing
import Testing

@Suite struct VocabularyTests {
    static let names: [(bytes: [UInt8], isName: Bool)] = [
        ([], false), ([0x61], true), ([UInt8](repeating: 0x61, count: 256), true),
        ([UInt8](repeating: 0x61, count: 257), false), (Array("gateway/eu-1 é 日 🦊".utf8), true),
        ([0x61, 0x00], false), ([0x1F], false), ([0x20], true), ([0x7E], true), ([0x7F], false),
        ([0xC2, 0x80], false), ([0xC2, 0x9F], false), ([0xC2, 0xA0], true), ([0x61, 0xC2, 0x85, 0x61], false),
        ([0xC3, 0x85], true), ([0xC2], false), ([0xFF], false), ([0xC0, 0x80], false), ([0xED, 0xA0, 0x80], false),
        ([0x80], false), ([0xE2, 0x80, 0xA8], true),
    ]

    @Test(arguments: 0..<names.count)
    func `a name is 1 to 256 bytes of UTF-8 without control characters`(row: Int) {
        let (bytes, isName) = Self.names[row]
        #expect((Name(bytes: bytes) != nil) == isName, "\(bytes)")
        #expect((Name(bytes: ContiguousArray(bytes).lazy.map { $0 }) != nil) == isName, "\(bytes)")
        #expect(bytes.withUnsafeBytes { Name(buffer: $0) != nil } == isName, "\(bytes)")
        if let text = String(validating: bytes, as: UTF8.self) { #expect((Name(text) != nil) == isName, "\(bytes)") }
        if isName { #expect(Name(bytes: bytes).map { Array($0.text.utf8) } == bytes) }
    }

    @Test func `names that look alike are two names`() {
        let names = ["é", "e\u{301}", "K", "\u{212A}", "\u{1100}\u{1161}", "\u{AC00}"].map { Name(checked: $0) }
        for (index, name) in names.enumerated() {
            #expect(names.filter { $0 == name }.count == 1)
            #expect(names.firstIndex(of: name) == index)
        }
    }

    /// The quick way and the long way of parsing, on the borders between them. An exponent of 0 forces the long way.
    @Test(arguments: [
        "0", "-0", "1", "-1", "10", "0.1", "-0.5", "00.1", "01", ".5", "5.", "-", "", "1.2.3", "+1", "1 ", " 1", "1e0",
        "0.000000000001", "0.0000000000005", "0.0000000000015", "123456789012345678", "1234567890123456789",
        "12345678901234567.8", "123456789012345678.9", "1.50", "100.00", "0.0", "0.00000000000000000000001", "1_0", "x",
        "999999999999999999", "-999999999999999999", "99999999.99999999999", "0.123456789012",
    ])
    func `plain digits and the same with an exponent of zero are one number`(text: String) {
        for decimals in [0, 6, 12, 18] {
            let quick = Result { () throws(Decimal.ParseError) in
                try Decimal(parsing: text.utf8, decimalsMax: decimals)
            }
            let long = Result { () throws(Decimal.ParseError) in
                try Decimal(parsing: Array((text.contains("e") ? text : text + "e0").utf8), decimalsMax: decimals)
            }
            #expect(quick == long, "\(text) with \(decimals) decimals")
        }
    }

    @Test func `decimals are what was written`() throws {
        for (text, mantissa, scale) in [
            ("0.0123", 123, 4), ("-12.50", -125, 1), ("100", 100, 0), ("-0", 0, 0), ("1.35e-05", 135, 7),
            ("0.10", 1, 1),
        ] as [(String, Int64, Int)] {
            let value = try Decimal(parsing: text.utf8)
            #expect(value.mantissa == mantissa && value.scale == scale, "\(text)")
        }
        for text in ["", "-", "+1", "01", "1.", ".1", "1e", "0x1", "١", "1,5", "NaN", "1.1.1"] {
            #expect(throws: Decimal.ParseError.notANumber, "\(text)") { try Decimal(parsing: text.utf8) }
        }
        #expect(throws: Decimal.ParseError.tooLarge) { try Decimal(parsing: "1234567890123456789".utf8) }
    }
}
