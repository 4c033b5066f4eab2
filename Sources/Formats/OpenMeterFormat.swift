public import Billing
internal import JSON
internal import Records

/// CloudEvents on the Lago path: what LiteLLM's `openmeter` callback sends, and OpenMeter's clients in that shape.
/// (`source`, `id`) is the key as sent; `subject` is the subscription, behind which admission finds the owner.
public enum OpenMeterFormat {
    static let mediaTypes = ["application/cloudevents+json", "application/cloudevents-batch+json"]

    /// Whether a body on the shared path is CloudEvents: by its content type, or by a `specversion` in its first
    /// object.
    public static func recognizes(contentType: String?, body: [UInt8]) -> Bool {
        if let contentType {
            let type = contentType.utf8.prefix { $0 != 0x3B && $0 != 0x20 }
            let lower = String(decoding: type.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
            if mediaTypes.contains(lower) { return true }
        }
        return (try? hasSpecversion(body)) ?? false
    }

    private static func hasSpecversion(_ body: [UInt8]) throws(JSONError) -> Bool {
        var reader = JSONReader(body)
        if try reader.peek() == .array {
            try reader.beginArray()
            guard try reader.nextElement() else { return false }
        }
        guard try reader.peek() == .object else { return false }
        try reader.beginObject()
        while let key = try reader.nextName() {
            if key == "specversion" { return true }
            try reader.skip()
        }
        return false
    }

    /// One event or an array of them. Items without a usable shape are parked, the others become `llm.call`s.
    ///
    /// - Throws `invalid_json`, `too_many_items`, or `wrong_type` when the body is neither an object nor an array.
    public static func parse(body: [UInt8], defaultOrg: Name?, itemsMax: Int) throws(BodyError) -> [DoorItem] {
        let document: PlacedValue
        do throws(JSONError) {
            var reader = JSONReader(body)
            document = try PlacedValue(&reader)
            try reader.end()
        } catch {
            throw BodyError(error, in: body)
        }
        let items: [PlacedValue]
        if let elements = document.elements {
            items = elements
        } else if case .object = document.value {
            items = [document]
        } else {
            throw BodyError(code: "wrong_type", detail: "The body is neither an object nor an array.")
        }
        guard items.count <= itemsMax else {
            throw BodyError(code: "too_many_items", detail: "The body has more than \(itemsMax) items.")
        }
        return items.enumerated().map { index, item in
            DoorItem(index: index, outcome: outcome(item.value, defaultOrg: defaultOrg), hash: item.hash(in: body))
        }
    }

    private static func outcome(_ value: JSONValue, defaultOrg: Name?) -> DoorItem.Outcome {
        if value == .null { return .skipped }
        do throws(Parked) {
            return .event(try event(value, defaultOrg: defaultOrg))
        } catch {
            var parked = error
            parked.facts = facts(value)
            return .parked(parked)
        }
    }

    private static func event(_ value: JSONValue, defaultOrg: Name?) throws(Parked) -> Event {
        guard case .object = value else {
            throw Parked(code: "wrong_type", field: "", detail: "the item is not an object")
        }
        guard value["specversion"] == .string("1.0") else {
            throw Parked(code: "unknown_version", field: "specversion", detail: "is not 1.0")
        }
        guard let id = try Take.eventID(Scalar(value["id"]), "id") else {
            throw Parked(code: "missing_id", field: "id", detail: "is missing")
        }
        guard let source = try Take.name(Scalar(value["source"]), "source") else {
            throw Parked(code: "missing_id", field: "source", detail: "is missing")
        }
        let time = try Take.time(Scalar(value["time"]), "time")
        guard let data = value["data"], let properties = LiteLLMProperties(data, costName: "cost") else {
            throw Parked(
                code: "unknown_data", field: "data", detail: "has not the members model and cost or prompt_tokens")
        }
        var call = try properties.call(prefix: "data.")
        if let subject = try Take.name(Scalar(value["subject"]), "subject") {
            call.subscription = subject
        } else if let defaultOrg {
            call.org = defaultOrg
        } else {
            throw Parked(
                code: "missing_owner", field: "subject", detail: "is missing, and the posting key has no default org")
        }
        return Event(source: source, id: id, time: time, fact: .call(call))
    }

    private static func facts(_ value: JSONValue) -> [Parked.Fact] {
        let all: [(String, JSONValue?)] = [
            ("id", value["id"]), ("source", value["source"]), ("subscription", value["subject"]),
            ("model", value["data"]?["model"]),
        ]
        return all.compactMap { name, value in
            guard let text = Scalar(value).written, EventID(text) != nil else { return nil }
            return Parked.Fact(name: name, value: text)
        }
    }
}
