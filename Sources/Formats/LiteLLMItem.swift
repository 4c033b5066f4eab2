internal import Billing
internal import Hashing
internal import JSON

/// What we read of one StandardLoggingPayload, as sent. The rest, 97 of 100 bytes of it, is passed over: prompts,
/// answers, headers, addresses and tracebacks are never read into anything.
///
/// It is passed over loosely. Python writes `NaN`, lone surrogates and any depth, and a prompt can bring in each of
/// them: a reader as strict as elsewhere would let a client choose that his calls are parked and not billed.
struct LiteLLMItem {
    var id = Scalar.absent
    var callID = Scalar.absent
    var callType = Scalar.absent
    var status = Scalar.absent
    var cacheHit = Scalar.absent
    var startTime = Scalar.absent
    var endTime = Scalar.absent
    var provider = Scalar.absent
    var model = Scalar.absent
    var modelGroup = Scalar.absent
    var modelID = Scalar.absent
    var cost = Scalar.absent
    /// `response_cost_failure_debug_info` carries an error: the cost is 0.0 and means nothing.
    var costFailed = false
    var errorCode = Scalar.absent
    var promptTokens = Scalar.absent
    var completionTokens = Scalar.absent

    var org = Scalar.absent
    var team = Scalar.absent
    var user = Scalar.absent
    var endUser = Scalar.absent
    var keyAlias = Scalar.absent
    var keyHash = Scalar.absent
    var usage = LiteLLMUsage()
    /// String members of `user_api_key_auth_metadata` (key-bound) and of `spend_logs_metadata` (client-supplied).
    var keyMetadata: [(name: String, value: Scalar)] = []
    var clientMetadata: [(name: String, value: String)] = []

    /// Nil: not known.
    var type: LiteLLMCallType?
    /// Of these three only where the item is a look at a job.
    var answer = LiteLLMAnswer()
    /// Models of a batch whose output LiteLLM has added up; nil where it has not, or does not say.
    var batchModels: [String]?
    /// What LiteLLM says the work cost, without what its guardrails cost at this look.
    var workCost = Scalar.absent

    init() {}

    /// Reads an item to its end.
    init(_ reader: inout JSONReader) throws(JSONError) {
        var item = LiteLLMItem()
        var answer: Range<Int>?
        var hidden: Range<Int>?
        try reader.members { (key, reader) throws(JSONError) in
            switch key {
            case "id": item.id = try reader.looseScalar()
            case "litellm_call_id": item.callID = try reader.looseScalar()
            case "call_type": item.callType = try reader.looseScalar()
            case "status": item.status = try reader.looseScalar()
            case "cache_hit": item.cacheHit = try reader.looseScalar()
            case "startTime": item.startTime = try reader.looseScalar()
            case "endTime": item.endTime = try reader.looseScalar()
            case "custom_llm_provider": item.provider = try reader.looseScalar()
            case "model": item.model = try reader.looseScalar()
            case "model_group": item.modelGroup = try reader.looseScalar()
            case "model_id": item.modelID = try reader.looseScalar()
            case "response_cost": item.cost = try reader.looseScalar()
            case "prompt_tokens": item.promptTokens = try reader.looseScalar()
            case "completion_tokens": item.completionTokens = try reader.looseScalar()
            case "response_cost_failure_debug_info": item.costFailed = try LiteLLMItem.carriesError(&reader)
            case "error_information":
                try reader.members { (key, reader) throws(JSONError) in
                    guard key == "error_code" else { return _ = try reader.skipLoosely() }
                    item.errorCode = try reader.looseScalar()
                }
            case "metadata": try item.metadata(&reader)
            case "response": answer = try reader.skipLoosely()
            case "hidden_params": hidden = try reader.skipLoosely()
            default: _ = try reader.skipLoosely()
            }
        }
        item.type = item.callType.written.flatMap { LiteLLMCallType.named($0) }
        if case .job? = item.type?.kind { item.readJob(answer, hidden, of: reader.bytes) }
        self = item
    }

