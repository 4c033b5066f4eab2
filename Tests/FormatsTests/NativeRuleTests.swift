import Billing
import Formats
import TestEvents
import Testing

/// Each rule of the native format, with the code and the field that a client is told.
@Suite struct NativeRuleTests {
    static func item(_ json: String, defaultOrg: Name? = nil) throws -> ParsedItem {
        let parsed = try NativeFormat.parse(body: Array(json.utf8), eventsMax: 1, defaultOrg: defaultOrg)
        #expect(parsed.items.count == 1)
        return parsed.items[0]
    }

    static func event(_ type: String, _ data: String) -> String {
        #"{"id":"1","source":"s","type":"\#(type)","data":{\#(data)}}"#
    }

    static func call(_ members: String) -> String {
        event("llm.call", #""org":"o","provider":"p","model":"m","operation":"chat","status":"success""# + members)
    }

    static let manyAttributes = (0...32).map { #""a\#($0)":"x""# }.joined(separator: ",")
    static let nineLimits = [String](repeating: #"{"limit":1,"per":"day","enforce":"hard"}"#, count: 9)
        .joined(separator: ",")
    static let price = #""unit":"usd","rules":"#

    static let bad: [(json: String, code: String, field: String)] = [
        // Envelope.
        (#"{"source":"s","type":"llm.call","data":{}}"#, "missing_owner", "data.org"),
        (#"{"source":"s","type":"credits.voided","data":{"lot":"l","reason":""}}"#, "missing_field", "id"),
        (#"{"id":"1","type":"credits.voided","data":{"lot":"l","reason":""}}"#, "missing_field", "source"),
        (#"{"id":"1","source":"s","data":{}}"#, "missing_field", "type"),
        (#"{"id":"1","source":"s","type":null,"data":{}}"#, "missing_field", "type"),
        (#"{"id":"1","source":"s","type":"llm.call"}"#, "missing_field", "data"),
        (#"{"id":"1","source":"s","type":"llm.call","data":null}"#, "missing_field", "data"),
        (#"{"id":"1","source":"s","data":null,"type":"llm.call"}"#, "missing_field", "data"),
        (#"{"id":"1","source":"s","type":"llm.call","data":[]}"#, "wrong_type", "data"),
        (#"{"id":1,"source":"s","type":"llm.call","data":{}}"#, "wrong_type", "id"),
        (#"{"id":"","source":"s","type":"llm.call","data":{}}"#, "invalid_id", "id"),
        (#"{"id":"a\u0000b","source":"s","type":"llm.call","data":{}}"#, "invalid_id", "id"),
        (#"{"id":"a\u0085b","source":"s","type":"llm.call","data":{}}"#, "invalid_id", "id"),
        ("{\"id\":\"\(String(repeating: "a", count: 1025))\"}", "invalid_id", "id"),
        (#"{"id":"1","source":"","type":"llm.call","data":{}}"#, "invalid_id", "source"),
        (#"{"id":"1","source":"s","type":"llm.cal","data":{}}"#, "unknown_type", "type"),
        (#"{"id":"1","source":"s","type":"LLM.CALL","data":{}}"#, "unknown_type", "type"),
        (#"{"id":"1","source":"s","type":"authorization.granted","data":{}}"#, "reserved_type", "type"),
        (#"{"id":"1","source":"s","type":"credits.expired","data":{}}"#, "reserved_type", "type"),
        (#"{"specversion":"0.3","id":"1"}"#, "unsupported_specversion", "specversion"),
        (#"{"specversion":1.0,"id":"1"}"#, "wrong_type", "specversion"),
        (#"{"data_base64":"AA==","id":"1"}"#, "unknown_field", "data_base64"),
        (#"{"Id":"1"}"#, "unknown_field", "Id"),
        (#"{"messages":[],"id":"1"}"#, "unknown_field", "messages"),
        (#"{"abcdefghijklmnopqrstu":"x"}"#, "unknown_field", "abcdefghijklmnopqrstu"),
        (#"{"time":"yesterday"}"#, "invalid_time", "time"),
        (#"{"time":"2026-02-30T00:00:00Z"}"#, "invalid_time", "time"),
        (#"{"time":"2026-11-22 07:52:05Z"}"#, "invalid_time", "time"),
        (#"{"time":"2026-11-22T07:52:05"}"#, "invalid_time", "time"),
        (#"{"time":1795334519}"#, "wrong_type", "time"),
        (#""text""#, "wrong_type", ""),
        ("17", "wrong_type", ""),
        // Calls.
        (
            event("llm.call", #""provider":"p","model":"m","operation":"chat","status":"success""#),
            "missing_owner", "data.org"
        ),
        (
            event("llm.usage", #""provider":"p","model":"m","operation":"chat","status":"success""#),
            "missing_owner", "data.org"
        ),
        (
            event("llm.call", #""org":"o","model":"m","operation":"chat","status":"success""#),
            "missing_field", "data.provider"
        ),
        (
            event("llm.call", #""org":"o","provider":"p","operation":"chat","status":"success""#),
            "missing_field", "data.model"
        ),
        (
            event("llm.call", #""org":"o","provider":"p","model":"m","status":"success""#),
            "missing_field", "data.operation"
        ),
        (
            event("llm.call", #""org":"o","provider":"p","model":"m","operation":"chat""#),
            "missing_field", "data.status"
        ),
        (
            event("llm.call", #""org":"o","provider":"p","model":"m","operation":"Chat","status":"success""#),
            "invalid_value", "data.operation"
        ),
        (call(#","key_source":"own""#), "invalid_value", "data.key_source"),
        (call(#","team":"""#), "invalid_id", "data.team"),
        (call(#","team":7"#), "wrong_type", "data.team"),
        (call(#","messages":[{"role":"user"}]"#), "unknown_field", "data.messages"),
        (call(#","prompt":"p""#), "unknown_field", "data.prompt"),
        (call(#","input":"p""#), "unknown_field", "data.input"),
        (call(#","response":{}"#), "unknown_field", "data.response"),
        (call(#","content":null"#), "unknown_field", "data.content"),
        (call(#","inputTokens":1"#), "unknown_field", "data.inputTokens"),
        (call(#","usage":5"#), "wrong_type", "data.usage"),
        (call(#","usage":{"input_token":1}"#), "unknown_field", "data.usage.input_token"),
        (call(#","usage":{"input_tokens":"1"}"#), "wrong_type", "data.usage.input_tokens"),
        (call(#","usage":{"input_tokens":1e3}"#), "wrong_type", "data.usage.input_tokens"),
        (call(#","usage":{"input_tokens":1.0}"#), "wrong_type", "data.usage.input_tokens"),
        (call(#","usage":{"input_tokens":-1}"#), "out_of_range", "data.usage.input_tokens"),
        (call(#","usage":{"input_tokens":1000000000001}"#), "out_of_range", "data.usage.input_tokens"),
        (call(#","usage":{"images":99999999999999999999999999}"#), "out_of_range", "data.usage.images"),
        (
            call(#","usage":{"input_tokens":5,"cache_read_tokens":6}"#),
            "subset_exceeds_total", "data.usage.cache_read_tokens"
        ),
        (call(#","usage":{"cache_read_tokens":6}"#), "subset_exceeds_total", "data.usage.cache_read_tokens"),
        (
            call(#","usage":{"input_tokens":5,"cache_read_tokens":3,"cache_write_tokens":3}"#),
            "subset_exceeds_total", "data.usage.cache_write_tokens"
        ),
        (
            call(#","usage":{"output_tokens":5,"reasoning_tokens":6}"#),
            "subset_exceeds_total", "data.usage.reasoning_tokens"
        ),
        (call(#","usage":{"audio_seconds":-0.5}"#), "out_of_range", "data.usage.audio_seconds"),
        (call(#","usage":{"audio_seconds":1000001}"#), "out_of_range", "data.usage.audio_seconds"),
        (call(#","cost_usd":"free""#), "invalid_amount", "data.cost_usd"),
        (call(#","cost_usd":"+1""#), "invalid_amount", "data.cost_usd"),
        (call(#","cost_usd":"""#), "invalid_amount", "data.cost_usd"),
        (call(#","cost_usd":-1"#), "out_of_range", "data.cost_usd"),
        (call(#","cost_usd":1e18"#), "out_of_range", "data.cost_usd"),
        (call(#","cost_usd":true"#), "wrong_type", "data.cost_usd"),
        (call(#","latency_ms":1.5"#), "wrong_type", "data.latency_ms"),
        (call(#","latency_ms":4294967296"#), "out_of_range", "data.latency_ms"),
        (call(#","cache_hit":"yes""#), "wrong_type", "data.cache_hit"),
        (call(#","attributes":[]"#), "wrong_type", "data.attributes"),
        (call(#","attributes":{"a":1}"#), "wrong_type", "data.attributes.a"),
        (call(#","attributes":{"a":null}"#), "wrong_type", "data.attributes.a"),
        (call(#","attributes":{"":"x"}"#), "invalid_id", "data.attributes"),
        (call(#","attributes":{"a":"x\u0007"}"#), "invalid_text", "data.attributes.a"),
        (
            call(",\"attributes\":{\"a\":\"\(String(repeating: "x", count: 1025))\"}"),
            "out_of_range", "data.attributes.a"
        ),
        (call(",\"attributes\":{\(manyAttributes)}"), "too_many", "data.attributes"),
        // What refers to a call.
        (event("llm.call.voided", #""source":"s","id":"1""#), "missing_field", "data.reason"),
        (event("llm.call.voided", #""source":"s","reason":"r""#), "missing_field", "data.id"),
        (event("llm.call.voided", #""source":"s","id":"1","reason":"r","call":{}"#), "unknown_field", "data.call"),
        (event("llm.call.amended", #""source":"s","id":"1","reason":"r""#), "missing_field", "data.call"),
        (
            event("llm.call.amended", #""source":"s","id":"1","reason":"r","call":{"org":"o","usage":{"images":-1}}"#),
            "out_of_range", "data.call.usage.images"
        ),
        (
            event("llm.call.amended", #""source":"s","id":"1","reason":"r","call":{"org":"o"}"#),
            "missing_field", "data.call.provider"
        ),
        // Credits.
        (event("credits.granted", #""credits":1,"category":"paid""#), "missing_owner", "data.org"),
        (
            event("credits.granted", #""org":"o","user":"u","credits":1,"category":"paid""#),
            "ambiguous_owner", "data.user"
        ),
        (event("credits.granted", #""org":"o","category":"paid""#), "missing_field", "data.credits"),
        (event("credits.granted", #""org":"o","credits":"0","category":"paid""#), "out_of_range", "data.credits"),
        (event("credits.granted", #""org":"o","credits":-1,"category":"paid""#), "out_of_range", "data.credits"),
        (
            event("credits.granted", #""org":"o","credits":"0.0000001","category":"paid""#),
            "out_of_range", "data.credits"
        ),
        (
            event("credits.granted", #""org":"o","credits":"9223372036855","category":"paid""#),
            "out_of_range", "data.credits"
        ),
        (
            event("credits.granted", #""org":"o","credits":"1,000","category":"paid""#),
            "invalid_amount", "data.credits"
        ),
        (event("credits.granted", #""org":"o","credits":1"#), "missing_field", "data.category"),
        (event("credits.granted", #""org":"o","credits":1,"category":"gift""#), "invalid_value", "data.category"),
        (
            event("credits.granted", #""org":"o","credits":1,"category":"paid","priority":256"#),
            "out_of_range", "data.priority"
        ),
        (
            event("credits.granted", #""org":"o","credits":1,"category":"paid","paid_usd":-1"#),
            "out_of_range", "data.paid_usd"
        ),
        (
            event("credits.granted", #""org":"o","credits":1,"category":"paid","effective_at":"2026-01-01T00:00:00Z","#
                + #""expires_at":"2026-01-01T00:00:00Z""#),
            "out_of_range", "data.expires_at"
        ),
        (
            event("credits.granted", #""org":"o","credits":1,"category":"paid","expires_at":"never""#),
            "invalid_time", "data.expires_at"
        ),
        (event("credits.voided", #""reason":"r""#), "missing_field", "data.lot"),
        (
            event("credits.allocated", #""user":"u","mode":"cap","credits":1,"period":"day""#),
            "missing_field", "data.org"
        ),
        (
            event("credits.allocated", #""org":"o","user":"u","mode":"carveOut","credits":1,"period":"day""#),
            "invalid_value", "data.mode"
        ),
        (
            event("credits.allocated", #""org":"o","user":"u","mode":"cap","credits":-1,"period":"day""#),
            "out_of_range", "data.credits"
        ),
        (
            event("credits.allocated", #""org":"o","user":"u","mode":"cap","credits":1,"period":"year""#),
            "invalid_value", "data.period"
        ),
        (event("credits.adjusted", #""org":"o","credits":0,"reason":"r""#), "out_of_range", "data.credits"),
        (event("credits.adjusted", #""org":"o","credits":1"#), "missing_field", "data.reason"),
        // Plans.
        (event("plan.defined", #""calls":[]"#), "missing_field", "data.plan"),
        (event("plan.defined", #""plan":"p""#), "missing_field", "data.calls"),
        (event("plan.defined", #""plan":"p","calls":{}"#), "wrong_type", "data.calls"),
        (event("plan.defined", #""plan":"p","calls":[7]"#), "wrong_type", "data.calls.0"),
        (
            event("plan.defined", #""plan":"p","calls":[{"limit":1,"per":"day","enforce":"hard"},{"limit":-1}]"#),
            "out_of_range", "data.calls.1.limit"
        ),
        (
            event("plan.defined", #""plan":"p","calls":[{"limit":1,"per":"week","enforce":"hard"}]"#),
            "invalid_value", "data.calls.0.per"
        ),
        (
            event("plan.defined", #""plan":"p","calls":[{"limit":1,"per":"day"}]"#),
            "missing_field", "data.calls.0.enforce"
        ),
        (
            event("plan.defined", "\"plan\":\"p\",\"calls\":[\(nineLimits)]"),
            "too_many", "data.calls"
        ),
        (event("plan.defined", #""plan":"p","calls":[],"markup":"60%""#), "invalid_amount", "data.markup"),
        (event("plan.defined", #""plan":"p","calls":[],"markup":"-1.1""#), "out_of_range", "data.markup"),
        (event("plan.defined", #""plan":"p","calls":[],"markup":1001"#), "out_of_range", "data.markup"),
        (event("plan.defined", #""plan":"p","calls":[],"markup":"0.0000001""#), "out_of_range", "data.markup"),
        (
            event("plan.defined", #""plan":"p","calls":[],"overage":{"policy":"maybe"}"#),
            "invalid_value", "data.overage.policy"
        ),
        (event("plan.defined", #""plan":"p","calls":[],"overage":{}"#), "missing_field", "data.overage.policy"),
        (
            event("plan.defined", #""plan":"p","calls":[],"overage":{"policy":"allow","limit_credits":-1}"#),
            "out_of_range", "data.overage.limit_credits"
        ),
        (event("plan.defined", #""plan":"p","calls":[],"price_usd":-1"#), "out_of_range", "data.price_usd"),
        (event("plan.assigned", #""org":"o""#), "missing_field", "data.plan"),
        (event("plan.assigned", #""plan":"p""#), "missing_owner", "data.org"),
        (event("plan.assigned", #""org":"o","plan":"p","anchor_day":29"#), "out_of_range", "data.anchor_day"),
        (event("plan.assigned", #""org":"o","plan":"p","anchor_day":0"#), "out_of_range", "data.anchor_day"),
        (event("plan.assigned", #""org":"o","plan":"p","funding":"orgThenUser""#), "invalid_value", "data.funding"),
        (
            event("plan.assigned", #""org":"o","plan":"p","lago":{"external_customer_id":"c"}"#),
            "missing_field", "data.lago.external_subscription_id"
        ),
        // Prices.
        (event("prices.published", #""rules":[]"#), "missing_field", "data.unit"),
        (event("prices.published", #""unit":"usd""#), "missing_field", "data.rules"),
        (event("prices.published", #""unit":"eur","rules":[]"#), "invalid_value", "data.unit"),
        (event("prices.published", price + "[{}]"), "missing_price", "data.rules.0"),
        (
            event("prices.published", price + #"[{"input":1},{"any_token":1,"output":1}]"#),
            "conflicting_prices", "data.rules.1.output"
        ),
        (
            event("prices.published", price + #"[{"reported_cost":1,"per_call":1}]"#),
            "conflicting_prices", "data.rules.0.per_call"
        ),
        (
            event("prices.published", price + #"[{"reported_cost":1,"any_token":1}]"#),
            "conflicting_prices", "data.rules.0.any_token"
        ),
        (event("prices.published", price + #"[{"input":1,"per":100}]"#), "out_of_range", "data.rules.0.per"),
        (event("prices.published", price + #"[{"input":1,"per":5000}]"#), "out_of_range", "data.rules.0.per"),
        (event("prices.published", price + #"[{"input":-1}]"#), "out_of_range", "data.rules.0.input"),
        (event("prices.published", price + #"[{"input":1000000}]"#), "out_of_range", "data.rules.0.input"),
        (event("prices.published", price + #"[{"input":"x"}]"#), "invalid_amount", "data.rules.0.input"),
        (event("prices.published", price + #"[null]"#), "wrong_type", "data.rules.0"),
        (
            event("prices.published", price + #"[{"input":1,"above_input_tokens":-1}]"#),
            "out_of_range", "data.rules.0.above_input_tokens"
        ),
        (
            event("prices.published", price + #"[{"input":1,"above_input_tokens":1000000000001}]"#),
            "out_of_range", "data.rules.0.above_input_tokens"
        ),
        (event("prices.published", price + #"[{"above_input_tokens":1}]"#), "missing_price", "data.rules.0"),
        (event("prices.published", price + #"[],"cache_hit":-1"#), "out_of_range", "data.cache_hit"),
        (
            event("prices.published", price + #"[],"multipliers":[{"attribute":"a"}]"#),
            "missing_field", "data.multipliers.0.values"
        ),
        (
            event("prices.published", price + #"[],"multipliers":[{"attribute":"a","values":{"x":"y"}}]"#),
            "invalid_amount", "data.multipliers.0.values.x"
        ),
        (
            event("prices.published", price + #"[],"multipliers":[{"attribute":"a","values":{"x":null}}]"#),
            "missing_field", "data.multipliers.0.values.x"
        ),
        (
            event(
                "prices.published",
                price + #"[],"multipliers":[{"attribute":"a","values":{}},{"attribute":"a","values":{}}]"#),
            "duplicate_attribute", "data.multipliers.1.attribute"
        ),
    ]

    @Test(arguments: 0..<bad.count)
    func `what breaks a rule is refused by code and field`(row: Int) throws {
        let (json, code, field) = Self.bad[row]
        guard case .failure(let error) = try Self.item(json).result else {
            Issue.record("taken: \(json)")
            return
        }
        #expect(error.code == code, "\(json): \(error)")
        #expect(error.field == field, "\(json): \(error)")
        #expect(!error.detail.isEmpty)
    }

    static let good: [String] = [
        call(""), call(#","usage":null,"cost_usd":null,"attributes":null"#), call(#","usage":{}"#),
        call(#","usage":{"input_tokens":5,"cache_read_tokens":3,"cache_write_tokens":2}"#),
        call(#","usage":{"input_tokens":1000000000000,"audio_seconds":"12.5"}"#),
        call(#","latency_ms":4294967295,"cache_hit":false,"authorization":"a""#),
        #"{"specversion":"1.0","id":"1","source":"s","subject":"x","#
            + #""datacontenttype":"application/json","dataschema":"u","traceparent":"00-1","extra1":7,"#
            + #""type":"credits.voided","time":"2026-11-22T07:52:05.320818+01:00","data":{"lot":"l","#
            + #""reason":""}}"#,
        #"{"data":{"lot":"l","reason":"r"},"type":"credits.voided","source":"s","id":"1"}"#,
        event("credits.granted", #""user":"u","credits":"0.000001","category":"promo""#),
        event("credits.allocated", #""org":"o","user":"u","mode":"carve_out","credits":0,"period":"never""#),
        event("credits.adjusted", #""user":"u","credits":"-0.5","reason":"r""#),
        event("plan.defined", #""plan":"p","calls":[]"#),
        event("plan.defined", #""plan":"p","calls":[],"markup":-1,"interval":"year","overage":{"policy":"invoice"}"#),
        event("plan.assigned", #""user":"u","plan":"p","anchor_day":28,"funding":"org_then_user""#),
        event("prices.published", price + #"[{"per_call":0}]"#),
        event("prices.published", price + #"[{"above_input_tokens":200000,"input":2},{"input":1}]"#),
        event(
            "prices.published",
            price + #"[{"model":"gpt-*","per":1000000,"input":1.5e-07,"output":"999999.999999999999"}]"#),
        event(
            "prices.published",
            price + #"[{"reported_cost":1.6}],"multipliers":[{"attribute":"power_level","values":{"eco":0.1,"#
            + #""":2}}]"#),
    ]

    @Test(arguments: good)
    func `what keeps the rules is taken`(json: String) throws {
        let item = try Self.item(json)
        #expect(throws: Never.self) { try item.result.get() }
        #expect(item.id == "1")
    }

    @Test func `amounts are read from the digits as written, rounded once, half to even`() throws {
        for (written, nanos) in [
            ("\"10000\"", 10_000_000_000), ("1.35e-05", 14), ("0.0000005", 0), ("\"0.0000015\"", 2),
            ("0.00000250001", 3),
            ("1e3", 1_000_000_000), ("0.1", 100_000), ("9223372036854.775807", Int64.max),
        ] as [(String, Int64)] {
            let members = #""org":"o","user":"u","mode":"cap","period":"day","credits":"# + written
            let item = try Self.item(Self.event("credits.allocated", members))
            guard case .creditsAllocated(let allocation) = try item.result.get().fact else { return }
            #expect(allocation.credits.nanos == nanos, "\(written)")
        }
        let item = try Self.item(Self.call(#","cost_usd":1.35e-05"#))
        guard case .call(let call) = try item.result.get().fact else { return }
        #expect(call.cost == Decimal(mantissa: 135, scale: 7))
    }

    @Test func `the default org is for calls without an owner only`() throws {
        let nobody = #""provider":"p","model":"m","operation":"chat","status":"success""#
        for (members, org, user) in [
            (nobody, "d", nil), (nobody + #","user":"u""#, nil, "u"), (nobody + #","org":"o""#, "o", nil),
        ] as [(String, Name?, Name?)] {
            let item = try Self.item(Self.event("llm.call", members), defaultOrg: "d")
            guard case .call(let call) = try item.result.get().fact else { return }
            #expect(call.org == org)
            #expect(call.user == user)
        }
    }

    @Test func `attributes are put in byte order`() throws {
        let json = Self.call(#","attributes":{"b":"2","é":"3","a":"1","B":"0"}"#)
        guard case .call(let call) = try Self.item(json).result.get().fact else { return }
        #expect(call.attributes.map(\.name.text) == ["B", "a", "b", "é"])
        #expect(call.attributes.map(\.value) == ["0", "1", "2", "3"])
    }

    @Test func `the first fault is told, and the id wherever it stands`() throws {
        let item = try Self.item(#"{"data":{"x":1},"type":"llm.call","time":"no","source":"","id":"late"}"#)
        #expect(item.id == "late")
        guard case .failure(let error) = item.result else { return }
        #expect(error.field == "time")
    }
}
