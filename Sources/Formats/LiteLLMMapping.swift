internal import Billing
internal import JSON

/// One StandardLoggingPayload to one `llm.call`, field by field as the contract says (section 3, "Events that arrive in
/// other formats"); of what is no call, to an `llm.usage` or to nothing.
struct LiteLLMMapping {
    let source: Name
    let defaultOrg: Name?

    static let statusAborted = "499"
    static let prefixOfClient = "client."

    /// What becomes of an element, and what of it is counted.
    struct Judged {
        var outcome: DoorItem.Outcome
        var note: LiteLLMTally.Note?
    }

    /// Reads one element of a body to its end.
    func judge(_ reader: inout JSONReader) throws(JSONError) -> Judged {
        switch try reader.peek() {
        case .null:
            try reader.null()
            return Judged(outcome: .skipped)
        case .object:
            let item = try LiteLLMItem(&reader)
            do throws(Parked) {
                return try judge(item)
            } catch {
                var parked = error
                parked.facts = item.facts
                return Judged(outcome: .parked(parked))
            }
        default:
            _ = try reader.skipLoosely()
            return Judged(
                outcome: .parked(Parked(code: "wrong_type", field: "", detail: "the item is not an object")))
        }
    }

    /// By the table of call types. What is no call and states neither tokens nor a cost is nothing to keep; where it
    /// does state some, that is kept as usage beside calls. A name that is not of the table is a call.
    private func judge(_ item: LiteLLMItem) throws(Parked) -> Judged {
        guard let type = item.type else {
            return Judged(outcome: .event(try event(item, .other)), note: .unknown(item.callType.written))
        }
        if case .call(let operation) = type.kind { return Judged(outcome: .event(try event(item, operation))) }
        let hasTokens = try LiteLLMMapping.usage(item).map { !LiteLLMMapping.isZero($0) } ?? false
        let hasCost = try LiteLLMMapping.cost(item).map { $0 != .zero } ?? false
        let nothing = Judged(outcome: .skipped, note: .bookkeeping(type))
        switch type.kind {
        case .call(let operation), .either(let operation):
            return hasTokens || hasCost ? Judged(outcome: .event(try event(item, operation))) : nothing
        case .bookkeeping:
            break
        case .job(let job):
            // Without what LiteLLM's guardrails cost at this look, where it says so.
            let hasWorkCost = hasCost && (try? Take.cost(item.workCost, "")) != .some(.zero)
            switch job.telling(item, hasTokens: hasTokens, hasCost: hasWorkCost) {
            case .unfinished, .repeated: return nothing
            case .settled:
                guard hasTokens || hasWorkCost, let id = item.id.written, !id.isEmpty else { break }
                return Judged(outcome: .job(try jobEvent(item, id: job.eventID(of: id), hasTokens: hasTokens)))
            case .apart: break
            }
        }
        return hasTokens || hasCost ? Judged(outcome: .event(try usageEvent(item))) : nothing
    }

    private func event(_ item: LiteLLMItem, _ operation: Call.Operation) throws(Parked) -> Event {
        let (id, time) = try identity(item)
        return Event(source: source, id: id, time: time, fact: .call(try call(item, operation)))
    }

    private func usageEvent(_ item: LiteLLMItem) throws(Parked) -> Event {
        let (id, time) = try identity(item)
        return Event(source: source, id: id, time: time, fact: .usage(try call(item, .other)))
    }

    /// At the time of the look that brought it. How long that look took says nothing of the work.
    private func jobEvent(_ item: LiteLLMItem, id: Name, hasTokens: Bool) throws(Parked) -> Event {
        var item = item
        // The request names no model, only the batch's lines do.
        if item.model.written?.isEmpty != false, let models = item.batchModels, models.count == 1 {
            item.model = .text(models[0])
        }
        var call = try call(item, .other)
        call.latencyMilliseconds = nil
        call.cacheHit = false
        // Tokens at no cost: LiteLLM writes 0 where it has no price.
        if hasTokens && call.cost == .zero { call.cost = nil }
        return Event(source: source, id: id, time: try identity(item).time, fact: .usage(call))
    }

    private func identity(_ item: LiteLLMItem) throws(Parked) -> (id: Name, time: Timestamp?) {
        guard item.id.written?.isEmpty == false || item.callID.written?.isEmpty == false else {
            throw Parked(code: "missing_id", field: "id", detail: "is missing, and litellm_call_id too")
        }
        return (Name(checked: item.idempotencyID), try Take.time(item.endTime, "endTime"))
    }

