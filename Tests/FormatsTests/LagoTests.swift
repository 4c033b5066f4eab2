import Billing
import Formats
import JSON
import Testing

@Suite struct LagoTests {
    static func event(_ text: String) throws(LagoAnswer) -> LagoItem {
        try LagoFormat.event(body: Array(text.utf8))
    }

    static func fact(_ item: LagoItem) throws -> (Event, Call, isUsage: Bool) {
        guard case .event(let event) = item.outcome else { throw JSONError(offset: 0, reason: "\(item.outcome)") }
        switch event.fact {
        case .call(let call): return (event, call, false)
        case .usage(let call): return (event, call, true)
        default: throw JSONError(offset: 0, reason: "no call")
        }
    }

    static let sent = #"{"event":{"transaction_id":"t","external_subscription_id":"s","#

    struct Row: Sendable {
        var model: String
        var cost: String?
        var input: Int64?
        var output: Int64?
        var operation = Call.Operation.chat
    }

    static let small = Row(model: "gpt-4o-mini", cost: "0.0000135", input: 10, output: 20)
    static let gpt5 = Row(model: "gpt-5-mini", cost: "0.0006695", input: 2006, output: 300)
    static let claude = Row(model: "claude-sonnet-4-5-20250929", cost: "0.02939", input: 2098, output: 503)

    /// What LiteLLM's `lago` and `openmeter` callbacks say of the same calls.
    static let rows: [String: Row] = [
        "mock_async": small, "mock_burst20": small, "sync": small, "proxy_chat": small, "up_cache_hit": gpt5,
        "proxy_stream": gpt5,
        "proxy_fallback": gpt5, "up_openai_cached_reasoning": gpt5, "up_openai_stream_usage": gpt5,
        "up_anthropic_cache": claude,
        "up_anthropic_stream": claude, "up_anthropic_messages": claude,
        "mock_async_claude": Row(model: "claude-sonnet-4-5-20250929", cost: "0.00033", input: 10, output: 20),
        "mock_stream": Row(model: "gpt-4o", cost: "0.0001025", input: 9, output: 8),
        "mock_embedding": Row(
            model: "text-embedding-3-small", cost: "0.0000002", input: 10, output: 0, operation: .other),
        "mock_unknown_model": Row(model: "my-private-model-9b", cost: nil, input: 10, output: 20),
        "up_openai_audio": Row(model: "gpt-4o-audio-preview", cost: nil, input: 2006, output: 300),
        "up_openai_stream_nousage": Row(model: "gpt-5-mini", cost: nil, operation: .other),
        "up_openai_embedding": Row(
            model: "text-embedding-3-small", cost: "0.00000016", input: 8, output: 0, operation: .other),
        "proxy_embed": Row(model: "text-embedding-3-small", cost: "0.00000016", input: 8, output: 0, operation: .other),
        "up_openai_image": Row(model: "gpt-image-1", cost: "0.04269", operation: .other),
        "up_openai_transcription": Row(model: "whisper-1", cost: nil, operation: .other),
        "up_openai_responses": Row(model: "gpt-5-mini", cost: "0.000141", operation: .other),
        "up_gemini_cache_thinking": Row(model: "gemini-2.5-flash", cost: "0.00063", input: 1200, output: 160),
        "up_rerank": Row(model: "rerank-v3.5", cost: "0.002", operation: .other),
        "proxy_disconnect": Row(model: "gpt-4o-mini", cost: "0.00000315", input: 9, output: 3),
    ]

    static func row(_ capture: Capture) -> Row {
        // One label for three kinds of call.
        switch (capture.folder, capture.number) {
        case ("litellm_lago", 55): Row(model: "gpt-4o", cost: "0.0000625", input: 9, output: 4)
        case ("litellm_lago", 56): rows["mock_embedding"]!
        default: rows[capture.label] ?? small
        }
    }

