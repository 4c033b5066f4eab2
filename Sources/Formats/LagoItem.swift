public import Billing
public import Hashing
public import JSON

/// One event of Lago's ingest API: what it says, to be answered in Lago's words, and what it becomes here.
public struct LagoItem: Hashable, Sendable {
    /// Why Lago would refuse the event: a member and one of Lago's error codes (`value_is_mandatory`, ...).
    public struct Fault: Hashable, Sendable {
        public var field: String
        public var code: String

        public init(field: String, code: String) {
            self.field = field
            self.code = code
        }
    }

    /// From 0, within the batch.
    public var index: Int
    public var transactionID: String
    public var subscription: String
    public var code: String
    /// As the client states it; nil when it states none, and then the time of receipt is answered.
    public var timestamp: Timestamp?
    /// As written.
    public var preciseTotalAmountCents: String?
    /// An object; answered as it came, not stored.
    public var properties: JSONValue
    /// Not empty: nothing of the request may be stored, and the answer is 422.
    public var faults: [Fault]
    /// An event, or parked (answered as Lago does: as if it were stored). Parked too when there are faults.
    public var outcome: DoorItem.Outcome
    /// SHA-256 of the event's own bytes in the body; nil of an event that was read from the log.
    public var itemHash: Digest?

    /// UUID-shaped (RFC 9562 version 8) and always the same for (`subscription`, `transactionID`).
    public var lagoID: String { LagoItem.lagoID(subscription: subscription, transactionID: transactionID) }

    /// The member that its cost came from.
    public var costField: String {
        LagoMetric(rawValue: code) == .cost ? LagoMetric.costField(of: self) : "properties.response_cost"
    }

    static func lagoID(subscription: String, transactionID: String) -> String {
        var hash = SHA256()
        // A byte that is in no name parts the two.
        hash.update("lago\0" + subscription + "\0" + transactionID)
        var bytes = Array(hash.finalize().bytes.prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x80
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = Array(Hex.text(bytes).utf8)
        let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(decoding: hex[$0], as: UTF8.self) }
        return parts.joined(separator: "-")
    }
}

extension LagoItem {
    /// A stored event as Lago would show it (`GET /api/v1/events/{transaction_id}`); nil when it came by another door.
    /// Its properties are put together from what was kept.
    public init?(stored event: Event) {
        let call: Call
        switch event.fact {
        case .call(let fact), .usage(let fact): call = fact
        default: return nil
        }
        guard let subscription = call.subscription, event.source.text == LagoFormat.prefixOfSource + subscription.text,
            let code = call.attributes.first(where: { $0.name.text == LagoFormat.attributeOfCode })
        else { return nil }
        var members: [JSONValue.Member] = [.init(name: "model", value: .string(call.model.text))]
        if call.provider.text != LagoFormat.unknown.text {
            members.append(.init(name: "provider", value: .string(call.provider.text)))
        }
        if let metric = LagoMetric(rawValue: code.value) {
            if let value = metric.value(in: call) { members.append(.init(name: "value", value: .string(value))) }
        } else {
            members.append(.init(name: "response_cost", value: call.cost.map { .number($0.text) } ?? .null))
            if let count = call.usage?.inputTokens {
                members.append(.init(name: "prompt_tokens", value: .number(String(count))))
            }
            if let count = call.usage?.outputTokens {
                members.append(.init(name: "completion_tokens", value: .number(String(count))))
            }
        }
        self.init(
            index: 0, transactionID: event.statedID, subscription: subscription.text, code: code.value,
            timestamp: event.time, preciseTotalAmountCents: nil, properties: .object(members), faults: [],
            outcome: .event(event), itemHash: nil)
    }
}