    private func call(_ item: LiteLLMItem, _ operation: Call.Operation) throws(Parked) -> Call {
        let status = try LiteLLMMapping.status(item)
        let (provider, model) = try LiteLLMMapping.model(item)
        let group = try Take.name(item.modelGroup, "model_group")
        let isRequested = group != nil && group != model && group?.text != item.model.written

        let team = try Take.name(item.team, "metadata.user_api_key_team_id")
        let user = try Take.name(item.user, "metadata.user_api_key_user_id")
        var org = try Take.name(item.org, "metadata.user_api_key_org_id") ?? team
        if org == nil && user == nil {
            guard let defaultOrg else {
                throw Parked(
                    code: "missing_owner", field: "metadata.user_api_key_org_id",
                    detail: "no org, team or user is named, and the posting key has no default org")
            }
            org = defaultOrg
        }
        let alias = try Take.name(item.keyAlias, "metadata.user_api_key_alias")
        let hash = try Take.name(item.keyHash, "metadata.user_api_key_hash")
        // The end user is what the client says. A bad one is left out: if it parked the item, a client could keep his
        // calls from being billed.
        let endUser = (try? Take.name(item.endUser, "")) ?? nil

        var usage = try LiteLLMMapping.usage(item)
        var cost = try LiteLLMMapping.cost(item)
        if LiteLLMMapping.isUnsaid(usage, operation, status) {
            usage = nil
            if cost == .zero && status != .failure { cost = nil }
        }
        let (keySource, attributes) = try LiteLLMMapping.attributes(item)
        return Call(
            org: org, user: user, team: team, apiKey: alias ?? hash, endUser: endUser, provider: provider, model: model,
            requestedModel: isRequested ? group : nil, operation: operation, keySource: keySource, status: status,
            usage: usage, cost: cost, latencyMilliseconds: LiteLLMMapping.latency(item),
            cacheHit: item.cacheHit == .bool(true), attributes: attributes)
    }

    /// A client that hangs up is reported as a success with error code 499 and the tokens so far.
    static func status(_ item: LiteLLMItem) throws(Parked) -> Call.Status {
        switch item.status {
        case .text("success"): item.errorCode.written == statusAborted ? .aborted : .success
        case .text("failure"): .failure
        default: throw Parked(code: "unknown_status", field: "status", detail: "is neither success nor failure")
        }
    }

    /// Nil: unknown.
    private static func cost(_ item: LiteLLMItem) throws(Parked) -> Decimal? {
        item.costFailed ? nil : try Take.cost(item.cost, "response_cost")
    }

    /// Provider and model; the proxy writes the model as `provider/model`. Some failures name no provider, or no model.
    static func model(_ item: LiteLLMItem) throws(Parked) -> (provider: Name, model: Name) {
        let unknown = Name(checked: "unknown")
        let said = try Take.name(item.provider, "custom_llm_provider")
        guard let model = try Take.name(item.model, "model") else { return (said ?? unknown, unknown) }
        let bytes = model.text.utf8
        guard let slash = bytes.firstIndex(of: 0x2F), let prefix = Name(bytes: bytes[..<slash]),
            let rest = Name(bytes: bytes[bytes.index(after: slash)...])
        else { return (said ?? unknown, model) }
        if let said, said != prefix { return (said, model) }
        return (prefix, rest)
    }

