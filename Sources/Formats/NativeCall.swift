internal import Billing
internal import JSON

private let operations = Choices(Call.Operation.allCases, \.name)
private let keySources = Choices(Call.KeySource.allCases, \.name)
private let statuses = Choices(Call.Status.allCases, \.name)

extension NativeParser {
    /// `data` of `llm.call` and `llm.usage`, and `call` of an amendment. The next value is an object.
    mutating func call() throws(JSONError) -> Call? {
        var org: Name?
        var user: Name?
        var subscription: Name?
        var service: Name?
        var team: Name?
        var apiKey: Name?
        var endUser: Name?
        var provider: Name?
        var model: Name?
        var requestedModel: Name?
        var operation: Call.Operation?
        var keySource: Call.KeySource?
        var status: Call.Status?
        var usage: Usage?
        var cost: Decimal?
        var latency: Int64?
        var cacheHit: Bool?
        var authorization: Name?
        var attributes: [Attribute] = []
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "service": service = try name("service")
            case "team": team = try name("team")
            case "api_key": apiKey = try name("api_key")
            case "end_user": endUser = try name("end_user")
            case "provider": provider = try name("provider")
            case "model": model = try name("model")
            case "requested_model": requestedModel = try name("requested_model")
            case "operation": operation = try choice("operation", operations)
            case "key_source": keySource = try choice("key_source", keySources)
            case "status": status = try choice("status", statuses)
            case "usage": usage = try self.usage()
            case "cost_usd": cost = try self.cost()
            case "latency_ms": latency = try integer("latency_ms", in: 0...Int64(UInt32.max))
            case "cache_hit": cacheHit = try bool("cache_hit")
            case "authorization": authorization = try name("authorization")
            case "attributes": attributes = try self.attributes()
            case "subscription" where options.isImport: subscription = try name("subscription")
            default: try unknown(key)
            }
        }
        if org == nil && user == nil && subscription == nil {
            org = options.defaultOrg
            if org == nil { note("missing_owner", "org", "org or user is required") }
        }
        guard let provider else {
            missing("provider")
            return nil
        }
        guard let model else {
            missing("model")
            return nil
        }
        guard let operation else {
            missing("operation")
            return nil
        }
        guard let status else {
            missing("status")
            return nil
        }
        return Call(
            org: org, user: user, subscription: subscription, service: service, team: team, apiKey: apiKey,
            endUser: endUser, provider: provider, model: model, requestedModel: requestedModel, operation: operation,
            keySource: keySource ?? .platform, status: status, usage: usage, cost: cost,
            latencyMilliseconds: latency.map { UInt32($0) }, cacheHit: cacheHit ?? false,
            authorization: authorization, attributes: attributes)
    }

    private mutating func cost() throws(JSONError) -> Decimal? {
        guard let cost = try decimal("cost_usd") else { return nil }
        if cost.mantissa < 0 { note("out_of_range", "cost_usd", "must not be negative") }
        return cost
    }

    private mutating func usage() throws(JSONError) -> Usage? {
        guard try object("usage") else { return nil }
        let outer = prefix
        // A literal for the usual place: nothing is built for a call without faults.
        prefix = outer == "data" ? "data.usage" : outer + ".usage"
        defer { prefix = outer }
        let counts: ClosedRange<Int64> = 0...Usage.countMax
        var usage = Usage()
        while let key = try reader.nextName() {
            switch key {
            case "input_tokens": usage.inputTokens = try integer("input_tokens", in: counts)
            case "output_tokens": usage.outputTokens = try integer("output_tokens", in: counts)
            case "cache_read_tokens": usage.cacheReadTokens = try integer("cache_read_tokens", in: counts)
            case "cache_write_tokens": usage.cacheWriteTokens = try integer("cache_write_tokens", in: counts)
            case "reasoning_tokens": usage.reasoningTokens = try integer("reasoning_tokens", in: counts)
            case "images": usage.images = try integer("images", in: counts)
            case "audio_seconds": usage.audioSeconds = try decimal("audio_seconds", decimalsMax: 6)
            case "characters": usage.characters = try integer("characters", in: counts)
            case "searches": usage.searches = try integer("searches", in: counts)
            case "requests": usage.requests = try integer("requests", in: counts)
            default: try unknown(key)
            }
        }
        guard fault == nil else { return nil }
        let read = usage.cacheReadTokens ?? 0
        let subsetsFit = read + (usage.cacheWriteTokens ?? 0) <= usage.inputTokens ?? 0
            && (usage.reasoningTokens ?? 0) <= usage.outputTokens ?? 0
        if !subsetsFit || usage.audioSeconds != nil, let (field, reason) = usage.fault {
            note(field == "audio_seconds" ? "out_of_range" : "subset_exceeds_total", field, reason)
        }
        return usage
    }

    /// String pairs, in byte order of their names.
    private mutating func attributes() throws(JSONError) -> [Attribute] {
        guard try object("attributes") else { return [] }
        let outer = prefix
        prefix = outer == "data" ? "data.attributes" : outer + ".attributes"
        defer { prefix = outer }
        var attributes: [Attribute] = []
        while let key = try reader.nextKey() {
            guard let name = Name(key) else {
                note("invalid_id", "", "has a name that is not 1 to \(Name.bytesMax) bytes without control characters")
                try reader.skip()
                continue
            }
            if !options.isImport, ContentNames.holds(key) {
                note("content_refused", key, "is not stored: prompts, answers, headers and credentials are not facts")
            }
            let kind = try reader.peek()
            guard kind == .string else {
                note("wrong_type", key, "must be a string, not \(kind.phrase)")
                try reader.skip()
                continue
            }
            let value = try reader.string()
            check(value, key)
            if attributes.count < Call.attributesMax {
                attributes.append(Attribute(name: name, value: value))
            } else {
                note("too_many", "", "holds more than \(Call.attributesMax) attributes")
            }
        }
        if attributes.count > 1 { attributes.sort { $0.name < $1.name } }
        return attributes
    }

    /// `source`, `id`, `org` and `reason` of what refers to a call; `call` too when it amends.
    private mutating func reference(
        amends: Bool
    ) throws(JSONError) -> (source: Name, id: Name, org: Name?, reason: String, call: Call?)? {
        var source: Name?
        var id: Name?
        var org: Name?
        var reason: String?
        var call: Call?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "source": source = try name("source")
            case "id": id = try self.reference("id")
            case "org": org = try name("org")
            case "reason": reason = try text("reason")
            case "call" where amends:
                guard try has(.object, "call") else { continue }
                let outer = descend("call")
                call = try self.call()
                prefix = outer
            default: try unknown(key)
            }
        }
        if source == nil { missing("source") }
        if id == nil { missing("id") }
        if reason == nil { missing("reason") }
        if amends && call == nil { missing("call") }
        guard let source, let id, let reason else { return nil }
        return (source, id, org, reason, call)
    }

    mutating func callVoided() throws(JSONError) -> Fact? {
        guard let (source, id, org, reason, _) = try reference(amends: false) else { return nil }
        return .callVoided(CallVoided(source: source, id: id, org: org, reason: reason))
    }

    mutating func callAmended() throws(JSONError) -> Fact? {
        guard let (source, id, org, reason, call) = try reference(amends: true), let call else { return nil }
        return .callAmended(CallAmended(source: source, id: id, org: org, reason: reason, call: call))
    }
}
