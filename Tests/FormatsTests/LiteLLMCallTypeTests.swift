import Billing
import Formats
import JSON
import Testing

/// What is a call, what is bookkeeping, and what is a look at work that goes on by itself.
@Suite struct LiteLLMCallTypeTests {
    static let nothing = ["response_cost": "0.0"]
    static let noUsage = ["usage_object": "{}"]
    static let work = "{\"prompt_tokens\":30,\"completion_tokens\":5}"

    /// The outcome in a few letters: a call of an operation, usage beside calls, a job's, nothing.
    static func outcome(
        _ type: String, _ members: [String: String] = [:], metadata: [String: String] = [:]
    ) throws -> String {
        var all = ["call_type": "\"\(type)\""]
        all.merge(members) { $1 }
        let items = try LiteLLMRuleTests.parse(LiteLLMRuleTests.item(all, metadata: metadata))
        guard items.count == 1 else { return "\(items.count) items" }
        switch items[0].outcome {
        case .event(let event):
            if case .call(let call) = event.fact { return "call \(call.operation.name)" }
            return event.id.text.hasPrefix("llg1:") ? "usage" : "usage under \(event.id)"
        case .job(let event):
            guard case .usage = event.fact else { return "a job's \(event.fact.type)" }
            return "job \(event.id)"
        case .skipped: return "nothing"
        case .parked(let parked): return "parked \(parked.code)"
        }
    }

    @Test(arguments: LiteLLMCallType.all.map(\.name))
    func `each row of the table, in each of its spellings`(name: String) throws {
        let type = try #require(LiteLLMCallType.named(name))
        #expect(type.spellings.contains(name))
        for spelling in type.spellings {
            let idle = try Self.outcome(spelling, Self.nothing, metadata: Self.noUsage)
            let priced = try Self.outcome(spelling, ["response_cost": "0.25"], metadata: Self.noUsage)
            let used = try Self.outcome(spelling, Self.nothing)
            switch type.kind {
            case .call(let operation):
                #expect(Set([idle, priced, used]) == ["call \(operation.name)"], "\(spelling)")
            case .either(let operation):
                #expect(idle == "nothing", "\(spelling)")
                #expect(Set([priced, used]) == ["call \(operation.name)"], "\(spelling)")
            case .bookkeeping:
                #expect(idle == "nothing", "\(spelling)")
                #expect(Set([priced, used]) == ["usage"], "\(spelling)")
            case .job(let job):
                #expect(idle == "nothing", "\(spelling)")
                #expect(Set([priced, used]) == ["job \(job.eventID(of: "r1"))"], "\(spelling)")
            }
        }
    }

    @Test func `a spelling is of one row, and the async twin is of it`() {
        let spellings = LiteLLMCallType.all.flatMap(\.spellings)
        #expect(Set(spellings).count == spellings.count)
        #expect(LiteLLMCallType.named("aretrieve_batch") == LiteLLMCallType.named("retrieve_batch"))
        #expect(LiteLLMCallType.named("a_add_message") == LiteLLMCallType.named("add_message"))
        #expect(LiteLLMCallType.named("Completion") == nil)
        #expect(LiteLLMCallType.named("") == nil)
    }

    @Test func `bookkeeping that fails, or names no owner, is nothing either`() throws {
        let lacking = ["user_api_key_org_id": "null", "usage_object": "{}"]
        #expect(try Self.outcome("acreate_file", Self.nothing, metadata: lacking) == "nothing")
        let failed = ["status": "\"failure\"", "response_cost": "0"]
        #expect(try Self.outcome("acreate_file", failed, metadata: Self.noUsage) == "nothing")
        #expect(try Self.outcome("acreate_file", [:], metadata: lacking) == "parked missing_owner")
        let broken = ["usage_object": "{\"prompt_tokens\":-1}"]
        #expect(try Self.outcome("acreate_file", Self.nothing, metadata: broken) == "parked out_of_range")
    }

    // MARK: - Batches

    private static let done = "{\"status\":\"completed\",\"output_file_id\":\"file-o\"}"
    private static let pending = "{\"status\":\"completed\",\"output_file_id\":null}"

