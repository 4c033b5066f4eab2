import JSON
import Testing

/// Documents as text, with \u{..} for what is invisible. Modelled on RFC 8259, section by section.
@Suite struct VectorTests {
    static let accepted: [String] = [
        // Any value may be a document (section 2).
        "{}", "[]", "\"\"", "0", "true", "false", "null", " \t\r\n1 \t\r\n",
        // Section 4 and 5.
        "{\"a\":1}", "{ \"a\" : 1 , \"b\" : [ ] }", "[[],{},[{}]]", "[1,2,3]", "{\"\":0}", "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":1}]", "{\"a\":1,\"A\":2}", "{\"\u{e9}\":1,\"e\u{301}\":2}",
        // Section 6.
        "-0", "0.0", "10", "-10.25", "1e5", "1E+5", "1e-05", "0e0", "1.35e-05", "123456789012345678901234567890",
        "1e999999999999",
        // Section 7.
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0000\\u001f\\u00e9\\uD83D\\uDE00\"", "\"\u{7f}\"",
        "\"\u{e9}\u{4e2d}\u{1F600}\"",
        "\"\u{D7FF}\u{E000}\u{FFFF}\u{10FFFF}\"", "\"abcdefgh\"", "\"abcdefg\\nh\"", "\"\u{FEFF}\"", "\"\\uFFFE\"",
    ]

    static let refused: [(document: String, offset: Int)] = [
        ("", 0), ("  ", 2), ("{", 1), ("[", 1), ("\"", 1), ("\"abc", 4), ("[1", 2), ("[1,", 3), ("{\"a\"", 4),
        ("{\"a\":", 5),
        ("{\"a\":1", 6), ("{\"a\":1,", 7), ("tru", 3), ("nul", 3), ("-", 1), ("1.", 2), ("1e", 2), ("1e+", 3),
        // Structure.
        ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("[1}", 2), ("{\"a\":1]", 6), ("{\"a\":1,}", 7), ("{,}", 1),
        ("{\"a\"}", 4),
        ("{\"a\" 1}", 5), ("{\"a\":}", 5), ("{a:1}", 1), ("{'a':1}", 1), ("{1:1}", 1), ("{null:1}", 1), ("]", 0),
        ("}", 0), (",", 0),
        ("[] []", 3), ("1 1", 2), ("{}x", 2), ("//c\n1", 0), ("[1]/**/", 3), ("{\"a\":1 \"b\":2}", 7),
        // Numbers.
        ("01", 1), ("-01", 2), ("00", 1), ("+1", 0), (".5", 0), ("1.e5", 2), ("-a", 1), ("1.5.5", 3), ("0x10", 1),
        ("1e1.5", 3),
        ("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("[NaN]", 1), ("1_000", 1), ("\u{FF11}", 0),
        // Words.
        ("True", 0), ("TRUE", 0), ("nulll", 4), ("trux", 0), ("none", 0), ("undefined", 0),
        // Strings.
        ("\"\n\"", 1), ("\"a\u{0}\"", 2), ("\"\u{1f}\"", 1), ("\"abcdefgh\u{1}\"", 9), ("\"\\x\"", 1), ("\"\\'\"", 1),
        ("\"\\u12\"", 5),
        ("\"\\u12G4\"", 5), ("\"\\uD800\"", 1), ("\"\\uDC00\"", 1), ("\"\\uD800\\uD800\"", 1), ("\"\\uD800x\"", 1),
        ("\"\\uD800\\n\"", 1), ("'a'", 0), ("\"\\\"", 3), ("\"\\U0041\"", 1),
        // Names: duplicates, after escapes are decoded.
        ("{\"a\":1,\"a\":2}", 7), ("{\"a\":1,\"\\u0061\":2}", 7), ("{\"\\u0061\":1,\"a\":2}", 12),
        ("[{\"x\":{\"k\":1,\"j\":2,\"k\":3}}]", 19),
        // A byte order mark, and white space that is not JSON's.
        ("\u{FEFF}{}", 0), ("\u{A0}1", 0), ("[1,\u{B}2]", 3), ("\u{2028}1", 0),
    ]

    /// Bytes that are not UTF-8, inside a string.
    static let broken: [[UInt8]] = [
        [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x20], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF],
        [0xE2, 0x82],
        [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF],
        [0xF4, 0x90, 0x80, 0x80],
        [0xF5, 0x80, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFE], [0xFF], [0xF1, 0x80, 0x80],
    ]

    func skipError(_ bytes: [UInt8]) -> JSONError? {
        var reader = JSONReader(bytes)
        do {
            try reader.skip()
            try reader.end()
            return nil
        } catch {
            return error
        }
    }

    func treeError(_ bytes: [UInt8]) -> JSONError? {
        do {
            _ = try JSONValue.parse(bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: accepted) func `what RFC 8259 allows is read and skipped`(document: String) {
        #expect(treeError(Array(document.utf8)) == nil)
        #expect(skipError(Array(document.utf8)) == nil)
    }

    @Test(arguments: refused) func `what RFC 8259 forbids is refused at the byte at fault`(
        document: String, offset: Int
    ) {
        #expect(
            treeError(Array(document.utf8))?.offset == offset, "\(String(describing: treeError(Array(document.utf8))))")
        #expect(skipError(Array(document.utf8)) == treeError(Array(document.utf8)))
    }

    @Test(arguments: broken) func `bytes that are not UTF-8 are refused wherever they stand`(bad: [UInt8]) {
        for padding in 0..<9 {
            let before = [UInt8](repeating: 0x61, count: padding)
            let document = [0x5B, 0x22] + before + bad + [0x22, 0x5D]
            #expect(treeError(document) == JSONError(offset: 2 + padding, reason: "not UTF-8"))
            #expect(skipError(document) == treeError(document))
        }
    }

    @Test(arguments: accepted) func `every proper prefix of a document is an error, or a shorter number`(
        document: String
    ) {
        let bytes = Array(document.utf8)
        let isNumber = bytes.contains { (0x30...0x39).contains($0) } && !bytes.contains { $0 == 0x22 || $0 >= 0x5B }
        if isNumber || document.contains("e") && !document.contains("\"") && document.first!.isNumber { return }
        var cut = bytes
        while cut.last.map({ $0 <= 0x20 }) == true { cut.removeLast() }
        for count in 0..<cut.count {
            let prefix = Array(cut[..<count])
            if (try? JSONValue.parse(prefix))?.number != nil { continue }
            #expect(treeError(prefix) != nil, "\(document) cut at \(count)")
            #expect(skipError(prefix) == treeError(prefix))
        }
    }

    @Test func `sixty-four levels are read, the sixty-fifth is refused where it opens`() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let middle = open == "[" ? "" : "1"
            let most = String(repeating: open, count: 64) + middle + String(repeating: close, count: 64)
            #expect(treeError(Array(most.utf8)) == nil)
            #expect(skipError(Array(most.utf8)) == nil)
            let over = String(repeating: open, count: 65) + middle + String(repeating: close, count: 65)
            #expect(
                treeError(Array(over.utf8)) == JSONError(offset: 64 * open.utf8.count, reason: "more than 64 levels"))
            #expect(skipError(Array(over.utf8)) == treeError(Array(over.utf8)))
        }
        let deep = [UInt8](repeating: 0x5B, count: 1_000_000)
        #expect(skipError(deep)?.offset == 64)
    }

    @Test(arguments: [1, 7, 8, 9, 16, 31, 32, 33, 64, 65, 200, 5000])
    func `a duplicate is found among any number of names, first or last, and not where there is none`(count: Int) {
        for nested in [false, true] {
            let members = (0..<count).map { index in
                "\"name\(index)\":" + (nested && index % 3 == 0 ? "{\"name0\":[{\"name1\":{}}],\"b\":1}" : "\(index)")
            }
            let good = "{" + members.joined(separator: ",") + "}"
            #expect(treeError(Array(good.utf8)) == nil)
            #expect(skipError(Array(good.utf8)) == nil)
            for again in Set([0, count / 2, count - 1]) {
                let bad = "{" + members.joined(separator: ",") + ",\"name\(again)\":0}"
                let error = JSONError(offset: good.utf8.count, reason: "duplicate name \"name\(again)\"")
                #expect(treeError(Array(bad.utf8)) == error)
                #expect(skipError(Array(bad.utf8)) == error)
                let escaped = "{" + members.joined(separator: ",") + ",\"\\u006eame\(again)\":0}"
                #expect(skipError(Array(escaped.utf8)) == error)
            }
        }
    }
}
