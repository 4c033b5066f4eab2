/// Credits granted together: the event's id is the lot's id.
public struct Grant: Hashable, Sendable {
    public enum Category: UInt8, CaseIterable, Sendable {
        case paid, promo, plan, refund
        public var name: String { String(describing: self) }
    }
    public static let priorityDefault: UInt8 = 100

    public var owner: Owner
    /// Over zero.
    public var credits: Money
    public var category: Category
    /// 0 burns first.
    public var priority: UInt8
    public var effectiveAt: Timestamp?
    public var expiresAt: Timestamp?
    public var paid: Money?
    public var reference: String?

    public init(
        owner: Owner, credits: Money, category: Category, priority: UInt8 = Grant.priorityDefault,
        effectiveAt: Timestamp? = nil, expiresAt: Timestamp? = nil, paid: Money? = nil, reference: String? = nil
    ) {
        self.owner = owner
        self.credits = credits
        self.category = category
        self.priority = priority
        self.effectiveAt = effectiveAt
        self.expiresAt = expiresAt
        self.paid = paid
        self.reference = reference
    }
}

/// Voids what is left of a lot.
public struct LotVoided: Hashable, Sendable {
    public var lot: Name
    public var reason: String

    public init(lot: Name, reason: String) {
        self.lot = lot
        self.reason = reason
    }
}

/// A lot's end has passed. `credits` is what was left of it when the daemon wrote this.
public struct LotExpired: Hashable, Sendable {
    public var lot: Name
    public var credits: Money

    public init(lot: Name, credits: Money) {
        self.lot = lot
        self.credits = credits
    }
}

/// What a user may draw of his org's pool. Replaces the user's earlier allocation; 0 blocks.
public struct Allocation: Hashable, Sendable {
    public enum Mode: UInt8, CaseIterable, Sendable {
        /// A ceiling on the user's draw from the pool.
        case cap
        /// Moved out of the pool.
        case carveOut
        public var name: String { self == .cap ? "cap" : "carve_out" }
    }
    public var org: Name
    public var user: Name
    public var mode: Mode
    public var credits: Money
    public var period: Period

    public init(org: Name, user: Name, mode: Mode, credits: Money, period: Period) {
        self.org = org
        self.user = user
        self.mode = mode
        self.credits = credits
        self.period = period
    }
}

/// A correction by hand. Positive credits make a lot with the event's id; negative ones burn lots as a charge does.
public struct Adjustment: Hashable, Sendable {
    public var owner: Owner
    /// Signed, not zero.
    public var credits: Money
    public var reason: String
    public var reference: String?

    public init(owner: Owner, credits: Money, reason: String, reference: String? = nil) {
        self.owner = owner
        self.credits = credits
        self.reason = reason
        self.reference = reference
    }
}
