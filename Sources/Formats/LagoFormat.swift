internal import Billing
internal import Hashing
internal import JSON
internal import Records

/// Lago's ingest API: `{"event": {...}}` and `{"events": [...]}` (Lago's OpenAPI 1.51, LiteLLM's `lago` callback,
/// Lago's own LLM client). Who the owner is, admission finds behind `Call.subscription`.
///
/// LiteLLM's properties (`model` with `response_cost` or token counts) are an `llm.call`, whatever the code's name. A
/// metric code of Lago's LLM client is an `llm.usage` (see `LagoMetric`). Other codes are parked, and answered as Lago
/// answers codes that it does not know: as stored.
public enum LagoFormat {
    /// Lago's default limit of a batch.
    public static let batchMax = 100
    public static let prefixOfSource = "lago/"
    /// The attribute that keeps an event's metric code.
    public static let attributeOfCode = "lago.code"
    static let unknown = Name(checked: "unknown")

    /// The body of `POST /api/v1/events`. The error is the answer to give.
    public static func event(body: [UInt8]) throws(LagoAnswer) -> LagoItem {
        guard let event = try parse(body, member: "event"), case .object(let members) = event.value, !members.isEmpty
        else { throw .badRequest("param is missing or the value is empty: event") }
        return item(event, of: body, index: 0)
    }

    /// The body of `POST /api/v1/events/batch`: 1 to `batchMax` events. The error is the answer to give.
    public static func batch(body: [UInt8]) throws(LagoAnswer) -> [LagoItem] {
        guard let events = try parse(body, member: "events") else {
            throw .badRequest("param is missing or the value is empty: events")
        }
        guard let elements = events.elements else { throw .badRequest("events is not an array") }
        if elements.isEmpty { throw .noEvents }
        if elements.count > batchMax { throw .tooManyEvents }
        return elements.enumerated().map { item($0.element, of: body, index: $0.offset) }
    }

    /// The member of a document that is JSON from its beginning to its end; nil when there is none.
    private static func parse(_ body: [UInt8], member: StaticString) throws(LagoAnswer) -> PlacedValue? {
        do throws(JSONError) {
            var reader = JSONReader(body)
            var found: PlacedValue?
            if try reader.peek() == .object {
                try reader.beginObject()
                while let name = try reader.nextName() {
                    if name == member { found = try PlacedValue(&reader) } else { try reader.skip() }
                }
            } else {
                try reader.skip()
            }
            try reader.end()
            return found
        } catch {
            throw .badRequest("not JSON: \(error.clause)")
        }
    }

    private static func item(_ placed: PlacedValue, of body: [UInt8], index: Int) -> LagoItem {
        let value = placed.value
        var faults: [LagoItem.Fault] = []
        func mandatory<ID>(_ name: String, _ parse: (String) -> ID?) -> (String, ID?) {
            switch Scalar(value[name]) {
            case .absent, .text(""): faults.append(.init(field: name, code: "value_is_mandatory"))
            case .text(let text), .number(let text):
                if let id = parse(text) { return (text, id) }
                faults.append(.init(field: name, code: "value_is_invalid"))
                return (text, nil)
            default: faults.append(.init(field: name, code: "value_is_invalid"))
            }
            return ("", nil)
        }
        let (transactionID, id) = mandatory("transaction_id") { EventID($0) }
        let (subscription, source) = mandatory("external_subscription_id") { Name(prefixOfSource + $0) }
        let (code, codeName) = mandatory("code") { Name($0) }
        let (timestamp, isTime) = time(Scalar(value["timestamp"]))
        if !isTime { faults.append(.init(field: "timestamp", code: "invalid_format")) }
        let cents = Scalar(value["precise_total_amount_cents"])
        if !cents.isAbsent && ((try? Take.decimal(cents, "")) ?? nil) == nil {
            faults.append(.init(field: "precise_total_amount_cents", code: "invalid_value"))
        }
        let properties: JSONValue
        switch value["properties"] {
        case .some(.object(let members)): properties = .object(members)
        case nil, .null: properties = .object([])
        default:
            properties = .object([])
            faults.append(.init(field: "properties", code: "invalid_format"))
        }
        var item = LagoItem(
            index: index, transactionID: transactionID, subscription: subscription, code: code, timestamp: timestamp,
            preciseTotalAmountCents: cents.written, properties: properties, faults: faults,
            outcome: .parked(Parked(code: "invalid", field: faults.first?.field ?? "", detail: "is not valid")),
            itemHash: placed.hash(in: body))
        if faults.isEmpty, let id, let source, let codeName, let subscription = Name(subscription) {
            item.outcome = outcome(item, id: id, source: source, code: codeName, subscription: subscription)
        }
        return item
    }

