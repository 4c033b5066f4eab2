import Billing
import Formats
import JSON
import Testing

/// What each recorded body of LiteLLM's generic callback becomes. One row a label; every item of it must agree.
@Suite struct LiteLLMCaptureTests {
    struct Row: Sendable {
        var label: String
        /// Items over all bodies of the label, and different idempotency keys among them.
        var items: Int
        var keys: Int
        var model: String
        var operation = Call.Operation.chat
        var status = Call.Status.success
        /// nil: unknown.
        var cost: String?
        var usage: Usage?
        var provider = "openai"
        var org: String
        var user: String?
        var team: String?
        var endUser: String?
        var requested: String?
        var apiKey: String?
    }

    static let small = Usage(inputTokens: 10, outputTokens: 20)
    static let gpt5 = Usage(inputTokens: 2006, outputTokens: 300, cacheReadTokens: 1920, reasoningTokens: 192)
    static let claude = Usage(
        inputTokens: 2098, outputTokens: 503, cacheReadTokens: 1800, cacheWriteTokens: 248, searches: 2)

    /// The rows of the SDK, whose keys, users and teams were user-0..., team-0...
    static let rows: [Row] = [
        Row(
            label: "mock_async", items: 4, keys: 4, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "org-1"),
        Row(
            label: "mock_async_claude", items: 2, keys: 2, model: "claude-sonnet-4-5-20250929", cost: "0.00033",
            usage: small, provider: "anthropic", org: "org-1"),
        Row(
            label: "mock_stream", items: 3, keys: 3, model: "gpt-4o", cost: "0.0001025",
            usage: Usage(inputTokens: 9, outputTokens: 8, reasoningTokens: 0), org: "org-1"),
        Row(
            label: "mock_embedding", items: 2, keys: 2, model: "text-embedding-3-small", operation: .embedding,
            cost: "0.0000002", usage: Usage(inputTokens: 10, outputTokens: 0), org: "org-1"),
        Row(
            label: "mock_fail", items: 2, keys: 2, model: "gpt-4o", status: .failure, cost: "0", usage: nil,
            org: "org-1"),
        Row(
            label: "mock_unknown_model", items: 1, keys: 1, model: "my-private-model-9b", cost: nil, usage: small,
            org: "org-1"),
        Row(
            label: "mock_burst20", items: 20, keys: 20, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "org-1"),
        Row(
            label: "up_openai_cached_reasoning", items: 2, keys: 2, model: "gpt-5-mini", cost: "0.0006695", usage: gpt5,
            org: "org-1"),
        Row(
            label: "up_openai_audio", items: 1, keys: 1, model: "gpt-4o-audio-preview", cost: nil,
            usage: Usage(inputTokens: 2006, outputTokens: 300, cacheReadTokens: 0, reasoningTokens: 0), org: "org-1"),
        Row(
            label: "up_openai_stream_usage", items: 1, keys: 1, model: "gpt-5-mini", cost: "0.0006695", usage: gpt5,
            org: "org-1"),
        // The provider's stream said nothing: zeros that mean unknown, and a cost that means nothing.
        Row(
            label: "up_openai_stream_nousage", items: 1, keys: 1, model: "gpt-5-mini", cost: nil, usage: nil,
            org: "org-1"),
        Row(
            label: "up_openai_embedding", items: 1, keys: 1, model: "text-embedding-3-small", operation: .embedding,
            cost: "0.00000016", usage: Usage(inputTokens: 8, outputTokens: 0), org: "org-1"),
        Row(
            label: "up_openai_image", items: 1, keys: 1, model: "gpt-image-1", operation: .image, cost: "0.04269",
            usage: Usage(inputTokens: 50, outputTokens: 1056, images: 1), org: "org-1"),
        Row(
            label: "up_openai_transcription", items: 1, keys: 1, model: "whisper-1", operation: .audio, cost: nil,
            usage: Usage(audioSeconds: Decimal(mantissa: 12, scale: 0)), org: "org-1"),
        Row(
            label: "up_openai_responses", items: 1, keys: 1, model: "gpt-5-mini", operation: .responses,
            cost: "0.000141",
            usage: Usage(inputTokens: 328, outputTokens: 52, cacheReadTokens: 200, reasoningTokens: 30), org: "org-1"),
        Row(
            label: "up_anthropic_cache", items: 2, keys: 2, model: "claude-sonnet-4-5-20250929", cost: "0.02939",
            usage: claude, provider: "anthropic", org: "org-1"),
        Row(
            label: "up_anthropic_stream", items: 1, keys: 1, model: "claude-sonnet-4-5-20250929", cost: "0.02939",
            usage: claude, provider: "anthropic", org: "org-1"),
        Row(
            label: "up_anthropic_messages", items: 1, keys: 1, model: "claude-sonnet-4-5-20250929", cost: "0.02939",
            usage: claude, provider: "anthropic", org: "org-1"),
        Row(
            label: "up_gemini_cache_thinking", items: 1, keys: 1, model: "gemini-2.5-flash", cost: "0.00063",
            usage: Usage(inputTokens: 1200, outputTokens: 160, cacheReadTokens: 1000, reasoningTokens: 60),
            provider: "gemini", org: "org-1"),
        Row(
            label: "up_rerank", items: 1, keys: 1, model: "rerank-v3.5", operation: .rerank, cost: "0.002", usage: nil,
            provider: "cohere", org: "org-1"),
        Row(
            label: "up_fail429", items: 1, keys: 1, model: "gpt-5-mini", status: .failure, cost: "0", usage: nil,
            org: "org-1"),
        Row(
            label: "up_fail500", items: 1, keys: 1, model: "gpt-5-mini", status: .failure, cost: "0", usage: nil,
            org: "org-1"),
        // No org in these: the team is the org.
        Row(
            label: "sync", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-0", team: "team-1"),
        Row(
            label: "reply_500", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-500", team: "team-1"),
        Row(
            label: "reply_422", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-422", team: "team-1"),
        Row(
            label: "reply_429", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-429", team: "team-1"),
        Row(
            label: "reply_401", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-401", team: "team-1"),
        Row(
            label: "reply_413", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-413", team: "team-1"),
        Row(
            label: "reply_307", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small, org: "team-1",
            user: "user-307", team: "team-1"),
        Row(
            label: "abort_first", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", user: "user-abort", team: "team-1"),
        Row(
            label: "retry3_503", items: 4, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", team: "team-1"),
        Row(
            label: "retry3_429", items: 1, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", team: "team-1"),
        Row(
            label: "retry3_timeout", items: 4, keys: 1, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", team: "team-1"),
        Row(
            label: "fmt_ndjson", items: 5, keys: 5, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", team: "team-1"),
        Row(
            label: "fmt_single", items: 5, keys: 5, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "team-1", team: "team-1"),
        // The proxy: prefixed models, aliases, virtual keys.
        Row(
            label: "proxy_chat", items: 3, keys: 3, model: "gpt-4o-mini", cost: "0.0000135", usage: small,
            org: "org_acme", user: "u_alice", team: "team_red", endUser: "enduser-1", requested: "fast",
            apiKey: "alice-laptop"),
        Row(
            label: "proxy_stream", items: 1, keys: 1, model: "gpt-5-mini", cost: "0.0006695",
            usage: Usage(inputTokens: 2006, outputTokens: 300, cacheReadTokens: 1920, reasoningTokens: 192),
            org: "org_acme", user: "u_alice", team: "team_red", endUser: "enduser-1", requested: "think",
            apiKey: "alice-laptop"),
        Row(
            label: "proxy_embed", items: 2, keys: 2, model: "text-embedding-3-small", operation: .embedding,
            cost: "0.00000016", usage: Usage(inputTokens: 8, outputTokens: 0), org: "org_acme", user: "u_alice",
            team: "team_red", requested: "embed", apiKey: "alice-laptop"),
        Row(
            label: "proxy_disconnect", items: 1, keys: 1, model: "gpt-4o-mini", status: .aborted, cost: "0.00000315",
            usage: Usage(inputTokens: 9, outputTokens: 3, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0),
            org: "org_acme", user: "u_alice", team: "team_red", requested: "fast", apiKey: "alice-laptop"),
    ]

    static func events(_ label: String) throws -> [Event] {
        var events: [Event] = []
        for capture in Capture.of("litellm_generic", label) {
            let items = try LiteLLMFormat.parse(
                body: capture.body, keyName: Name(checked: "prod"), defaultOrg: nil)
            for item in items {
                guard case .event(let event) = item.outcome else {
                    Issue.record("\(label) \(item)")
                    continue
                }
                events.append(event)
            }
        }
        return events
    }

    static func call(_ event: Event) throws -> Call {
        guard case .call(let call) = event.fact else { throw JSONError(offset: 0, reason: "no call") }
        return call
    }

    @Test(arguments: rows) func `every captured item becomes the call it was`(row: Row) throws {
        let events = try Self.events(row.label)
        #expect(events.count == row.items)
        #expect(Set(events.map(\.id)).count == row.keys)
        for event in events {
            let call = try Self.call(event)
            #expect(event.source.text == "litellm/prod")
            #expect(event.id.text.hasPrefix("llg1:") && event.id.text.utf8.count == 69)
            #expect(event.time != nil)
            #expect(call.model.text == row.model)
            #expect(call.provider.text == row.provider)
            #expect(call.operation == row.operation)
            #expect(call.status == row.status)
            #expect(call.cost?.text == row.cost)
            #expect(call.keySource == .platform)
            #expect(!call.cacheHit)
            #expect(call.org?.text == row.org)
            #expect(call.requestedModel?.text == row.requested)
            #expect(call.subscription == nil)
            if let user = row.user { #expect(call.user?.text == user) }
            if let team = row.team { #expect(call.team?.text == team) }
            if row.org == "org_acme" {
                #expect(call.endUser?.text == row.endUser)
                #expect(call.apiKey?.text == row.apiKey)
                #expect(
                    call.attributes.map { $0.name.text + "=" + $0.value } == ["cost_center=CC-7", "lago_sub=sub_red"])
            }
            #expect(call.latencyMilliseconds != nil)
            // Zero and not said are the same for what is not a total.
            let usage = call.usage.map { Self.plain($0) }
            #expect(usage == row.usage.map { Self.plain($0) }, "\(String(describing: call.usage))")
        }
    }

    static func plain(_ usage: Usage) -> Usage {
        var usage = usage
        if usage.cacheReadTokens == 0 { usage.cacheReadTokens = nil }
        if usage.cacheWriteTokens == 0 { usage.cacheWriteTokens = nil }
        if usage.reasoningTokens == 0 { usage.reasoningTokens = nil }
        if usage.searches == 0 { usage.searches = nil }
        return usage
    }

    @Test func `every label has a row`() {
        let labels = Set(Capture.of("litellm_generic").map(\.label))
        let rows = Set(Self.rows.map(\.label)).union(["up_cache_hit", "proxy_fallback"])
        #expect(labels == rows)
    }

    @Test func `the cache's answer to a repeated call is a call of its own`() throws {
        let events = try Self.events("up_cache_hit")
        #expect(Set(events.map(\.id)).count == 3)
        let calls = try events.map { try Self.call($0) }
        #expect(calls.map(\.cacheHit) == [false, true, false])
        #expect(calls.map { $0.cost?.text } == ["0.0006695", "0", "0.0006695"])
        #expect(calls.allSatisfy { $0.usage?.inputTokens == 2006 })
    }

    @Test func `a failed try and its fallback share litellm_call_id and are two calls`() throws {
        let events = try Self.events("proxy_fallback")
        let calls = try events.map { try Self.call($0) }
        #expect(Set(events.map(\.id)).count == 2)
        #expect(calls.map(\.status) == [.failure, .success])
        #expect(calls.map(\.model.text) == ["fail500-model", "gpt-5-mini"])
        #expect(calls.map { $0.requestedModel?.text } == ["flaky", "think"])
        #expect(calls[0].usage == nil)
    }

    @Test func `spend log metadata of the client is kept apart from facts of the key`() throws {
        let call = try Self.call(try Self.events("mock_async")[0])
        #expect(call.attributes == [Attribute(name: Name(checked: "client.invoice_ref"), value: "po-0")])
        #expect(call.apiKey?.text == "key-alias-0")
        #expect(call.team?.text == "team-0")
        #expect(call.user?.text == "user-0")
        #expect(call.endUser?.text == "enduser-0")
    }

    @Test func `time, latency and the key's digits are those written`() throws {
        let event = try Self.events("proxy_chat")[0]
        #expect(event.time?.rfc3339 == "2026-11-22T08:01:59.805458Z")
        #expect(try Self.call(event).latencyMilliseconds == 30)
        // What sha256sum says of the eight parts, "|" between them.
        #expect(event.id.text == "llg1:1a03cd96ace821e22bce16ee0a9055c6b8a4d25013f394b9b4180a3f5939f041")
    }
}
