import JSON
import Testing

@Suite struct ReaderTests {
    @Test func `a caller takes what it knows and skips the rest`() throws {
        let document =
            #" {"id":"x\u0041","n":-1.50e+2,"skip":{"a":[1,{"b":null}],"c":"}"},"list":[1,true,null,"s"],"":false} "#
        var reader = JSONReader(Array(document.utf8))
        var seen: [String] = []
        #expect(try reader.peek() == .object)
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "id": seen.append(try reader.string())
            case "n": seen.append(String(decoding: reader.bytes[try reader.number()], as: UTF8.self))
            case "list":
                try reader.beginArray()
                while try reader.nextElement() {
                    switch try reader.peek() {
                    case .bool: seen.append("\(try reader.bool())")
                    case .null:
                        try reader.null()
                        seen.append("null")
                    default: try reader.skip()
                    }
                }
            case "": seen.append("\(try reader.bool())")
            default:
                seen.append(key.text)
                try reader.skip()
            }
        }
        try reader.end()
        #expect(seen == ["xA", "-1.50e+2", "skip", "true", "null", "false"])
    }

    @Test func `names are matched by bytes, also when written with escapes`() throws {
        var reader = JSONReader(Array(#"{"a":1,"\u0062":2,"e\u0301":3,"abcdefghij":4,"abcdefghiJ":5}"#.utf8))
        try reader.beginObject()
        var matches: [Bool] = []
        for literal: StaticString in ["a", "b", "\u{e9}", "abcdefghij", "abcdefghij"] {
            let key = try #require(try reader.nextName())
            matches.append(key == literal)
            try reader.skip()
        }
        #expect(matches == [true, true, false, true, false])
        #expect(try reader.nextName() == nil)
    }

    @Test func `another kind than expected is an error that names both`() {
        var reader = JSONReader(Array(" 12".utf8))
        #expect(throws: JSONError(offset: 1, reason: "a string was expected, not a number")) { try reader.string() }
    }

    @Test(arguments: [
        ("NaN", 3), ("-Infinity,", 9), ("1e400]", 5), ("\"\\ud800\"x", 8), ("\"\\q\\\"\t\" ", 7),
        ("{\"a\":1,\"a\":NaN} ", 15), ("[1,{\"b\":\"]}\"},nul]", 18), ("{}", 2), ("[[],[]]]", 7), ("\"é\"", 4),
    ])
    func `what nobody reads is passed over by quotes and brackets`(document: String, count: Int) throws {
        let bytes = Array((" " + document).utf8)
        var reader = JSONReader(bytes)
        #expect(try reader.skipLoosely() == 1..<1 + count)
        #expect(reader.offset == 1 + count)
    }

    @Test(arguments: [
        "", "}", "]", ",", ":", "[}", "{]", "[", "\"a", "\"\\", "{\"a\":\\\"b\"}", "[1,\u{1}]", "[é]", "#",
    ])
    func `quotes and brackets that do not add up are an error`(document: String) {
        var reader = JSONReader(Array(document.utf8))
        #expect(throws: JSONError.self) { try reader.skipLoosely() }
    }

    @Test func `what is passed over loosely has a depth too`() throws {
        let depth = JSONReader.depthLooseMax
        var reader = JSONReader([UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth))
        #expect(try reader.skipLoosely() == 0..<2 * depth)
        var deeper = JSONReader([UInt8](repeating: 0x5B, count: depth + 1))
        #expect(throws: JSONError(offset: depth + 1, reason: "more than \(depth) levels")) { try deeper.skipLoosely() }
    }

    @Test func `what is read strictly is passed over loosely to the same byte, and no part of it`() throws {
        let document =
            #" {"id":"x\u0041\"","n":-1.50e+2,"skip":{"a":[1,{"b":null}],"c":"}"},"list":[true,null,"s"],"":false} "#
        let bytes = Array(document.utf8)
        var strict = JSONReader(bytes)
        try strict.skip()
        var loose = JSONReader(bytes)
        _ = try loose.skipLoosely()
        #expect(loose.offset == strict.offset)
        try loose.end()
        for end in 0..<bytes.count - 1 {
            var cut = JSONReader(bytes, range: 0..<end)
            #expect(throws: JSONError.self) { try cut.skipLoosely() }
        }
    }

    @Test func `a range of the bytes is a document of its own`() throws {
        let bytes = Array("xx{\"a\":1}\n{\"a\":2}yy".utf8)
        var reader = JSONReader(bytes, range: 2..<9)
        try reader.skip()
        try reader.end()
        var cut = JSONReader(bytes, range: 2..<8)
        #expect(throws: JSONError(offset: 8, reason: "unexpected end")) { try cut.skip() }
        var second = JSONReader(bytes, range: 10..<17)
        #expect(try second.value()["a"] == .number("2"))
    }

    @Test func `strings come out decoded`() throws {
        let rows: [(String, String)] = [
            (#""""#, ""), (#""\ud83d\ude00 \u00e9\n\/""#, "\u{1F600} \u{e9}\n/"),
            ("\"\u{1F600}\u{4e2d}\"", "\u{1F600}\u{4e2d}"),
            (#""\u0000""#, "\u{0}"), (#""\udbff\udfff""#, "\u{10FFFF}"), (#""a\\\"b""#, "a\\\"b"),
        ]
        for (document, text) in rows {
            var reader = JSONReader(Array(document.utf8))
            #expect(Array(try reader.string().utf8) == Array(text.utf8), "\(document)")
        }
    }

    @Test func `what is written is read back the same`() throws {
        var writer = JSONWriter()
        let control = String(String.UnicodeScalarView((0..<0x80).map { Unicode.Scalar(UInt8($0)) }))
        writer.beginObject()
        writer.member("s", string: control + "\u{e9}\u{2028}\u{1F600}")
        writer.member("n", integer: Int64.min)
        writer.member("absent", integer: Int?.none)
        writer.member("absent", string: String?.none)
        writer.member("present", string: Optional("x"))
        writer.member("raw", raw: "1.50")
        writer.member("t", bool: true)
        writer.member(null: "z")
        writer.key("list")
        writer.beginArray()
        writer.integer(1)
        writer.beginObject()
        writer.endObject()
        writer.beginArray()
        writer.endArray()
        writer.endArray()
        writer.key("from \"outside\"\n" as String)
        writer.value(.array([.null, .bool(false), .number("1e5"), .object([.init(name: "k", value: .string(""))])]))
        writer.endObject()
        let value = try JSONValue.parse(writer.bytes)
        #expect(value["s"]?.string.map { Array($0.utf8) } == Array((control + "\u{e9}\u{2028}\u{1F600}").utf8))
        #expect(value["n"] == .number("-9223372036854775808"))
        #expect(value["absent"] == nil)
        #expect(value["raw"] == .number("1.50"))
        #expect(value["list"]?[1] == .object([]))
        #expect(value["from \"outside\"\n"]?[3]?["k"] == .string(""))
        var again = JSONWriter()
        again.value(value)
        #expect(again.bytes == writer.bytes)
        #expect(writer.text.hasPrefix("{\"s\":\"\\u0000\\u0001"))
    }

    @Test func `values are compared by bytes, not by what looks the same`() {
        #expect(JSONValue.string("\u{e9}") != JSONValue.string("e\u{301}"))
        #expect(JSONValue.object([.init(name: "\u{e9}", value: .null)])["e\u{301}"] == nil)
    }

    @Test func `changed documents never trap, and reading and skipping agree on them`() throws {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func random(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(truncatingIfNeeded: (state >> 33) % UInt64(count))
        }
        let seeds =
            VectorTests.accepted.map { Array($0.utf8) }
            + [
                Array(
                    #"{"a":[1,{"b":"\u00e9\ud83d\ude00","c":-1.5e-7}],"d":{"e":null,"g":[[],{}]},"h":"plain text"}"#
                        .utf8)
            ]
        let bytes: [UInt8] =
            Array("{}[]\",:\\u0123456789eE+-.tfnul \n\u{e9}\u{1F600}".utf8) + [0x00, 0x1F, 0x80, 0xFF, 0xED, 0xA0]
        for _ in 0..<20_000 {
            var document = seeds[random(seeds.count)]
            for _ in 0...random(4) {
                let at = random(document.count + 1)
                switch random(3) {
                case 0: document.insert(bytes[random(bytes.count)], at: at)
                case 1 where at < document.count: document.remove(at: at)
                default: if at < document.count { document[at] = bytes[random(bytes.count)] }
                }
            }
            var skipper = JSONReader(document)
            var skipped: JSONError?
            do {
                try skipper.skip()
                try skipper.end()
            } catch {
                skipped = error
            }
            do {
                let value = try JSONValue.parse(document)
                #expect(skipped == nil, "\(document)")
                var writer = JSONWriter()
                writer.value(value)
                #expect(try JSONValue.parse(writer.bytes) == value)
            } catch {
                #expect(skipped == error, "\(document)")
            }
        }
    }
}
