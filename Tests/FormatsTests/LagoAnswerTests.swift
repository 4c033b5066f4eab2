import Billing
import Formats
import JSON
import Testing

@Suite struct LagoAnswerTests {
    @Test(arguments: [
        ("1795334995", "1795334995"), ("1795334995.5", "1795334995.5"), ("\"1795334995.25\"", "1795334995.25"),
        ("null", nil as String?),
    ])
    func `timestamps are unix seconds`(written: String, seconds: String?) throws {
        let item = try LagoTests.event(
            LagoTests.sent + #""code":"llm_input_tokens","timestamp":\#(written),"properties":{"value":1}}}"#
        )
        #expect(item.timestamp?.unixSeconds == seconds)
        #expect(try LagoTests.fact(item).0.time?.unixSeconds == seconds)
    }

    @Test(arguments: [
        (#""external_subscription_id":"s","code":"c""#, ["transaction_id value_is_mandatory"]),
        (
            #""transaction_id":"","external_subscription_id":null,"code":1"#,
            ["transaction_id value_is_mandatory", "external_subscription_id value_is_mandatory"]
        ),
        (#""transaction_id":"a\u0000","external_subscription_id":"s","code":"c""#, ["transaction_id value_is_invalid"]),
        (
            #""transaction_id":"t","external_subscription_id":{},"code":"c""#,
            ["external_subscription_id value_is_invalid"]
        ),
        (
            #""transaction_id":"t","external_subscription_id":"s","code":"c","timestamp":"2026-11-22T07:52:05Z""#,
            ["timestamp invalid_format"]
        ),
        (
            #""transaction_id":"t","external_subscription_id":"s","code":"c","timestamp":[1]"#,
            ["timestamp invalid_format"]
        ),
        (
            #""transaction_id":"t","external_subscription_id":"s","code":"c","precise_total_amount_cents":"x""#,
            ["precise_total_amount_cents invalid_value"]
        ),
    ])
    func `faults are named in Lago's words`(members: String, faults: [String]) throws {
        let item = try LagoTests.event("{\"event\":{\(members)}}")
        #expect(item.faults.map { $0.field + " " + $0.code } == faults)
        if case .event = item.outcome { Issue.record("an event came out of \(members)") }
    }

    @Test func `bodies without events are answered as Lago answers`() {
        func answer(_ body: String, batch: Bool) -> String {
            do throws(LagoAnswer) {
                if batch {
                    _ = try LagoFormat.batch(body: Array(body.utf8))
                } else {
                    _ = try LagoFormat.event(body: Array(body.utf8))
                }
                return "fine"
            } catch {
                return "\(error.status) " + String(decoding: error.body, as: UTF8.self)
            }
        }
        let many = "{\"events\":[" + Array(repeating: "{}", count: 101).joined(separator: ",") + "]}"
        let wrapped = #"422 {"status":422,"error":"Unprocessable Entity","code":"validation_errors","error_details":"#
        #expect(
            answer("{}", batch: false)
                == #"400 {"status":400,"error":"BadRequest: param is missing or the value is empty: event"}"#)
        #expect(answer("{\"event\":{}}", batch: false).hasPrefix("400 "))
        #expect(answer("{\"event\":3}", batch: false).hasPrefix("400 "))
        #expect(
            answer("[", batch: false)
                == #"400 {"status":400,"error":"BadRequest: not JSON: unexpected end at byte 1 of the body"}"#)
        #expect(answer("{\"events\":[]}", batch: true) == wrapped + #"{"events":["no_events"]}}"#)
        #expect(answer(many, batch: true) == wrapped + #"{"events":["too_many_events"]}}"#)
        #expect(answer("{\"events\":{}}", batch: true).hasPrefix("400 "))
        #expect(answer("{\"events\":[3]}", batch: true) == "fine")
    }

    @Test func `answers have Lago's shapes`() throws {
        let text =
            LagoTests.sent + #""code":"x","timestamp":"1795333925.32","precise_total_amount_cents":"12.3456","#
            + #""properties":{"a":1.50,"b":"c"}}}"#
        let item = try LagoTests.event(text)
        let received = Timestamp(rfc3339: "2026-11-22T08:00:00Z")!
        let one = String(decoding: LagoAnswer.stored(item, recordedAt: received).body, as: UTF8.self)
        let id = item.lagoID
        #expect(
            one
                == #"{"event":{"lago_id":"\#(id)","transaction_id":"t","lago_customer_id":null,"code":"x","#
                + #""timestamp":"2026-11-22T07:52:05.320Z","precise_total_amount_cents":"12.3456","#
                + #""properties":{"a":1.50,"b":"c"},"lago_subscription_id":null,"external_subscription_id":"s","#
                + #""created_at":"2026-11-22T08:00:00.000Z"}}"#
        )
        #expect(id.utf8.count == 36 && Array(id)[14] == "8" && "89ab".contains(Array(id)[19]))
        #expect(try LagoTests.event(text).lagoID == id)
        let batch = try JSONValue.parse(LagoAnswer.stored([item, item], recordedAt: received).body)
        #expect(batch["events"]?[1]?["lago_id"]?.string == id && batch["events"]?[2] == nil)
        let invalid = LagoAnswer.invalid(batch: [
            (0, [LagoAnswer.alreadyExists]), (7, [.init(field: "timestamp", code: "invalid_format")]),
        ])
        #expect(invalid.status == 422)
        #expect(
            try JSONValue.parse(invalid.body)["error_details"]
                == JSONValue.parse(
                    Array(
                        #"{"0":{"transaction_id":["value_already_exist"]},"7":{"timestamp":["invalid_format"]}}"#.utf8))
        )
        #expect(
            String(decoding: LagoAnswer.unauthorized.body, as: UTF8.self) == #"{"status":401,"error":"Unauthorized"}"#)
        #expect(
            String(decoding: LagoAnswer.forbidden.body, as: UTF8.self)
                == #"{"status":403,"error":"Forbidden","code":"write_action_not_allowed_for_event"}"#)
        #expect(
            String(decoding: LagoAnswer.notFound.body, as: UTF8.self)
                == #"{"status":404,"error":"Not Found","code":"event_not_found"}"#)
    }

    @Test func `a stored event is shown as Lago would show it`() throws {
        for capture in Capture.of("lago_agent_sdk", "tokens_openai") + Capture.of("lago_agent_sdk", "price_usd_cost") {
            for item in try LagoFormat.batch(body: capture.body) {
                let shown = try #require(LagoItem(stored: try LagoTests.fact(item).0))
                #expect(shown.lagoID == item.lagoID && shown.code == item.code && shown.timestamp == item.timestamp)
                #expect(shown.properties["value"] == item.properties["value"], "\(item.code)")
            }
        }
        let call = try LagoFormat.event(body: Capture.of("litellm_lago", "mock_async")[0].body)
        let shown = try #require(LagoItem(stored: try LagoTests.fact(call).0))
        #expect(
            shown.properties["prompt_tokens"] == .number("10")
                && shown.properties["response_cost"] == .number("0.0000135"))
    }
}