    /// What of the answer cannot be read is not known, as when it was redacted: the item is judged without.
    private mutating func readJob(_ answer: Range<Int>?, _ hidden: Range<Int>?, of bytes: [UInt8]) {
        if let answer {
            var reader = JSONReader(bytes, range: answer)
            if let read = try? LiteLLMAnswer(&reader) { self.answer = read }
        }
        guard let hidden else { return }
        var item = self
        var reader = JSONReader(bytes, range: hidden)
        do throws(JSONError) {
            try reader.members { (key, reader) throws(JSONError) in
                switch key {
                case "batch_models": item.batchModels = try LiteLLMItem.texts(&reader)
                case "response_cost": item.workCost = try reader.looseScalar()
                default: _ = try reader.skipLoosely()
                }
            }
            self = item
        } catch {}
    }

    /// The strings of an array; nil for any other value.
    private static func texts(_ reader: inout JSONReader) throws(JSONError) -> [String]? {
        guard try reader.peek() == .array else {
            _ = try reader.skipLoosely()
            return nil
        }
        var texts: [String] = []
        try reader.beginArray()
        while try reader.nextElement() {
            if case .text(let text) = try reader.looseScalar() { texts.append(text) }
        }
        return texts
    }

    private mutating func metadata(_ reader: inout JSONReader) throws(JSONError) {
        var item = self
        try reader.members { (key, reader) throws(JSONError) in
            switch key {
            case "user_api_key_org_id": item.org = try reader.looseScalar()
            case "user_api_key_team_id": item.team = try reader.looseScalar()
            case "user_api_key_user_id": item.user = try reader.looseScalar()
            case "user_api_key_end_user_id": item.endUser = try reader.looseScalar()
            case "user_api_key_alias": item.keyAlias = try reader.looseScalar()
            case "user_api_key_hash": item.keyHash = try reader.looseScalar()
            case "usage_object": item.usage = try LiteLLMUsage(&reader)
            case "user_api_key_auth_metadata":
                try reader.members { (key, reader) throws(JSONError) in
                    item.keyMetadata.append((key.text, try reader.looseScalar()))
                }
            case "spend_logs_metadata":
                item.clientMetadata = try LiteLLMItem.clientMetadata(&reader)
            default: _ = try reader.skipLoosely()
            }
        }
        self = item
    }

    /// The string members of what the client says. Names that are no Unicode, or come twice, leave all of it out: if
    /// they parked the item, a client could keep his calls from being billed.
    private static func clientMetadata(
        _ reader: inout JSONReader
    ) throws(JSONError) -> [(name: String, value: String)] {
        var client = JSONReader(reader.bytes, range: try reader.skipLoosely())
        var members: [(name: String, value: String)] = []
        do throws(JSONError) {
            try client.members { (key, reader) throws(JSONError) in
                if case .text(let value) = try reader.looseScalar() { members.append((key.text, value)) }
            }
        } catch {
            return []
        }
        return members
    }

    private static func carriesError(_ reader: inout JSONReader) throws(JSONError) -> Bool {
        var failed = false
        try reader.members { (key, reader) throws(JSONError) in
            let value = try reader.looseScalar()
            if key == "error_str" && !value.isAbsent && value != .text("") { failed = true }
        }
        return failed
    }

    /// The idempotency id: SHA-256 over what tells two calls, a call's tries, and a cache's answers apart, and stays
    /// the same when LiteLLM sends the item again. `litellm_call_id` alone would not do: the client may set it, and a
    /// failed try shares it with its fallback.
    var idempotencyID: String {
        var hash = SHA256()
        let parts = [id, callID, callType, status, startTime, endTime, modelID, model]
        for (index, part) in parts.enumerated() {
            if index > 0 { hash.update("|") }
            hash.update(part.written ?? "")
        }
        return "llg1:" + hash.finalize().hex
    }

