import JSON
import Testing

@Suite struct PathTests {
    /// A document, broken at the `^`, which is left out, and the path of that place.
    static let rows: [(String, String)] = [
        ("^oops", ""), ("^", ""), ("{^", ""), ("{}^x", ""), ("[^", "[0]"), ("[]^x", ""), ("[1]^]", ""),
        (#"{"id":^oops}"#, "id"), (#"{"id":1 ^2}"#, "id"), (#"{"id":1,^}"#, ""), (#"{"id"^}"#, "id"),
        (#"{"id":"a^\#u{1}"}"#, "id"), (#"{"a":1,"b":{"c":^01}}"#, "b.c"), (#"{"a":{"b":1}^ "c":2}"#, "a"),
        (#"{"data":{"usage":{"input_tokens":1,"output_tokens":-^}}}"#, "data.usage.output_tokens"),
        (#"[1,2,{"x":1},{"data":^tru}]"#, "[3].data"), (#"[1,2,^]"#, "[2]"), (#"[[1],[2,[3,^x]]]"#, "[1].1.1"),
        (#"{"data":{"rules":[{"per":1000},{"per":^.5}]}}"#, "data.rules.1.per"),
        (#"{"a":1,^"a":2}"#, "a"), (#"{"x":[{"a":1,"b":2},{"c":[],^"c":0}]}"#, "x.1.c"),
        (#"{"}\"{":{"]":^x}}"#, #"}\"{.]"#), (#"{"a\u0062":^x}"#, #"a\u0062"#), (#"{"a":[[],{}],"b":^x}"#, "b"),
        (#"{"a":^\"#, "a"), (#"{"é":^x}"#, "é"),
    ]

    @Test(arguments: rows) func `an error says which member it is in`(document: String, path: String) throws {
        let parts = document.split(separator: "^", maxSplits: 1, omittingEmptySubsequences: false)
        let bytes = Array(parts.joined().utf8)
        let error = JSONError(offset: parts[0].utf8.count, reason: "")
        #expect(error.path(in: bytes) == path)
        #expect(JSONError(offset: error.offset + 5, reason: "").path(in: Array("[1],{".utf8) + bytes, from: 5) == path)
    }

    @Test(arguments: rows) func `what the reader refuses is where it says`(document: String, path: String) {
        let bytes = Array(document.filter { $0 != "^" }.utf8)
        #expect(throws: JSONError.self) { try JSONValue.parse(bytes) }
        do throws(JSONError) {
            _ = try JSONValue.parse(bytes)
        } catch {
            #expect(error.path(in: bytes) == path, "\(document): \(error)")
        }
    }

    @Test func `a path never grows with the document`() {
        let name = String(repeating: "n", count: 1000)
        let bytes = Array((String(repeating: #"{"\#(name)":"#, count: 60) + "x").utf8)
        let path = JSONError(offset: bytes.count - 1, reason: "").path(in: bytes)
        #expect(path.utf8.count <= 515)
        #expect(path.hasPrefix(String(repeating: "n", count: 64) + "....n"))
    }

    @Test func `a name that is not UTF-8 is as long as one that is`() {
        let name = [UInt8](repeating: 0xFF, count: 100)
        let bytes = Array("{\"a\":{\"".utf8) + name + Array("\"".utf8)
        let path = JSONError(offset: bytes.count - 1, reason: "").path(in: bytes)
        #expect(path == "a." + String(repeating: "?", count: 64) + "...")
        let text = Array("{\"\u{e9}\":".utf8)
        #expect(JSONError(offset: text.count, reason: "").path(in: text) == "\u{e9}")
    }

    @Test func `any bytes have a path`() {
        var state: UInt64 = 1
        for _ in 0..<2000 {
            let bytes = (0..<40).map { _ -> UInt8 in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Array(#"{}[],:"\ a1"#.utf8)[Int(state >> 33) % 11]
            }
            for offset in 0...bytes.count { _ = JSONError(offset: offset, reason: "").path(in: bytes) }
        }
    }
}