    static func check(_ call: Call, _ capture: Capture) {
        let row = row(capture)
        #expect(call.model.text == row.model)
        // The cache's answer costs nothing and looks like any call.
        if capture.label != "up_cache_hit" || call.cost != .zero { #expect(call.cost?.text == row.cost) }
        #expect(call.usage?.inputTokens == row.input)
        #expect(call.usage?.outputTokens == row.output)
        #expect(call.operation == row.operation)
        #expect(call.provider.text == "unknown")
        #expect(call.status == .success)
        #expect(call.org == nil && call.user == nil)
    }

    @Test(arguments: Capture.of("litellm_lago")) func `every captured lago callback is a call of its subscription`(
        capture: Capture
    ) throws {
        let item = try LagoFormat.event(body: capture.body)
        let (event, call, isUsage) = try Self.fact(item)
        #expect(!isUsage && item.faults.isEmpty)
        let sent = try JSONValue.parse(capture.body)["event"]!
        #expect(event.id.text == sent["transaction_id"]?.string)
        #expect(event.source.text == "lago/" + sent["external_subscription_id"]!.string!)
        #expect(call.subscription?.text == sent["external_subscription_id"]?.string)
        #expect(event.time == nil)
        #expect(call.attributes == [Attribute(name: Name(checked: "lago.code"), value: "litellm_tokens")])
        Self.check(call, capture)
    }

    @Test(arguments: Capture.of("litellm_openmeter")) func `every captured openmeter callback is a call of its subject`(
        capture: Capture
    ) throws {
        let items = try OpenMeterFormat.parse(body: capture.body, defaultOrg: nil, itemsMax: 100)
        #expect(OpenMeterFormat.recognizes(contentType: nil, body: capture.body))
        guard items.count == 1, case .event(let event) = items[0].outcome, case .call(let call) = event.fact else {
            Issue.record("\(items)")
            return
        }
        let sent = try JSONValue.parse(capture.body)
        #expect(event.id.text == sent["id"]?.string)
        #expect(event.source.text == "litellm-proxy")
        #expect(event.time == Timestamp(rfc3339: sent["time"]!.string!))
        #expect(call.subscription?.text == sent["subject"]?.string)
        Self.check(call, capture)
    }

    @Test func `the callbacks' captures have known labels`() {
        let unlisted = Set(Capture.of("litellm_lago").map(\.label)).union(Capture.of("litellm_openmeter").map(\.label))
            .subtracting(Self.rows.keys)
        #expect(
            unlisted.allSatisfy { label in
                ["reply_", "abort_", "exit_", "slow"].contains { label.hasPrefix($0) }
            }, "\(unlisted)")
    }