    /// Totals inclusive, subsets as sent: a subset larger than its total is an error of the sender, never cut to fit.
    static func usage(_ item: LiteLLMItem) throws(Parked) -> Usage? {
        let from = item.usage
        let at = "metadata.usage_object."
        var usage = Usage()
        usage.inputTokens = try Take.count(from.prompt.isAbsent ? from.input : from.prompt, at + "prompt_tokens")
        usage.outputTokens = try Take.count(
            from.completion.isAbsent ? from.output : from.completion, at + "completion_tokens")
        usage.cacheReadTokens = try most(from.cacheReads + [from.cacheReadOfAnthropic], at + "cached_tokens")
        usage.cacheWriteTokens = try most(from.cacheWrites + [from.cacheWriteOfAnthropic], at + "cache_write_tokens")
        let isInside = !from.prompt.isAbsent || !(from.cacheReads + from.cacheWrites).allSatisfy(\.isAbsent)
        if !isInside, let input = usage.inputTokens {
            // Anthropic's own usage: its input leaves out what the cache read and wrote. At most 18 digits each.
            usage.inputTokens = input + (usage.cacheReadTokens ?? 0) + (usage.cacheWriteTokens ?? 0)
        }
        usage.reasoningTokens = try Take.count(from.reasoning, at + "reasoning_tokens")
        usage.images = try Take.count(from.images, at + "output_image_count")
        usage.characters = try Take.count(from.characters, at + "character_count")
        usage.searches = try Take.count(
            from.searchesOfTool.isAbsent ? from.searchesOfPrompt : from.searchesOfTool, at + "web_search_requests")
        if from.type == .text("duration") { usage.audioSeconds = try Take.decimal(from.seconds, at + "seconds") }
        if usage == Usage() {
            // No usage object, or an empty one: the totals beside it count only when they say something.
            let input = try Take.count(item.promptTokens, "prompt_tokens")
            let output = try Take.count(item.completionTokens, "completion_tokens")
            guard (input ?? 0) != 0 || (output ?? 0) != 0 else { return nil }
            usage.inputTokens = input
            usage.outputTokens = output
        }
        return try Take.valid(usage, at)
    }

    /// The same number under several names: the largest, since a name that does not apply is written as 0.
    private static func most(_ scalars: [Scalar], _ field: String) throws(Parked) -> Int64? {
        var most: Int64?
        for scalar in scalars {
            guard let count = try Take.count(scalar, field) else { continue }
            most = max(most ?? count, count)
        }
        return most
    }

    /// Whether zeros stand for "not known". A prompt has a token at least: a chat, a response or an embedding without
    /// any is what LiteLLM writes when its provider's stream carried no usage (and then cost 0.0 is unknown as well),
    /// or when the call failed.
    private static func isUnsaid(_ usage: Usage?, _ operation: Call.Operation, _ status: Call.Status) -> Bool {
        guard let usage else { return [.chat, .responses, .embedding].contains(operation) }
        guard [.chat, .responses, .embedding].contains(operation) || status == .failure else { return false }
        return isZero(usage)
    }

    private static func isZero(_ usage: Usage) -> Bool {
        let counts = [usage.inputTokens, usage.outputTokens, usage.images, usage.characters, usage.searches]
        return counts.allSatisfy { ($0 ?? 0) == 0 } && (usage.audioSeconds ?? .zero) == .zero
    }

    /// Whole milliseconds from start to end; nil when it cannot be told.
    static func latency(_ item: LiteLLMItem) -> UInt32? {
        guard let start = try? Take.time(item.startTime, ""), let end = try? Take.time(item.endTime, "") else {
            return nil
        }
        return UInt32(exactly: (end.microseconds - start.microseconds) / 1000)
    }

    /// Key-bound facts first, then the client's as `client.*`; at most `Call.attributesMax`, the client's go first, and
    /// what cannot be an attribute (no string, too long, control characters, a prompt by its name) is left out.
    static func attributes(_ item: LiteLLMItem) throws(Parked) -> (Call.KeySource, [Attribute]) {
        var keySource = Call.KeySource.platform
        var bound: [Attribute] = []
        for (name, value) in item.keyMetadata {
            if name.utf8.elementsEqual("key_source".utf8) {
                switch value {
                case .absent, .text("platform"): break
                case .text("byok"): keySource = .byok
                default:
                    throw Parked(
                        code: "unknown_key_source", field: "metadata.user_api_key_auth_metadata.key_source",
                        detail: "is neither platform nor byok")
                }
                continue
            }
            guard case .text(let text) = value, !ContentNames.holds(name), let name = Name(name),
                Take.isAttributeValue(text)
            else { continue }
            bound.append(Attribute(name: name, value: text))
        }
        bound.sort { $0.name < $1.name }
        bound = Array(bound.prefix(Call.attributesMax))
        var client: [Attribute] = []
        for (name, value) in item.clientMetadata {
            guard !ContentNames.holds(name), let name = Name(prefixOfClient + name), Take.isAttributeValue(value),
                !bound.contains(where: { $0.name == name })
            else { continue }
            client.append(Attribute(name: name, value: value))
        }
        client.sort { $0.name < $1.name }
        bound.append(contentsOf: client.prefix(Call.attributesMax - bound.count))
        bound.sort { $0.name < $1.name }
        return (keySource, bound)
    }
}