    @Test(arguments: [
        // The answer, what LiteLLM hides beside it, the cost; whether it is charged.
        (nil, nil, "0.35", true), (nil, nil, "0", true), ("{\"text\":\"redacted\"}", nil, "0.35", true),
        (done, nil, "0.35", true), (done, nil, "0", true), (nil, "{\"batch_models\":[\"gpt\"]}", "0.35", true),
        ("{\"status\":\"cancelled\"}", nil, "0.1", true), ("{\"status\":\"expired\"}", nil, "0.1", true),
        ("{\"status\":\"in_progress\"}", nil, "0", false), ("{\"status\":\"validating\"}", nil, "0", false),
        ("{\"status\":\"finalizing\"}", nil, "0.35", false), (pending, nil, "0", false), (pending, nil, "0.35", true),
        (pending, "{\"batch_models\":[\"gpt\"],\"response_cost\":0.3}", "0.35", true),
        // Only the guardrail of the poll has cost something.
        (pending, "{\"batch_models\":null,\"response_cost\":0.0}", "0.01", false),
        (
            "{\"status\":\"completed\",\"output_file_id\":null,\"request_counts\":{\"total\":3,\"completed\":0}}", nil,
            "0", true
        ),
        // Nothing to be read is not known.
        ("\"\\ud83d\"", "[1,{\"\\udc00\":1}]", "0.35", true), ("{\"\\udc00\":1,\"status\":\"x\"}", nil, "0.35", true),
    ] as [(String?, String?, String, Bool)])
    func `a batch is charged when it is done`(
        answer: String?, hidden: String?, cost: String, isCharged: Bool
    ) throws {
        var members = ["id": "\"batch_x\"", "response_cost": cost]
        if let answer { members["response"] = answer }
        if let hidden { members["hidden_params"] = hidden }
        for spelling in ["retrieve_batch", "aretrieve_batch"] {
            let outcome = try Self.outcome(spelling, members, metadata: ["usage_object": Self.work])
            #expect(outcome == (isCharged ? "job llb1:retrieve_batch:batch_x" : "nothing"))
        }
    }

    @Test func `a guardrail's cost at a look without tokens is the look's own, but of a batch`() throws {
        let members = ["response_cost": "0.01", "hidden_params": "{\"response_cost\":0.0}"]
        #expect(try Self.outcome("aretrieve_batch", members, metadata: Self.noUsage) == "nothing")
        #expect(try Self.outcome("avideo_status", members, metadata: Self.noUsage) == "usage")
        #expect(try Self.outcome("aget_responses", members, metadata: Self.noUsage) == "usage")
    }

    @Test func `a batch that came to nothing is nothing`() throws {
        let members = [
            "response_cost": "0.0", "response": "{\"status\":\"failed\"}", "hidden_params": "{\"batch_models\":[]}",
        ]
        #expect(try Self.outcome("aretrieve_batch", members, metadata: Self.noUsage) == "nothing")
    }

    private func job(_ members: [String: String]) throws -> Event {
        var all = ["call_type": "\"aretrieve_batch\"", "id": "\"batch_x\""]
        all.merge(members) { $1 }
        let items = try LiteLLMRuleTests.parse(LiteLLMRuleTests.item(all, metadata: ["usage_object": Self.work]))
        guard items.count == 1, case .job(let event) = items[0].outcome else {
            throw JSONError(offset: 0, reason: "\(items)")
        }
        return event
    }