    /// For the list of parked items: ids, and what has the form of what it should be, so that no text comes along.
    var facts: [Parked.Fact] {
        func isWord(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) || byte == 0x5F }
        func isOfTime(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || [0x20, 0x2B, 0x2D, 0x2E, 0x3A, 0x54, 0x5A, 0x65].contains(byte)
        }
        func isAny(_ byte: UInt8) -> Bool { true }
        let all: [(String, Scalar, form: (UInt8) -> Bool)] = [
            ("id", id, isAny), ("litellm_call_id", callID, isAny), ("call_type", callType, isWord),
            ("status", status, isWord), ("startTime", startTime, isOfTime), ("endTime", endTime, isOfTime),
            ("model", model, isAny), ("provider", provider, isAny),
        ]
        return all.compactMap { name, scalar, form in
            guard let text = scalar.written, Name(text) != nil, text.utf8.allSatisfy(form) else { return nil }
            return Parked.Fact(name: name, value: text)
        }
    }
}

/// `metadata.usage_object`, as sent.
struct LiteLLMUsage {
    var prompt = Scalar.absent
    var completion = Scalar.absent
    var input = Scalar.absent
    var output = Scalar.absent
    /// Anthropic's own names. Beside `prompt` they are part of it, as LiteLLM makes them; beside a bare `input` not.
    var cacheReadOfAnthropic = Scalar.absent
    var cacheWriteOfAnthropic = Scalar.absent
    /// The same two facts under LiteLLM's and OpenAI's names, where they are part of the total.
    var cacheReads: [Scalar] = []
    var cacheWrites: [Scalar] = []
    var reasoning = Scalar.absent
    var images = Scalar.absent
    var characters = Scalar.absent
    var searchesOfTool = Scalar.absent
    var searchesOfPrompt = Scalar.absent
    var type = Scalar.absent
    var seconds = Scalar.absent

    init() {}

    init(_ reader: inout JSONReader) throws(JSONError) {
        var usage = LiteLLMUsage()
        try reader.members { (key, reader) throws(JSONError) in
            switch key {
            case "prompt_tokens": usage.prompt = try reader.looseScalar()
            case "completion_tokens": usage.completion = try reader.looseScalar()
            case "input_tokens": usage.input = try reader.looseScalar()
            case "output_tokens": usage.output = try reader.looseScalar()
            case "cache_read_input_tokens": usage.cacheReadOfAnthropic = try reader.looseScalar()
            case "cache_creation_input_tokens": usage.cacheWriteOfAnthropic = try reader.looseScalar()
            case "output_image_count": usage.images = try reader.looseScalar()
            case "type": usage.type = try reader.looseScalar()
            case "seconds": usage.seconds = try reader.looseScalar()
            case "prompt_tokens_details", "input_tokens_details":
                try reader.members { (key, reader) throws(JSONError) in
                    switch key {
                    case "cached_tokens": usage.cacheReads.append(try reader.looseScalar())
                    case "cache_write_tokens", "cache_creation_tokens":
                        usage.cacheWrites.append(try reader.looseScalar())
                    case "character_count": usage.characters = try reader.looseScalar()
                    case "web_search_requests": usage.searchesOfPrompt = try reader.looseScalar()
                    default: _ = try reader.skipLoosely()
                    }
                }
            case "completion_tokens_details", "output_tokens_details":
                try reader.members { (key, reader) throws(JSONError) in
                    let value = try reader.looseScalar()
                    if key == "reasoning_tokens" && !value.isAbsent { usage.reasoning = value }
                }
            case "server_tool_use":
                try reader.members { (key, reader) throws(JSONError) in
                    let value = try reader.looseScalar()
                    if key == "web_search_requests" { usage.searchesOfTool = value }
                }
            default: _ = try reader.skipLoosely()
            }
        }
        self = usage
    }
}