    /// Unix seconds: an integer, a float or a numeric string. ISO 8601 is an error, as in Lago.
    private static func time(_ scalar: Scalar) -> (Timestamp?, isValid: Bool) {
        guard !scalar.isAbsent else { return (nil, true) }
        guard let text = scalar.written, let time = Timestamp(unixSeconds: Array(text.utf8)) else {
            return (nil, false)
        }
        return (time, true)
    }

    private static func outcome(
        _ item: LagoItem, id: EventID, source: Name, code: Name, subscription: Name
    ) -> DoorItem.Outcome {
        do throws(Parked) {
            let fact: Fact
            if let metric = LagoMetric(rawValue: item.code) {
                fact = .usage(try metric.call(item, subscription: subscription))
            } else if let properties = LiteLLMProperties(item.properties, costName: "response_cost") {
                var call = try properties.call(prefix: "properties.")
                call.subscription = subscription
                call.attributes = [Attribute(name: Name(checked: attributeOfCode), value: code.text)]
                fact = .call(call)
            } else {
                throw Parked(
                    code: "unknown_code", field: "code", detail: "is neither a call of LiteLLM nor an LLM metric")
            }
            return .event(Event(source: source, id: id, time: item.timestamp, fact: fact))
        } catch {
            var parked = error
            let names: [(String, String?)] = [
                ("transaction_id", item.transactionID), ("subscription", item.subscription), ("code", item.code),
                ("model", item.properties["model"]?.string), ("provider", item.properties["provider"]?.string),
            ]
            parked.facts = names.compactMap { name, value in
                guard let value, EventID(value) != nil else { return nil }
                return Parked.Fact(name: name, value: value)
            }
            return .parked(parked)
        }
    }
}

/// What LiteLLM's `lago` and `openmeter` callbacks say of a call: model, cost, and totals for the kinds of call that
/// LiteLLM counts there. No provider, no subsets, no status (only successes are sent).
struct LiteLLMProperties {
    let model: Scalar
    let provider: Scalar
    let cost: Scalar
    let costName: String
    let prompt: Scalar
    let completion: Scalar

    /// Nil when these are not LiteLLM's members: `model`, and the cost (null when unpriced) or a count of tokens.
    init?(_ value: JSONValue, costName: String) {
        guard value["model"] != nil,
            value[costName] != nil || value["prompt_tokens"] != nil || value["completion_tokens"] != nil
        else { return nil }
        model = Scalar(value["model"])
        provider = Scalar(value["provider"])
        cost = Scalar(value[costName])
        self.costName = costName
        prompt = Scalar(value["prompt_tokens"])
        completion = Scalar(value["completion_tokens"])
    }

    /// Without an owner, which is the caller's to set. Chat when there are tokens both ways; otherwise the kind of call
    /// cannot be told (an embedding, an image, a chat without an answer).
    func call(prefix: String) throws(Parked) -> Call {
        let model = try Take.name(model, prefix + "model") ?? LagoFormat.unknown
        let provider = try Take.name(provider, prefix + "provider") ?? LagoFormat.unknown
        let input = try Take.count(prompt, prefix + "prompt_tokens")
        let output = try Take.count(completion, prefix + "completion_tokens")
        var cost = try Take.cost(cost, prefix + costName)
        var usage: Usage?
        if (input ?? 0) != 0 || (output ?? 0) != 0 {
            usage = try Take.valid(Usage(inputTokens: input, outputTokens: output), prefix)
        } else if input != nil || output != nil, cost == .zero {
            // All zero: a provider's stream that carried no usage. What LiteLLM could not count it could not price.
            cost = nil
        }
        let isChat = (input ?? 0) > 0 && (output ?? 0) > 0
        return Call(
            provider: provider, model: model, operation: isChat ? .chat : .other, status: .success, usage: usage,
            cost: cost)
    }
}
