/// A fact as a client states it, parsed: a type that cannot be wrong in shape. Whether it may be stored (duplicates,
/// unknown plans and so on) is admission's question.
public struct Event: Hashable, Sendable {
    /// (`source`, `id`) is the idempotency key: exact, for ever.
    public var source: Name
    public var id: Name
    /// As stated by the client; nil when it said none, and then the time of receipt counts.
    public var time: Timestamp?
    public var fact: Fact

    public init(source: Name, id: Name, time: Timestamp?, fact: Fact) {
        self.source = source
        self.id = id
        self.time = time
        self.fact = fact
    }
}

/// What happened: one case for each event type of contract 3. The raw type names are in `Fact.type`.
public indirect enum Fact: Hashable, Sendable {
    case call(Call)
    /// As a call, but counts none: senders that report tokens apart from calls.
    case usage(Call)
    case callVoided(CallVoided)
    case callAmended(CallAmended)
    case creditsGranted(Grant)
    case creditsVoided(LotVoided)
    case creditsAllocated(Allocation)
    case creditsAdjusted(Adjustment)
    /// Written by the daemon when a lot's end passes.
    case creditsExpired(LotExpired)
    case planDefined(Plan)
    case planAssigned(Assignment)
    case pricesPublished(PriceList)
    /// Written by the daemon: see contract 6.
    case lagoWindowClosed(LagoWindowClosed)
    case lagoBatchDelivered(LagoDelivery)
    case lagoBatchFailed(LagoDelivery)

    /// The CloudEvents `type`.
    public var type: String {
        switch self {
        case .call: "llm.call"
        case .usage: "llm.usage"
        case .callVoided: "llm.call.voided"
        case .callAmended: "llm.call.amended"
        case .creditsGranted: "credits.granted"
        case .creditsVoided: "credits.voided"
        case .creditsAllocated: "credits.allocated"
        case .creditsAdjusted: "credits.adjusted"
        case .creditsExpired: "credits.expired"
        case .planDefined: "plan.defined"
        case .planAssigned: "plan.assigned"
        case .pricesPublished: "prices.published"
        case .lagoWindowClosed: "lago.window.closed"
        case .lagoBatchDelivered: "lago.batch.delivered"
        case .lagoBatchFailed: "lago.batch.failed"
        }
    }

    /// Whether only the daemon itself writes it. What clients may post: `llm.*` with scope ingest, the rest with admin.
    public var isDaemonOwn: Bool {
        switch self {
        case .creditsExpired, .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed: true
        default: false
        }
    }

    public var isUsage: Bool {
        switch self {
        case .call, .usage, .callVoided, .callAmended: true
        default: false
        }
    }
}

/// Which door a record came in by. Kept with the record; it changes no number.
public enum Door: UInt8, CaseIterable, Sendable {
    case native = 0
    case litellm = 1
    case lago = 2
    case openmeter = 3
    /// The daemon itself.
    case daemon = 4

    public var name: String {
        switch self {
        case .native: "native"
        case .litellm: "litellm"
        case .lago: "lago"
        case .openmeter: "openmeter"
        case .daemon: "daemon"
        }
    }
}

/// An org's pool or a user's wallet: who holds credits, and whose plan counts.
public enum Owner: Hashable, Sendable {
    case org(Name)
    case user(Name)

    public var name: Name {
        switch self {
        case .org(let name), .user(let name): name
        }
    }
}