    @Test func `what a batch came to is usage of its owner, beside calls`() throws {
        let event = try job(["response_cost": "0.35"])
        guard case .usage(let usage) = event.fact else {
            Issue.record("\(event)")
            return
        }
        #expect(event.source.text == "litellm/prod")
        #expect(event.time == Timestamp(rfc3339: "2026-11-22T08:02:00.75Z"))
        #expect((usage.usage?.inputTokens, usage.usage?.outputTokens, usage.cost?.text) == (30, 5, "0.35"))
        #expect((usage.org?.text, usage.model.text, usage.latencyMilliseconds) == ("acme", "gpt-4o", nil))
        // LiteLLM writes 0 where it has no price.
        #expect(try job(["response_cost": "0.0"]).fact == .usage({
            var unpriced = usage
            unpriced.cost = nil
            return unpriced
        }()))
    }

    @Test(arguments: [
        ("\"\"", "[\"gpt-4o-mini\"]", "gpt-4o-mini"), ("null", "[\"openai/gpt-4o-mini\"]", "gpt-4o-mini"),
        ("\"\"", "[\"a\",\"b\"]", "unknown"), ("\"\"", "[]", "unknown"), ("\"\"", "null", "unknown"),
        ("\"openai/m\"", "[\"other\"]", "m"),
    ])
    func `a batch without a model takes that of its lines`(model: String, models: String, expected: String) throws {
        let event = try job(["model": model, "hidden_params": "{\"batch_models\":\(models)}"])
        guard case .usage(let usage) = event.fact else { return }
        #expect(usage.model.text == expected)
        #expect(usage.provider.text == "openai")
    }

    @Test func `a batch has one key, however its id is written and whoever reads it`() {
        let ids = [
            "batch_abc123",
            // litellm:batch_abc123;model,gpt-4o-test
            "batch_bGl0ZWxsbTpiYXRjaF9hYmMxMjM7bW9kZWwsZ3B0LTRvLXRlc3Q",
            // litellm_proxy;model_id:m1;llm_batch_id:batch_abc123, with its padding and without
            "bGl0ZWxsbV9wcm94eTttb2RlbF9pZDptMTtsbG1fYmF0Y2hfaWQ6YmF0Y2hfYWJjMTIz",
            "bGl0ZWxsbV9wcm94eTttb2RlbF9pZDptMTA7bGxtX2JhdGNoX2lkOmJhdGNoX2FiYzEyMw==",
            "bGl0ZWxsbV9wcm94eTttb2RlbF9pZDptMTA7bGxtX2JhdGNoX2lkOmJhdGNoX2FiYzEyMw",
        ]
        for id in ids { #expect(LiteLLMJob.batch.eventID(of: id).text == "llb1:retrieve_batch:batch_abc123", "\(id)") }
        for id in ["batch_abc124", "bGl0ZWxsbQ", "batch_", "=", "batch_=bGl0", "3814889423749775360", "a b/ö"] {
            #expect(LiteLLMJob.batch.eventID(of: id).text == "llb1:retrieve_batch:" + id)
        }
        let long = String(repeating: "x", count: 300)
        let hashed = LiteLLMJob.batch.eventID(of: long).text
        #expect(hashed.utf8.count == "llb1:retrieve_batch:".utf8.count + 64)
        #expect(LiteLLMJob.batch.eventID(of: long + "y").text != hashed)
        #expect(LiteLLMJob.batch.eventID(of: "a\nb").text.utf8.count == hashed.utf8.count)
    }

    // MARK: - Videos and responses

    @Test(arguments: [
        ("avideo_status", nil, "job llb1:video_status:v1"), ("video_retrieve", nil, "job llb1:video_status:v1"),
        ("avideo_status", "{\"status\":\"completed\"}", "job llb1:video_status:v1"),
        ("avideo_status", "{\"status\":\"in_progress\"}", "usage"),
        ("aget_responses", nil, "job llb1:get_responses:v1"),
        ("aget_responses", "{\"background\":true,\"status\":\"completed\"}", "job llb1:get_responses:v1"),
        ("acancel_responses", "{\"background\":true}", "job llb1:get_responses:v1"),
        ("aget_responses", "{\"background\":true,\"status\":\"in_progress\"}", "nothing"),
        ("get_responses", "{\"background\":true,\"status\":\"queued\"}", "nothing"),
        ("get_responses", "{\"background\":true,\"status\":\"incomplete\"}", "job llb1:get_responses:v1"),
        // It was charged when it was made.
        ("aget_responses", "{\"background\":false}", "nothing"), ("get_responses", "{\"background\":null}", "nothing"),
        ("aget", "{\"status\":\"completed\"}", "job llb1:get:v1"),
    ] as [(String, String?, String)])
    func `videos and responses of the background are charged once, too`(
        type: String, answer: String?, expected: String
    ) throws {
        var members = ["id": "\"v1\"", "response_cost": "0.5"]
        if let answer { members["response"] = answer }
        #expect(try Self.outcome(type, members) == expected)
    }

    @Test func `ids of videos keep their code, ids of responses are what is in theirs`() {
        #expect(LiteLLMJob.video.eventID(of: "video_bGl0ZWxsbQ==") == LiteLLMJob.video.eventID(of: "video_bGl0ZWxsbQ"))
        // litellm:custom_llm_provider:openai;model_id:m;response_id:resp_1
        let coded = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haTttb2RlbF9pZDptO3Jlc3BvbnNlX2lkOnJlc3BfMQ=="
        #expect(LiteLLMJob.response.eventID(of: coded) == LiteLLMJob.response.eventID(of: "resp_1"))
    }

    // MARK: - What is counted

    private func tally(_ types: [String]) throws -> LiteLLMTally {
        var body = try LiteLLMBody(keyName: LiteLLMRuleTests.key, defaultOrg: nil, itemBytesMax: 1 << 20)
        var items: [DoorItem] = []
        let texts = types.map {
            LiteLLMRuleTests.item(["call_type": $0, "response_cost": "0"], metadata: ["usage_object": "null"])
        }
        try body.take(Array(("[" + (texts + ["null"]).joined(separator: ",") + "]").utf8), into: &items)
        try body.end(into: &items)
        #expect(items.count == types.count + 1)
        return body.tally
    }

    @Test func `bookkeeping is counted by the table's names, what is not of the table by its own`() throws {
        var tally = try tally([
            "\"aretrieve_batch\"", "\"retrieve_batch\"", "\"acreate_file\"", "\"acompletion\"", "\"anew_thing\"",
            "\"\"", "null", "{}", "\"a\\nb\"", "\"\(String(repeating: "x", count: 65))\"",
        ])
        #expect(tally.bookkeeping == ["retrieve_batch": 2, "create_file": 1])
        #expect(tally.unknown == ["anew_thing": 1, "none": 3, "other": 2])
        tally += try self.tally((0..<100).map { "\"t\($0)\"" })
        #expect(tally.unknown.count == LiteLLMTally.unknownNamesMax)
        #expect(tally.unknown.values.reduce(0, +) == 106)
        #expect(tally.unknown["anew_thing"] == 1)
    }
}