    @Test(arguments: Capture.of("lago_agent_sdk")) func `every captured batch of Lago's client is usage`(
        capture: Capture
    ) throws {
        let items = try LagoFormat.batch(body: capture.body)
        let sent = try JSONValue.parse(capture.body)["events"]!
        for item in items {
            let (event, call, isUsage) = try Self.fact(item)
            let properties = sent[item.index]!["properties"]!
            #expect(isUsage)
            #expect(event.time?.unixSeconds == sent[item.index]!["timestamp"]?.number)
            #expect(event.source.text == "lago/sub_red" && call.subscription?.text == "sub_red")
            #expect(
                call.model.text == properties["model"]?.string && call.provider.text == properties["provider"]?.string)
            #expect(call.operation == (item.code == "llm_cost" ? .other : .chat))
            #expect(call.usage?.fault == nil)
            if item.code == "llm_cost" {
                #expect(call.cost?.text == "0.00123456" && call.usage == nil)
                #expect(item.preciseTotalAmountCents == "0.123456")
            }
        }
        // OpenAI's totals have the cached, reasoning and audio tokens inside: nothing is counted twice.
        let calls = try items.map { try Self.fact($0).1 }
        let inputs = items.count { $0.code == "llm_input_tokens" }
        let outputs = items.count { $0.code == "llm_output_tokens" }
        #expect(calls.reduce(0) { $0 + ($1.usage?.inputTokens ?? 0) } == Int64(inputs) * 2006)
        #expect(calls.reduce(0) { $0 + ($1.usage?.outputTokens ?? 0) } == Int64(outputs) * 300)
    }

    @Test func `a retried batch has the same keys, and the singles after a 422 too`() throws {
        let retried = Capture.of("lago_agent_sdk", "err503")
        let keys = try Set(retried.flatMap { try LagoFormat.batch(body: $0.body).map(\.transactionID) })
        #expect(retried.count == 3 && keys.count == 4)
        let split = Capture.of("lago_agent_sdk", "dup422")
        #expect(try Set(split.flatMap { try LagoFormat.batch(body: $0.body).map(\.lagoID) }).count == 4)
    }

    static func metric(_ code: String, provider: String?, api: String = "native", value: String = "\"30\"") throws
        -> Call
    {
        let named = provider.map { ",\"provider\":\"\($0)\"" } ?? ""
        let item = try event(
            sent + #""code":"\#(code)","properties":{"value":\#(value),"model":"m","api":"\#(api)"\#(named)}}}"#
        )
        return try fact(item).1
    }

    @Test func `a subset counts beside its total where its sender keeps it beside, and not where it is inside`() throws
    {
        let read = Usage(inputTokens: 30, cacheReadTokens: 30)
        let write = Usage(inputTokens: 30, cacheWriteTokens: 30)
        let reasoning = Usage(outputTokens: 30, reasoningTokens: 30)
        let none = Usage(inputTokens: 0, outputTokens: 0)
        let table: [(String, String?, String, Usage)] = [
            ("llm_cached_input_tokens", "anthropic", "native", read),
            ("llm_cached_input_tokens", "openai", "native", none),
            ("llm_cached_input_tokens", "gemini", "native", none),
            ("llm_cached_input_tokens", "snowflake", "chat_completions", read),
            ("llm_cached_input_tokens", "anthropic", "databricks_gateway", none),
            ("llm_cached_input_tokens", "anthropic", "cloudflare_gateway", read),
            ("llm_cached_input_tokens", nil, "native", none),
            ("llm_cache_creation_tokens", "anthropic", "native", write),
            ("llm_cache_creation_tokens", "openai", "native", none),
            ("llm_cache_write_5m_tokens", "anthropic", "native", none),
            ("llm_cache_write_1h_tokens", "anthropic", "native", none),
            ("llm_reasoning_tokens", "gemini", "native", reasoning),
            ("llm_reasoning_tokens", "openai", "native", none),
            ("llm_reasoning_tokens", "mistral", "native", reasoning),
            ("llm_reasoning_tokens", "gemini", "ramp_router", none),
            ("llm_input_tokens", "anthropic", "native", Usage(inputTokens: 30)),
            ("llm_output_tokens", nil, "native", Usage(outputTokens: 30)),
            ("llm_audio_input_tokens", "gemini", "native", none),
            ("llm_image_output_tokens", "openai", "native", none), ("llm_tool_calls", "anthropic", "native", none),
        ]
        for (code, provider, api, usage) in table {
            let call = try Self.metric(code, provider: provider, api: api)
            #expect(call.usage == usage, "\(code) \(provider ?? "-") \(api)")
            #expect(call.usage?.fault == nil)
            let kept = call.attributes.first { $0.name.text == "lago." + code.dropFirst(4) }?.value
            #expect(kept == (usage == none ? "30" : nil), "\(code)")
        }
    }

    @Test func `Anthropic's numbers add up to inclusive totals`() throws {
        let table = [
            ("llm_input_tokens", "50"), ("llm_cached_input_tokens", "1800"), ("llm_cache_creation_tokens", "248"),
            ("llm_cache_write_5m_tokens", "148"), ("llm_cache_write_1h_tokens", "100"), ("llm_output_tokens", "503"),
        ]
        var sum: (input: Int64, read: Int64, write: Int64, output: Int64) = (0, 0, 0, 0)
        for (code, value) in table {
            let usage = try #require(try Self.metric(code, provider: "anthropic", value: "\"\(value)\"").usage)
            sum.input += usage.inputTokens ?? 0
            sum.read += usage.cacheReadTokens ?? 0
            sum.write += usage.cacheWriteTokens ?? 0
            sum.output += usage.outputTokens ?? 0
        }
        #expect(sum == (2098, 1800, 248, 503))
    }

    @Test(arguments: [
        (#""value":"1.5""#, "llm_input_tokens", "wrong_type"), (#""value":"-1""#, "llm_input_tokens", "out_of_range"),
        (#""x":1"#, "llm_output_tokens", "missing_value"),
        (#""value":"-3""#, "llm_tool_calls", "out_of_range"), (#""value":"-0.1""#, "llm_cost", "out_of_range"),
        (#""x":1"#, "llm_cost", "missing_value"),
        (#""value":1"#, "api_calls", "unknown_code"), (#""model":"m""#, "litellm_tokens", "unknown_code"),
        (#""model":{},"response_cost":1"#, "x", "wrong_type"),
    ])
    func `what is no LLM usage is parked, and answered as stored`(properties: String, code: String, parkedCode: String)
        throws
    {
        let item = try Self.event(
            Self.sent + #""code":"\#(code)","properties":{\#(properties)}}}"#
        )
        guard case .parked(let parked) = item.outcome else {
            Issue.record("\(item)")
            return
        }
        #expect(parked.code == parkedCode && item.faults.isEmpty)
        #expect(parked.facts.first == .init(name: "transaction_id", value: "t"))
        #expect(LagoAnswer.stored(item, recordedAt: Timestamp(microseconds: 0)).status == 200)
    }

    @Test func `changed captures never trap`() {
        var random = Seeded(state: 7)
        let bodies =
            Capture.of("lago_agent_sdk").map(\.body) + Capture.of("litellm_lago").prefix(5).map(\.body)
            + Capture.of("litellm_openmeter").prefix(5).map(\.body)
        let bytes: [UInt8] = Array("{}[]\",:\\0-9.eNn \n".utf8) + [0, 0x80, 0xFF]
        for _ in 0..<2000 {
            var body = bodies[random.below(bodies.count)]
            for _ in 0...random.below(4) { body[random.below(body.count)] = bytes[random.below(bytes.count)] }
            _ = try? LagoFormat.event(body: body)
            _ = try? LagoFormat.batch(body: body)
            _ = try? OpenMeterFormat.parse(body: body, defaultOrg: nil, itemsMax: 100)
        }
    }
}
