/// What one charge took from whom: what a refund gives back. A charge of 0 has no parts.
public struct ChargeRecord: Hashable, Sendable {
    public struct Part: Hashable, Sendable {
        public var owner: Owner
        /// In the order in which lots burned; amounts over 0.
        public var slices: [Slice]
        /// Part that no lot covered.
        public var overage: Money
        /// Part of `overage` that went onto an invoice.
        public var invoiced: Money

        public init(owner: Owner, slices: [Slice], overage: Money = .zero, invoiced: Money = .zero) {
            self.owner = owner
            self.slices = slices
            self.overage = overage
            self.invoiced = invoiced
        }

        public var total: Money { slices.reduce(overage) { $0 + $1.amount } }
    }

    /// Over this many slices a charge cannot be corrected: the record of a correction holds them.
    public static let slicesMax = 10_000

    /// At most two: an org's pool, then a user's wallet.
    public var parts: [Part]
    /// What it counts against the user's allocation on the org's pool.
    public var drawn: Money

    public init(parts: [Part] = [], drawn: Money = .zero) {
        self.parts = parts
        self.drawn = drawn
    }

    public var total: Money { parts.reduce(.zero) { $0 + $1.total } }
    public var invoiced: Money { parts.reduce(.zero) { $0 + $1.invoiced } }
}

/// The version of a call that a correction unwinds, as admission found it. It is stored with the correction, beside
/// what was sent: every fold then applies what the record says and looks nothing up.
public struct StandingCall: Hashable, Sendable {
    /// Of the record of the call itself.
    public var original: UInt64
    /// Of the record that states the version that stood: the call's own, or its last amendment's.
    public var position: UInt64
    /// The call's own time, which no correction moves.
    public var occurredAt: Timestamp
    /// False for `llm.usage`.
    public var isCall: Bool
    /// Of the version that stood.
    public var org: Name?
    public var user: Name?
    public var keySource: Call.KeySource
    /// Whether it used quota: it is an `llm.call` that succeeded or used something.
    public var isCounted: Bool
    public var charge: ChargeRecord

    /// The version that `call` states.
    public init(
        original: UInt64, position: UInt64, occurredAt: Timestamp, isCall: Bool, call: Call, charge: ChargeRecord
    ) {
        self.init(
            original: original, position: position, occurredAt: occurredAt, isCall: isCall, org: call.org,
            user: call.user, keySource: call.keySource, isCounted: isCall && Quota.uses(call, plan: nil),
            charge: charge)
    }

    public init(
        original: UInt64, position: UInt64, occurredAt: Timestamp, isCall: Bool, org: Name?, user: Name?,
        keySource: Call.KeySource = .platform, isCounted: Bool, charge: ChargeRecord
    ) {
        self.original = original
        self.position = position
        self.occurredAt = occurredAt
        self.isCall = isCall
        self.org = org
        self.user = user
        self.keySource = keySource
        self.isCounted = isCounted
        self.charge = charge
    }
}

extension Fact {
    /// What a correction names its call by, `org` where it says whose; nil for any other fact.
    public var corrects: (source: Name, id: Name, org: Name?)? {
        switch self {
        case .callVoided(let voided): (voided.source, voided.id, voided.org)
        case .callAmended(let amended): (amended.source, amended.id, amended.org)
        default: nil
        }
    }

    /// What a correction unwinds, once admission has found it.
    public var unwinds: StandingCall? {
        get {
            switch self {
            case .callVoided(let voided): voided.unwinds
            case .callAmended(let amended): amended.unwinds
            default: nil
            }
        }
        set {
            switch self {
            case .callVoided(var voided):
                voided.unwinds = newValue
                self = .callVoided(voided)
            case .callAmended(var amended):
                amended.unwinds = newValue
                self = .callAmended(amended)
            default:
                precondition(newValue == nil, "\(type) unwinds nothing")
            }
        }
    }
}

extension Rejection {
    /// A correction names a call that the log does not hold.
    public static func unknownCall(source: Name, id: Name) -> Rejection {
        Rejection(
            code: "unknown_call", field: "data.id",
            detail: "no llm.call or llm.usage has the source \(source) and id \(id)")
    }

    /// A correction names a call that several orgs have, and not whose it means.
    public static func ambiguousCall(source: Name, id: Name) -> Rejection {
        Rejection(
            code: "ambiguous_call", field: "data.id",
            detail: "several orgs have a call with the source \(source) and id \(id): say whose with the member org")
    }

    /// A correction names a call that was voided.
    public static func alreadyVoided(id: Name) -> Rejection {
        Rejection(code: "already_voided", field: "data.id", detail: "the call \(id) was voided")
    }
}
