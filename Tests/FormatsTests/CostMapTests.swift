import Billing
import Formats
import JSON
import Testing

/// LiteLLM's cost map to a price list.
@Suite struct CostMapTests {
    static let sample = Capture.document("litellm_cost_map_sample.json")

    static func convert(_ json: String) throws -> LiteLLMCostMap.Conversion {
        try LiteLLMCostMap.convert(try JSONValue.parse(Array(json.utf8)))
    }

    /// "provider/model op=image above=200000 in=3 out=15": everything a rule says, prices per 1,000,000.
    static func text(_ rule: PriceRule) -> String {
        var parts = ["\(rule.provider?.text ?? "*")/\(rule.model?.text ?? "*")"]
        if let operation = rule.operation { parts.append("op=\(operation.name)") }
        if let above = rule.aboveInputTokens { parts.append("above=\(above)") }
        let prices: [(String, Decimal?)] = [
            ("any", rule.anyToken), ("in", rule.input), ("out", rule.output), ("cr", rule.cacheRead),
            ("cw", rule.cacheWrite), ("re", rule.reasoning), ("call", rule.perCall), ("image", rule.perImage),
            ("second", rule.perAudioSecond), ("search", rule.perSearch), ("cost", rule.reportedCost),
        ]
        for (name, price) in prices { if let price { parts.append("\(name)=\(price.text)") } }
        return parts.joined(separator: " ")
    }

    struct Row: Sendable {
        /// Members of the one entry "m" of provider "p", chat unless it says otherwise.
        var members: String
        var rules: [String]
        /// "reason key", in order.
        var losses: [String] = []
    }

