import Billing
import Formats
import Testing

private func event(_ id: String, extra: String = "", usage: String = "") -> String {
    #"{"specversion":"1.0","source":"s","id":"\#(id)","type":"llm.call"\#(extra),"data":{"org":"o","provider":"p","#
        + #""model":"m","operation":"chat","status":"success","usage":{"input_tokens":1\#(usage)}}}"#
}

/// For each item "ok", or "code field".
private func verdicts(_ body: String) -> [String] {
    do throws(BodyError) {
        return try NativeFormat.parse(body: Array(body.utf8), eventsMax: 10).items.map { item in
            switch item.result {
            case .success: "ok"
            case .failure(let error): "\(error.code) \(error.field)"
            }
        }
    } catch {
        return ["body \(error.code)"]
    }
}

@Test(arguments: [
    (#","id":"b""#, "", "duplicate_field id"),
    (#","subject":{"x":[{"a":1},{"a":2,"a":3}]}"#, "", "duplicate_field subject.x.1.a"),
    ("", #","input_tokens":2"#, "duplicate_field data.usage.input_tokens"),
    ("", #","output_tokens":2,"output_\u0074okens":3"#, #"duplicate_field data.usage.output_\u0074okens"#),
])
func `a name given twice refuses its event alone and is named`(extra: String, usage: String, verdict: String) {
    let bad = event("x", extra: extra, usage: usage)
    #expect(verdicts(bad) == [verdict])
    #expect(verdicts("[\(event("a")), \(bad) ,\(event("b"))]") == ["ok", verdict, "ok"])
    #expect(verdicts("\(event("a"))\n\(bad)\n\(event("b"))") == ["ok", verdict, "ok"])
    #expect(verdicts(" [\(bad)] ") == [verdict])
}

@Test func `a name given twice does not excuse what is not JSON`() {
    let bad = event("x", extra: #","id":"b""#)
    #expect(verdicts("[\(bad),{\"a\":01}]") == ["body invalid_json"])
    #expect(verdicts("[\(bad),]") == ["body invalid_json"])
    #expect(verdicts("[\(bad)") == ["body invalid_json"])
    #expect(verdicts("[\(bad)}") == ["body invalid_json"])
    #expect(verdicts("[\(bad)] 1") == ["body invalid_json"])
    #expect(verdicts("[\(bad),\(event("a"))") == ["body invalid_json"])
    #expect(verdicts("[\(bad)],[\(event("a"))]") == ["body invalid_json"])
}
