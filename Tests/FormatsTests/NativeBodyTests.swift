import Billing
import Formats
import Testing

@Suite struct NativeBodyTests {
    static func event(_ id: String) -> String {
        #"{"id":"\#(id)","source":"s","type":"credits.voided","data":{"lot":"l","reason":"r"}}"#
    }

    /// One letter an item: its id, or ! when it is refused.
    static func verdicts(_ parsed: NativeFormat.Parsed) -> String {
        parsed.items.map { (try? $0.result.get()) == nil ? "!" : $0.id ?? "?" }.joined()
    }

    static let bodies: [(body: String, form: NativeFormat.Form, verdicts: String)] = [
        (event("a"), .single, "a"),
        (" \r\n\t" + event("a") + "\r\n\n", .single, "a"),
        (event("a").replacing(",", with: ",\n  "), .single, "a"),
        ("{\n" + event("a").dropFirst().dropLast() + "\n}\n", .single, "a"),
        ("{}", .single, "!"), ("7", .single, "!"), ("null", .single, "!"),
        ("[]", .array, ""), ("[\(event("a"))]", .array, "a"),
        ("[\(event("a")),\n\(event("b")), 7 ,null,[],{},\(event("c"))]", .array, "ab!!!!c"),
        (event("a") + "\n" + event("b"), .ndjson, "ab"),
        (event("a") + "\r\n\r\n" + event("b") + "\n", .ndjson, "ab"),
        (event("a") + "\noops\n" + event("c"), .ndjson, "a!c"),
        (event("a") + "\n{\"id\":\n" + event("c"), .ndjson, "a!c"),
        ("{oops\n" + event("b"), .ndjson, "!b"),
        (event("a") + "\n" + event("b") + "x", .ndjson, "a!"),
        (event("a") + "\n7\nnull\n[]", .ndjson, "a!!!"),
        (event("a") + "\n{\"id\":\"x\",\"id\":\"y\"}\n" + event("c"), .ndjson, "a!c"),
        ("[\(event("a")),{\"id\":\"x\",\"id\":\"y\"}]", .array, "a!"),
    ]

    @Test(arguments: 0..<bodies.count)
    func `the form is told by the body, and each item has its verdict`(row: Int) throws {
        let (body, form, verdicts) = Self.bodies[row]
        let parsed = try NativeFormat.parse(body: Array(body.utf8), eventsMax: 10)
        #expect(parsed.form == form, "\(body)")
        #expect(Self.verdicts(parsed) == verdicts, "\(body)")
    }

    @Test(arguments: [
        ("", "empty_body"), (" \r\n", "empty_body"), ("oops", "invalid_json"), ("{", "invalid_json"),
        (event("a") + event("b"), "invalid_json"), (event("a") + " x", "invalid_json"),
        ("[\(event("a"))", "invalid_json"), ("[\(event("a")),]", "invalid_json"), ("[] []", "invalid_json"),
        ("{\n\"id\" 1\n}", "invalid_json"),
        ("\u{FEFF}" + event("a"), "invalid_json"),
        ("[1,2,3,4]", "too_many_items"), ("1\n2\n3\n{}", "too_many_items"),
    ])
    func `a body that cannot be taken is refused as a whole`(body: String, code: String) {
        let error = #expect(throws: BodyError.self) { try NativeFormat.parse(body: Array(body.utf8), eventsMax: 3) }
        #expect(error?.code == code, "\(body): \(String(describing: error))")
    }

    @Test func `as many events as are allowed are taken`() throws {
        let three = [Self.event("a"), Self.event("b"), Self.event("c")]
        let array = Array("[\(three.joined(separator: ","))]".utf8)
        #expect(Self.verdicts(try NativeFormat.parse(body: array, eventsMax: 3)) == "abc")
        let lines = Array(three.joined(separator: "\n").utf8)
        #expect(Self.verdicts(try NativeFormat.parse(body: lines, eventsMax: 3)) == "abc")
    }

    @Test func `one line said to be NDJSON is a batch of one`() throws {
        let parsed = try NativeFormat.parse(body: Array(Self.event("a").utf8), eventsMax: 3, isNDJSON: true)
        #expect(parsed.form == .ndjson)
        #expect(Self.verdicts(parsed) == "a")
    }

    @Test func `a broken line says so and where, and has no id`() throws {
        let body = Array((Self.event("a") + "\n{\"id\":\"b\"").utf8)
        let item = try NativeFormat.parse(body: body, eventsMax: 3).items[1]
        #expect(item.id == nil)
        guard case .failure(let error) = item.result else { return }
        #expect(error.code == "invalid_json")
        #expect(error.field == "id")
    }
}
