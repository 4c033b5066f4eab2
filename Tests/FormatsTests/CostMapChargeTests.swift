import Billing
import Formats
import JSON
import TestEvents
import Testing

/// Captured calls, charged by the list made of LiteLLM's own cost map, against the cost that LiteLLM reported.
@Suite struct CostMapChargeTests {
    struct Row: Sendable {
        var label: String
        /// In dollars, by our list; nil: unpriced.
        var charge: String?
        /// What LiteLLM reported, where that is another number.
        var reported: String?
    }

    static let rows: [Row] = [
        Row(label: "mock_async", charge: "0.0000135"),
        Row(label: "mock_stream", charge: "0.0001025"),
        Row(label: "mock_async_claude", charge: "0.00033"),
        Row(label: "mock_embedding", charge: "0.0000002"),
        Row(label: "up_openai_embedding", charge: "0.00000016"),
        // 86 fresh, 1,920 cached, 300 out of which 192 of reasoning.
        Row(label: "up_openai_cached_reasoning", charge: "0.0006695"),
        Row(label: "up_openai_stream_usage", charge: "0.0006695"),
        Row(label: "up_openai_responses", charge: "0.000141"),
        Row(label: "proxy_chat", charge: "0.0000135"),
        Row(label: "proxy_stream", charge: "0.0006695"),
        Row(label: "proxy_embed", charge: "0.00000016"),
        Row(label: "proxy_disconnect", charge: "0.00000315"),
        // 100 of the 248 tokens written to the cache are kept for an hour: 6 instead of 3.75 dollars a million.
        Row(label: "up_anthropic_cache", charge: "0.029165", reported: "0.02939"),
        Row(label: "up_anthropic_messages", charge: "0.029165", reported: "0.02939"),
        // 200 of the tokens are audio: 1 instead of 0.3 dollars a million.
        Row(label: "up_gemini_cache_thinking", charge: "0.00049", reported: "0.00063"),
        // Not in the sample of the map.
        Row(label: "mock_unknown_model", charge: nil),
        Row(label: "up_openai_image", charge: nil, reported: "0.04269"),
        Row(label: "up_rerank", charge: nil, reported: "0.002"),
        // The model is there, and the call does not say how long it was; nor how many tokens a stream had.
        Row(label: "up_openai_stream_nousage", charge: nil),
        Row(label: "mock_fail", charge: "0"),
        Row(label: "up_fail429", charge: "0"),
    ]

    @Test(arguments: rows)
    func `a call costs what LiteLLM says it costs, or it is known why not`(row: Row) throws {
        let time = try #require(Timestamp(rfc3339: "2027-01-01T00:00:00Z"))
        var catalog = Catalog()
        let list = try LiteLLMCostMap.convert(CostMapTests.sample).list
        catalog.apply(.pricesPublished(list), position: 1, at: Timestamp(microseconds: 0))
        let captures = Capture.of("litellm_generic", row.label)
        #expect(!captures.isEmpty)
        for capture in captures {
            let items = try LiteLLMFormat.parse(
                body: capture.body, keyName: "test", defaultOrg: "org-1")
            #expect(!items.isEmpty)
            for item in items {
                guard case .event(let event) = item.outcome, case .call(let call) = event.fact else {
                    Issue.record("\(item)")
                    continue
                }
                let rating = try catalog.rate(call, at: time)
                if let charge = row.charge {
                    #expect(rating.unpriced == nil)
                    #expect(rating.charge.dollars == charge)
                    if let cost = call.cost { #expect(cost.text == row.reported ?? charge) }
                } else {
                    #expect(rating.unpriced != nil)
                    if let reported = row.reported { #expect(call.cost?.text == reported) }
                }
            }
        }
    }

    @Test func `above the map's number of input tokens the whole call costs more`() throws {
        var catalog = Catalog()
        catalog.apply(
            .pricesPublished(try LiteLLMCostMap.convert(CostMapTests.sample).list), position: 1,
            at: Timestamp(microseconds: 0))
        // 200,000 at 1.25 and 10; one more, at 2.5 and 15; of it 100,000 from the cache at 0.25.
        let rows: [(input: Int64, cached: Int64, dollars: String)] = [
            (200_000, 0, "0.26"), (200_001, 0, "0.5150025"), (200_001, 100_000, "0.2900025"), (1000, 0, "0.01125"),
        ]
        for row in rows + rows.reversed() {
            let call = Call(
                org: "o", provider: "gemini", model: "gemini-2.5-pro", operation: .chat, status: .success,
                usage: Usage(inputTokens: row.input, outputTokens: 1000, cacheReadTokens: row.cached))
            // The remembering way, too: what it remembers is by the call's size.
            let rating = try catalog.rateRemembering(call, at: Timestamp(microseconds: 1))
            #expect(rating.charge.dollars == row.dollars)
            #expect(try catalog.rate(call, at: Timestamp(microseconds: 1)) == rating)
        }
    }
}
