public import Billing

/// What admission keeps of calls, in the most obvious way: every call with what it charged.
public struct CallHistory: Sendable {
    private struct Key: Hashable {
        var source: Name
        var id: Name
    }

    private var calls: [Key: StandingCall] = [:]
    private var voided: Set<Key> = []

    public init() {}

    /// The event with what it unwinds, when it corrects a call.
    public func resolved(_ event: Event) throws(Rejection) -> Event {
        guard let (source, id, _) = event.fact.corrects else { return event }
        let key = Key(source: source, id: id)
        guard let standing = calls[key] else { throw .unknownCall(source: source, id: id) }
        if voided.contains(key) { throw .alreadyVoided(id: id) }
        var event = event
        event.fact.unwinds = standing
        return event
    }

    /// Keeps what a taken event leaves.
    public mutating func note(_ event: Event, outcome: Outcome, position: UInt64, at occurredAt: Timestamp) {
        let charge = outcome.charge ?? ChargeRecord()
        func keep(_ call: Call, isCall: Bool) {
            calls[Key(source: event.source, id: event.id)] = StandingCall(
                original: position, position: position, occurredAt: occurredAt, isCall: isCall, call: call,
                charge: charge)
        }
        switch event.fact {
        case .call(let call): keep(call, isCall: true)
        case .usage(let call): keep(call, isCall: false)
        case .callVoided(let fact): voided.insert(Key(source: fact.source, id: fact.id))
        case .callAmended(let fact):
            let key = Key(source: fact.source, id: fact.id)
            guard let old = calls[key] else { preconditionFailure("amends nothing: \(fact.id)") }
            calls[key] = StandingCall(
                original: old.original, position: position, occurredAt: old.occurredAt, isCall: old.isCall,
                call: fact.call, charge: charge)
        default: break
        }
    }

    /// The keys of all calls, in order of their positions.
    public var keys: [(source: Name, id: Name)] {
        calls.sorted { $0.value.original < $1.value.original }.map { ($0.key.source, $0.key.id) }
    }
}
