public import Billing
internal import JSON

/// Prices and plans out of a file as somebody keeps them: events (one, an array, NDJSON), or only the `data` of them.
public enum PublishedFile {
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        public var description: String
    }

    private static let eventsMax = 10_000

    /// The one price list that `bytes` hold.
    public static func prices(_ bytes: [UInt8]) throws(Fault) -> PriceList {
        var lists: [PriceList] = []
        for fact in try facts(bytes, type: .pricesPublished, telling: "rules") {
            if case .pricesPublished(let list) = fact { lists.append(list) }
        }
        guard lists.count == 1 else { throw Fault(description: "holds \(lists.count) price lists, not one") }
        return lists[0]
    }

    /// The plans that `bytes` hold, one at least, each name once.
    public static func plans(_ bytes: [UInt8]) throws(Fault) -> [Plan] {
        var plans: [Plan] = []
        for fact in try facts(bytes, type: .planDefined, telling: "plan") {
            guard case .planDefined(let plan) = fact else { continue }
            guard !plans.contains(where: { $0.name == plan.name }) else {
                throw Fault(description: "defines the plan \(plan.name) twice")
            }
            plans.append(plan)
        }
        guard !plans.isEmpty else { throw Fault(description: "holds no plan.defined") }
        return plans
    }

    private static func facts(_ bytes: [UInt8], type: NativeType, telling member: String) throws(Fault) -> [Fact] {
        let body = try enveloped(bytes, type: type, telling: member) ?? bytes
        let parsed: NativeFormat.Parsed
        do {
            parsed = try NativeFormat.parse(body: body, eventsMax: eventsMax)
        } catch {
            throw Fault(description: error.detail)
        }
        var facts: [Fact] = []
        for (index, item) in parsed.items.enumerated() {
            switch item.result {
            case .success(let event):
                guard event.fact.type == type.rawValue else {
                    throw Fault(description: "event \(index + 1) is \(event.fact.type), not \(type.rawValue)")
                }
                facts.append(event.fact)
            case .failure(let error):
                let field = error.field.isEmpty ? "" : " \(error.field)"
                throw Fault(description: "event \(index + 1):\(field) \(error.detail)")
            }
        }
        return facts
    }

    /// Bare data with an envelope around each; nil for what is not bare data.
    private static func enveloped(
        _ bytes: [UInt8], type: NativeType, telling member: String
    ) throws(Fault) -> [UInt8]? {
        guard let document = try? JSONValue.parse(bytes) else { return nil }
        let values: [JSONValue]
        if case .array(let elements) = document { values = elements } else { values = [document] }
        guard !values.isEmpty, values.allSatisfy({ $0[member] != nil && $0["type"] == nil }) else { return nil }
        var writer = JSONWriter(reservingCapacity: bytes.count + 256)
        writer.beginArray()
        for value in values {
            writer.beginObject()
            writer.member("id", string: "data")
            writer.member("source", string: "file")
            writer.member("type", string: type.rawValue)
            writer.key("data")
            writer.value(value)
            writer.endObject()
        }
        writer.endArray()
        return writer.bytes
    }
}
