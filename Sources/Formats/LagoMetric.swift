internal import Billing
internal import JSON

/// The metric codes of Lago's own LLM client (lago-agent-sdk 0.3.1), which sends one event for each number of a call
/// that is not zero; each becomes an `llm.usage`.
///
/// Our totals are inclusive, and one event sees only one number. So:
/// - `llm_input_tokens` and `llm_output_tokens` are totals, and counted.
/// - Cached, cache-creation and reasoning tokens come beside the total for some providers and inside of it for others.
///   The client leaves the provider's numbers as they are, and so the convention follows from `provider` and `api`, as
///   measured by the client's authors: inside for openai, gemini, workers-ai, mistral and the surfaces
///   databricks_gateway and ramp_router (reasoning: not for gemini and mistral); beside for all others, such as
///   anthropic and bedrock.
///   Beside: the event carries the number as the total and as its subset, so that the sum of the call's events is
///   inclusive, as everywhere here. Inside: the total has them already. Counting them again would bill tokens twice,
///   and a subset without its total is no valid usage; so the number is kept as an attribute and adds no tokens. Such
///   tokens are then priced like the rest of their total.
/// - The 5-minute and 1-hour cache writes are parts of cache creation, image and audio tokens parts of their totals:
///   attributes.
/// - An attribute-only event states zero tokens, which is what it adds; its usage is not unknown.
/// - `llm_cost`: the cost before the client's own markup (`base_cost`, else `value`, else
///   `precise_total_amount_cents`), for plans here have their own; no tokens.
enum LagoMetric: String, CaseIterable {
    case input = "llm_input_tokens"
    case output = "llm_output_tokens"
    case cachedInput = "llm_cached_input_tokens"
    case cacheCreation = "llm_cache_creation_tokens"
    case cacheWrite5m = "llm_cache_write_5m_tokens"
    case cacheWrite1h = "llm_cache_write_1h_tokens"
    case reasoning = "llm_reasoning_tokens"
    case imageInput = "llm_image_input_tokens"
    case imageOutput = "llm_image_output_tokens"
    case audioInput = "llm_audio_input_tokens"
    case audioOutput = "llm_audio_output_tokens"
    case toolCalls = "llm_tool_calls"
    case cost = "llm_cost"

    static let providersCacheInside: Set<String> = ["openai", "gemini", "workers-ai", "mistral"]
    static let providersReasoningInside: Set<String> = ["openai", "workers-ai"]
    static let surfacesInside: Set<String> = ["databricks_gateway", "ramp_router"]

    /// "lago.cached_input_tokens".
    var attribute: Name { Name(checked: "lago." + rawValue.dropFirst("llm_".utf8.count)) }

    /// Whether the number is in its total already. A sender that names no provider is not Lago's client: then nothing
    /// is known, and nothing is counted twice.
    private func isInside(provider: Name?, api: String?) -> Bool {
        guard let provider else { return true }
        if let api, LagoMetric.surfacesInside.contains(api) { return true }
        let inside = self == .reasoning ? LagoMetric.providersReasoningInside : LagoMetric.providersCacheInside
        return inside.contains(provider.text)
    }

    func call(_ item: LagoItem, subscription: Name) throws(Parked) -> Call {
        let properties = item.properties
        let provider = try Take.name(Scalar(properties["provider"]), "properties.provider")
        let model = try Take.name(Scalar(properties["model"]), "properties.model")
        let api = properties["api"]?.string
        var call = Call(
            subscription: subscription, provider: provider ?? LagoFormat.unknown, model: model ?? LagoFormat.unknown,
            operation: LagoMetric.operation(api: api), status: .success)
        call.attributes = [Attribute(name: Name(checked: LagoFormat.attributeOfCode), value: rawValue)]
        if self == .cost {
            call.cost = try LagoMetric.cost(item)
            return call
        }
        guard let count = try Take.count(Scalar(properties["value"]), "properties.value") else {
            throw Parked(code: "missing_value", field: "properties.value", detail: "is missing")
        }
        let isInside = isInside(provider: provider, api: api)
        let usage: Usage
        switch self {
        case .input: usage = Usage(inputTokens: count)
        case .output: usage = Usage(outputTokens: count)
        case .cachedInput where !isInside: usage = Usage(inputTokens: count, cacheReadTokens: count)
        case .cacheCreation where !isInside: usage = Usage(inputTokens: count, cacheWriteTokens: count)
        case .reasoning where !isInside: usage = Usage(outputTokens: count, reasoningTokens: count)
        default:
            usage = Usage(inputTokens: 0, outputTokens: 0)
            // The number is checked as a count all the same.
            _ = try Take.valid(Usage(inputTokens: count), "properties.")
            call.attributes.append(Attribute(name: attribute, value: String(count)))
            call.attributes.sort { $0.name < $1.name }
        }
        call.usage = try Take.valid(usage, "properties.")
        return call
    }

    /// The number of a stored event, as text; nil when it was not kept.
    func value(in call: Call) -> String? {
        if let kept = call.attributes.first(where: { $0.name == attribute }) { return kept.value }
        switch self {
        case .input: return call.usage?.inputTokens.map { String($0) }
        case .output: return call.usage?.outputTokens.map { String($0) }
        case .cachedInput: return call.usage?.cacheReadTokens.map { String($0) }
        case .cacheCreation: return call.usage?.cacheWriteTokens.map { String($0) }
        case .reasoning: return call.usage?.reasoningTokens.map { String($0) }
        case .cost: return call.cost?.text
        default: return nil
        }
    }

    /// Before the whole amount, in this order.
    private static let costMembers = ["base_cost", "value"]
    private static let centsField = "precise_total_amount_cents"

    /// The member that `cost` takes.
    static func costField(of item: LagoItem) -> String {
        let member = costMembers.first { !Scalar(item.properties[$0]).isAbsent }
        return member.map { "properties." + $0 } ?? centsField
    }

    private static func cost(_ item: LagoItem) throws(Parked) -> Decimal {
        for name in costMembers {
            if let cost = try Take.cost(Scalar(item.properties[name]), "properties." + name) { return cost }
        }
        let field = centsField
        let cents = item.preciseTotalAmountCents.map { Scalar.text($0) } ?? .absent
        guard let cents = try Take.cost(cents, field) else {
            throw Parked(code: "missing_value", field: "properties.value", detail: "is missing")
        }
        // At most 12 decimals come out of Take, so two more are within a Decimal's reach.
        return Decimal(mantissa: cents.mantissa, scale: cents.scale + 2)
    }

    private static func operation(api: String?) -> Call.Operation {
        switch api {
        case "chat_completions", "messages", "bedrock_converse", "converse": .chat
        case "responses": .responses
        case "embeddings": .embedding
        default: .other
        }
    }
}
