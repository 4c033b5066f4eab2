/// A fact as a client states it, parsed: a type that cannot be wrong in shape. Whether it may be stored (duplicates,
/// unknown plans and so on) is admission's question.
public struct Event: Hashable, Sendable {
    /// (`source`, `id`) is the idempotency key within the space of its sender: exact, for ever.
    public var source: Name
    public var id: Name
    /// The id as its sender states it, where `id` is only its hash because it is longer than a name can be; else nil.
    public var wholeID: String?
    /// As stated by the client; nil when it said none, and then the time of receipt counts.
    public var time: Timestamp?
    public var fact: Fact

    public init(source: Name, id: Name, wholeID: String? = nil, time: Timestamp?, fact: Fact) {
        self.source = source
        self.id = id
        self.wholeID = wholeID
        self.time = time
        self.fact = fact
    }
}

extension Event {
    /// The id as its sender states it: what people are shown.
    public var statedID: String { wholeID ?? id.text }
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
    /// Written by the daemon: see contract 5.
    case authorizationGranted(Authorization)
    case authorizationDenied(Denial)
    case authorizationReleased(AuthorizationEnded)
    case authorizationExpired(AuthorizationEnded)
    /// Written by the daemon: see contract 6.
    case lagoWindowClosed(LagoWindowClosed)
    case lagoBatchDelivered(LagoDelivery)
    case lagoBatchFailed(LagoDelivery)
    case alertDefined(Alert)

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
        case .authorizationGranted: "authorization.granted"
        case .authorizationDenied: "authorization.denied"
        case .authorizationReleased: "authorization.released"
        case .authorizationExpired: "authorization.expired"
        case .lagoWindowClosed: "lago.window.closed"
        case .lagoBatchDelivered: "lago.batch.delivered"
        case .lagoBatchFailed: "lago.batch.failed"
        case .alertDefined: "alert.defined"
        }
    }

    /// Every type name, in the order of contract 3.
    public static let types = [
        "llm.call", "llm.usage", "llm.call.voided", "llm.call.amended", "credits.granted", "credits.voided",
        "credits.allocated", "credits.adjusted", "credits.expired", "plan.defined", "plan.assigned",
        "prices.published", "authorization.granted", "authorization.denied", "authorization.released",
        "authorization.expired", "lago.window.closed", "lago.batch.delivered", "lago.batch.failed",
        "alert.defined",
    ]

    /// The org it speaks of; nil for what belongs to a user alone, or to nobody.
    public var org: Name? {
        func org(of owner: Owner) -> Name? {
            if case .org(let name) = owner { return name }
            return nil
        }
        return switch self {
        case .call(let call), .usage(let call): call.org
        case .callAmended(let amended): amended.call.org
        case .creditsGranted(let grant): org(of: grant.owner)
        case .creditsAdjusted(let adjustment): org(of: adjustment.owner)
        case .creditsAllocated(let allocation): allocation.org
        case .planAssigned(let assignment): org(of: assignment.owner)
        case .alertDefined(let alert): org(of: alert.owner)
        case .callVoided(let voided): voided.unwinds?.org
        case .authorizationGranted(let granted): granted.subject.org
        case .authorizationDenied(let denied): denied.subject.org
        case .authorizationReleased(let ended), .authorizationExpired(let ended): ended.org
        case .creditsVoided, .creditsExpired, .planDefined, .pricesPublished, .lagoWindowClosed,
            .lagoBatchDelivered, .lagoBatchFailed:
            nil
        }
    }

    /// Whether a client may post it, and with which scope: `llm.*` with ingest, the rest with admin; the daemon's own
    /// never.
    public var isDaemonOwn: Bool {
        switch self {
        case .creditsExpired, .authorizationGranted, .authorizationDenied, .authorizationReleased,
            .authorizationExpired, .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed:
            true
        default: false
        }
    }

    /// Whether it makes a lot, whose id is the event's.
    public var makesLot: Bool {
        switch self {
        case .creditsGranted: true
        case .creditsAdjusted(let adjustment): adjustment.credits > .zero
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

extension Door {
    /// The only door by which records with this source come in; nil for a source that any sender may use. The daemon
    /// makes these sources: a client that could post under one would take a key before its owner does.
    public static func owning(_ source: Name) -> Door? {
        let text = source.text.utf8
        if source.text == "tallystick" { return .daemon }
        if text.starts(with: "litellm/".utf8) { return .litellm }
        if text.starts(with: "lago/".utf8) { return .lago }
        return nil
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
