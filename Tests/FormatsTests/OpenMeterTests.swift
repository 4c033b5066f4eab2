import Billing
import Formats
import JSON
import Testing

@Suite struct OpenMeterTests {
    @Test(arguments: [
        ("application/cloudevents+json", "[]", true), ("Application/CloudEvents-Batch+JSON; charset=utf-8", "", true),
        ("application/json", "{}", false),
        ("application/json", "{\"a\":[1],\"specversion\":\"1.0\"}", true),
        ("application/json", "[{\"specversion\":\"1.0\"}]", true),
        ("application/json", "{\"event\":{\"specversion\":\"1.0\"}}", false), ("application/json", "{\"a\":", false),
        ("application/json", "[1]", false),
    ])
    func `CloudEvents are told from Lago's events`(type: String, body: String, isCloud: Bool) {
        #expect(OpenMeterFormat.recognizes(contentType: type, body: Array(body.utf8)) == isCloud)
    }

    @Test func `CloudEvents of another shape are parked, each alone`() throws {
        let good = String(decoding: Capture.of("litellm_openmeter", "mock_async")[0].body, as: UTF8.self)
        let body =
            "[\(good),null,3,\(good.replacing("\"1.0\"", with: "\"0.3\"")),\(good.replacing("\"id\"", with: "\"no\"")),"
            + "\(good.replacing("\"subject\"", with: "\"no\"")),"
            + "\(good.replacing("\"data\"", with: "\"no\"")),\(good.replacing("07:52", with: "7:52"))]"
        let items = try OpenMeterFormat.parse(body: Array(body.utf8), defaultOrg: nil, itemsMax: 8)
        let codes = items.map { item in
            switch item.outcome {
            case .event: "event"
            case .job: "job"
            case .skipped: "null"
            case .parked(let parked): parked.code
            }
        }
        #expect(
            codes == [
                "event", "null", "wrong_type", "unknown_version", "missing_id", "missing_owner", "unknown_data",
                "invalid_time",
            ])
        #expect(throws: BodyError.self) {
            try OpenMeterFormat.parse(body: Array(body.utf8), defaultOrg: nil, itemsMax: 7)
        }
        let owned = try OpenMeterFormat.parse(
            body: Array(good.replacing("\"subject\"", with: "\"no\"").utf8), defaultOrg: Name(checked: "d"), itemsMax: 8
        )
        guard case .event(let event) = owned[0].outcome, case .call(let call) = event.fact else {
            Issue.record("\(owned)")
            return
        }
        #expect(call.org?.text == "d" && call.subscription == nil)
    }
}