    static let io = #""input_cost_per_token":1e-06,"output_cost_per_token":2e-06"#
    static let rows: [Row] = [
        Row(members: #""input_cost_per_token":7.5e-08"#, rules: ["p/m in=0.075"]),
        Row(members: #""input_cost_per_token":0.0000025,"output_cost_per_token":1E-5"#, rules: ["p/m in=2.5 out=10"]),
        Row(members: #""input_cost_per_token":"3e-7","output_cost_per_token":0"#, rules: ["p/m in=0.3 out=0"]),
        Row(
            members: io + #","cache_read_input_token_cost":1e-07,"cache_creation_input_token_cost":1.25e-06"#,
            rules: ["p/m in=1 out=2 cr=0.1 cw=1.25"]),
        Row(members: io + #","output_cost_per_reasoning_token":3e-06"#, rules: ["p/m in=1 out=2 re=3"]),
        Row(members: io + #","input_cost_per_token_cache_hit":1e-07"#, rules: ["p/m in=1 out=2 cr=0.1"]),
        Row(
            members: io + #","input_cost_per_token_cache_hit":1e-07,"cache_read_input_token_cost":2e-07"#,
            rules: ["p/m in=1 out=2 cr=0.2"], losses: ["alternative input_cost_per_token_cache_hit"]),
        Row(members: io + #","cache_read_input_token_cost":null,"rpm":5,"mode":"chat""#, rules: ["p/m in=1 out=2"]),
        // Above a number of input tokens.
        Row(
            members: io + #","input_cost_per_token_above_200k_tokens":3e-06"#,
            rules: ["p/m above=200000 in=3 out=2", "p/m in=1 out=2"]),
        Row(
            members: io + #","cache_read_input_token_cost":1e-07,"input_cost_per_token_above_128_tokens":3e-06,"#
                + #""cache_read_input_token_cost_above_128_tokens":2e-07,"output_cost_per_token_above_128_tokens":4e-06"#,
            rules: ["p/m above=128 in=3 out=4 cr=0.2", "p/m in=1 out=2 cr=0.1"]),
        Row(
            members: io + #","input_cost_per_token_above_128k_tokens":3e-06,"#
                + #""input_cost_per_token_above_1000k_tokens":5e-06,"#
                + #""search_context_cost_per_query":{"search_context_size_medium":0.01}"#,
            rules: [
                "p/m above=1000000 in=5 out=2 search=0.01", "p/m above=128000 in=3 out=2 search=0.01",
                "p/m in=1 out=2 search=0.01",
            ]),
        Row(members: io + #","input_cost_per_token_above_128k_tokens":1e-06"#, rules: ["p/m in=1 out=2"]),
        Row(
            members: io + #","output_cost_per_token_above_128k_tokens":5e-06"#, rules: ["p/m in=1 out=2"],
            losses: ["threshold output_cost_per_token_above_128k_tokens"]),
        // Tiers by input tokens; the model's own prices count only for an output that a tier leaves out.
        Row(
            members: #""output_cost_per_token":9e-06,"tiered_pricing":["#
                + #"{"range":[32000,128000.0],"input_cost_per_token":2e-06,"output_cost_per_token":6e-06},"#
                + #"{"range":[0,32000],"input_cost_per_token":1e-06,"cache_read_input_token_cost":1e-07}]"#,
            rules: ["p/m above=32000 in=2 out=6", "p/m in=1 out=9 cr=0.1"]),
        Row(
            members: io + #","tiered_pricing":[{"range":[0,10],"input_cost_per_token":5e-06},"#
                + #"{"range":[20,30],"input_cost_per_token":6e-06}]"#,
            rules: ["p/m in=1 out=2"], losses: ["tieredPricing tiered_pricing"]),
        Row(
            members: #""tiered_pricing":[{"range":[0,10],"input_cost_per_token":5e-06,"zone_cost":1}]"#,
            rules: ["p/m in=5"], losses: ["unit tiered_pricing.zone_cost"]),
        // Writes kept for hours, above a threshold too.
        Row(
            members: io + #","cache_creation_input_token_cost_above_12hr":9e-06,"#
                + #""cache_creation_input_token_cost_above_12hr_above_272k_tokens_flex":9e-06"#,
            rules: ["p/m in=1 out=2"],
            losses: [
                "cacheHours cache_creation_input_token_cost_above_12hr",
                "cacheHours cache_creation_input_token_cost_above_12hr_above_272k_tokens_flex",
            ]),
        // Other units.
        Row(members: io + #","input_cost_per_request":0.005"#, rules: ["p/m in=1 out=2 call=0.005"]),
        Row(
            members: #""mode":"rerank","input_cost_per_token":0.0,"input_cost_per_query":0.002"#,
            rules: ["p/m in=0 call=0.002"], losses: ["onceACall input_cost_per_query"]),
        Row(members: io + #","input_cost_per_query":0.002"#, rules: ["p/m in=1 out=2"], losses: ["unit input_cost_per_query"]),
        Row(
            members: #""mode":"image_generation","output_cost_per_image":0.026,"output_cost_per_image_2K":0.1"#,
            rules: ["p/m image=0.026"], losses: ["size output_cost_per_image_2K"]),
        Row(members: #""mode":"image_generation","input_cost_per_image":0.04"#, rules: ["p/m image=0.04"]),
        Row(
            members: #""mode":"image_generation","output_cost_per_image":0.1,"# + io,
            rules: ["p/m op=image image=0.1", "p/m in=1 out=2"]),
        Row(
            members: #""mode":"image_generation","input_cost_per_token":1e-06,"output_cost_per_image_token":3e-05"#,
            rules: ["p/m in=1 out=30"]),
        Row(members: io + #","input_cost_per_image":0.001"#, rules: ["p/m in=1 out=2"], losses: ["unit input_cost_per_image"]),
        Row(
            members: #""mode":"audio_transcription","input_cost_per_second":0.0001,"output_cost_per_second":0.0001"#,
            rules: ["p/m second=0.0001"]),
        Row(
            members: #""mode":"audio_transcription","input_cost_per_second":0.0001,"output_cost_per_second":0.0002"#,
            rules: ["p/m second=0.0001"], losses: ["alternative output_cost_per_second"]),
        Row(
            members: #""mode":"audio_transcription","input_cost_per_second":0.0001,"# + io,
            rules: ["p/m in=1 out=2"], losses: ["alternative input_cost_per_second"]),
        Row(
            members: io + #","search_context_cost_per_query":{"search_context_size_low":0.006,"#
                + #""search_context_size_medium":0.01,"search_context_size_high":0.01}"#,
            rules: ["p/m in=1 out=2 search=0.01"],
            losses: ["size search_context_cost_per_query.search_context_size_low"]),
        // What is left out, and why.
        Row(
            members: io + #","input_cost_per_token_batches":5e-07,"output_cost_per_token_above_200k_tokens_flex":1e-06,"#
                + #""cache_creation_input_token_cost_above_1hr":6e-06,"input_cost_per_audio_token":3e-06,"#
                + #""off_peak_pricing":{"input_cost_per_token":1e-07},"regional_endpoint_uplift_multiplier":1.1,"#
                + #""search_free_requests":{"count":10},"citation_cost_per_token":2e-06,"wormhole_fee":4,"#
                + #""supports_vision":true,"max_tokens":5,"new_flag":true"#,
            rules: ["p/m in=1 out=2"],
            losses: [
                "tier input_cost_per_token_batches", "tier output_cost_per_token_above_200k_tokens_flex",
                "modality input_cost_per_audio_token", "cacheHours cache_creation_input_token_cost_above_1hr",
                "hours off_peak_pricing", "factor regional_endpoint_uplift_multiplier", "allowance search_free_requests",
                "unit citation_cost_per_token", "unknown wormhole_fee",
            ]),
        Row(members: #""mode":"audio_speech","input_cost_per_character":1.5e-05"#, rules: [], losses: ["unit input_cost_per_character"]),
        // Free of charge altogether: nothing is lost. Free but for what no rule says: no rule, so that it is seen.
        Row(members: #""input_cost_per_token":0,"input_cost_per_image":0,"input_cost_per_token_batches":0.0"#, rules: ["p/m in=0"]),
        Row(
            members: #""input_cost_per_token":0,"output_cost_per_second":0.1"#, rules: [],
            losses: ["unit output_cost_per_second"]),
        Row(members: #""max_tokens":5"#, rules: []),
        // Prices that are none leave no rule at all.
        Row(members: #""input_cost_per_token":-1e-06,"output_cost_per_token":1e-06"#, rules: [], losses: ["notAPrice input_cost_per_token"]),
        Row(members: #""input_cost_per_token":1,"output_cost_per_token":1e-06"#, rules: [], losses: ["notAPrice input_cost_per_token"]),
        Row(members: #""input_cost_per_token":true,"output_cost_per_token":1e-06"#, rules: [], losses: ["notAPrice input_cost_per_token"]),
        Row(members: #""input_cost_per_token":"free""#, rules: [], losses: ["notAPrice input_cost_per_token"]),
        Row(
            members: #""input_cost_per_token":9.999990000000002e-06"#, rules: ["p/m in=9.99999"],
            losses: ["rounded input_cost_per_token"]),
        Row(members: #""input_cost_per_token":0.999999999999999999"#, rules: ["p/m in=999999.999999999999"]),
        Row(members: #""input_cost_per_token":0.9999999999999999999"#, rules: [], losses: ["notAPrice input_cost_per_token"]),
    ]

    @Test(arguments: rows.indices)
    func `each key is in a rule or in the report`(index: Int) throws {
        let row = Self.rows[index]
        let made = try Self.convert(#"{"p/m":{"litellm_provider":"p","# + row.members + "}}")
        #expect(made.list.rules.map(Self.text) == row.rules)
        #expect(made.report.losses.map { "\($0.reason) \($0.key)" } == row.losses)
        #expect(made.report.losses.allSatisfy { $0.count == 1 && $0.examples.count == 1 })
        #expect(made.list.unit == .usd && made.list.rules.allSatisfy { $0.per == 1_000_000 })
        #expect(made.report.priced == (row.rules.isEmpty ? 0 : 1) && made.report.models == 1)
        #expect(made.report.withoutRule == (row.rules.isEmpty ? ["p/m"] : []))
    }

    @Test func `provider and model are those that calls name`() throws {
        let entry = #""input_cost_per_token":1e-06"#
        let rows: [(key: String, provider: String, rule: String)] = [
            ("gpt-4o", "openai", "openai/gpt-4o in=1"),
            ("openai/gpt-4o", "openai", "openai/gpt-4o in=1"),
            ("gemini/gemini-2.5-pro", "gemini", "gemini/gemini-2.5-pro in=1"),
            ("vertex_ai/claude", "vertex_ai-anthropic_models", "vertex_ai/claude in=1"),
            ("gemini-pro", "vertex_ai-language-models", "vertex_ai/gemini-pro in=1"),
            ("fireworks_ai/a/b", "fireworks_ai-embedding-models", "fireworks_ai/a/b in=1"),
            ("anthropic.claude-v2:1", "bedrock_converse", "bedrock/anthropic.claude-v2:1 in=1"),
            ("bedrock/us-east-1/x", "bedrock", "bedrock/us-east-1/x in=1"),
            ("openrouter/openai/gpt-4", "openrouter", "openrouter/openai/gpt-4 in=1"),
            ("azure/gpt-4o", "azure_ai", "azure_ai/azure/gpt-4o in=1"),
            ("xai/grok", "xai", "xai/grok in=1"),
        ]
        for row in rows {
            let made = try Self.convert(#"{"\#(row.key)":{"litellm_provider":"\#(row.provider)",\#(entry)}}"#)
            #expect(made.list.rules.map(Self.text) == [row.rule])
        }
        #expect(try Self.convert(#"{"m":{\#(entry)}}"#).list.rules.map(Self.text) == ["*/m in=1"])
        // xAI counts the threshold itself in.
        let xai = try Self.convert(
            #"{"g":{"litellm_provider":"xai",\#(entry),"input_cost_per_token_above_200k_tokens":2e-06}}"#)
        #expect(xai.list.rules.map(Self.text) == ["xai/g above=199999 in=2", "xai/g in=1"])
    }

    @Test func `exact names come before wildcards, in the order of bytes, whatever the map's order`() throws {
        func entry(_ key: String, _ provider: String) -> String {
            #""\#(key)":{"litellm_provider":"\#(provider)","input_cost_per_token":1e-06}"#
        }
        let entries = [
            entry("p/b*", "p"), entry("zz", "q"), entry("a", "q"), entry("p/a", "p"), entry("p/*", "p"),
        ]
        let wanted = ["p/a in=1", "q/a in=1", "q/zz in=1", "p/* in=1", "p/b* in=1"]
        let forth = try Self.convert("{" + entries.joined(separator: ",") + "}")
        let back = try Self.convert("{" + entries.reversed().joined(separator: ",") + "}")
        #expect(forth.list.rules.map(Self.text) == wanted)
        #expect(forth == back)
    }

    @Test func `of two entries for one model the one named with its provider counts, the other is reported`() throws {
        let made = try Self.convert(
            #"{"m":{"litellm_provider":"p","input_cost_per_token":1e-06},"#
                + #""p/m":{"litellm_provider":"p","input_cost_per_token":2e-06}}"#)
        #expect(made.list.rules.map(Self.text) == ["p/m in=2"])
        #expect(made.report.losses.map(\.reason) == [.shadowed])
        let same = try Self.convert(
            #"{"m":{"litellm_provider":"p","input_cost_per_token":1e-06},"#
                + #""p/m":{"litellm_provider":"p","input_cost_per_token":1e-06}}"#)
        #expect(same.list.rules.count == 1 && same.report.losses.isEmpty)
    }

    @Test func `what is no map is refused, and what is no entry is reported`() throws {
        #expect(throws: LiteLLMCostMap.Fault.notAnObject) { try Self.convert("[]") }
        let made = try Self.convert(#"{"a":5,"\#(String(repeating: "x", count: 257))":{},"sample_spec":{"mode":"x"}}"#)
        #expect(made.list.rules.isEmpty)
        #expect(made.report.losses.map(\.count) == [2] && made.report.models == 2)
        let many = (0...PriceList.rulesMax).map { #""m\#($0)":{"input_cost_per_token":1e-6}"# }
        #expect(throws: LiteLLMCostMap.Fault.tooManyRules(PriceList.rulesMax + 1)) {
            try Self.convert("{" + many.joined(separator: ",") + "}")
        }
    }

    @Test func `the sample's list is an event that the native format reads back, nothing is dropped unsaid`() throws {
        let made = try LiteLLMCostMap.convert(Self.sample)
        let event = made.event(source: Name(checked: "import-prices"), id: nil)
        var writer = JSONWriter()
        NativeFormat.write(event, into: &writer)
        let parsed = try NativeFormat.parse(body: writer.bytes, eventsMax: 1)
        #expect(parsed.items.map(\.result) == [.success(event)])
        // The id is of the content.
        #expect(try LiteLLMCostMap.convert(Self.sample).event(source: event.source, id: nil) == event)
        let later = try LiteLLMCostMap.convert(Self.sample, effectiveAt: Timestamp(rfc3339: "2027-01-01T00:00:00Z"))
        #expect(later.event(source: event.source, id: nil).id != event.id)

        #expect(made.report.models == 58)
        #expect(made.report.priced + made.report.withoutRule.count == 58)
        #expect(made.report.rules == made.list.rules.count)
        // Every key of money in the map is a price of some rule, or a line of the report.
        let carried: Set<String> = [
            "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost",
            "cache_creation_input_token_cost", "output_cost_per_reasoning_token", "input_cost_per_token_cache_hit",
            "input_cost_per_request", "search_context_cost_per_query", "output_cost_per_image",
            "output_cost_per_character", "input_cost_per_audio_per_second",
        ]
        let losses = made.report.losses.map(\.key)
        let reported = Set(losses + losses.map { String($0.prefix { $0 != "." }) })
        guard case .object(let entries) = Self.sample else { return }
        for entry in entries where entry.name != "sample_spec" {
            guard case .object(let members) = entry.value else { continue }
            for member in members where member.name.contains("cost") || member.name.contains("pricing") {
                let isAbove = member.name.hasSuffix("k_tokens")
                #expect(carried.contains(member.name) || reported.contains(member.name) || isAbove, "\(member.name)")
            }
        }
        #expect(made.report.lines.allSatisfy { !$0.contains("\n") })
    }
}
