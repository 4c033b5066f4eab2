/// An owner's pool or wallet: the sums of all that ever happened to it.
///
/// `balance` = granted + adjusted - (spent - invoiced) - expired - voided = what is left in lots - overage.
public struct Account: Hashable, Sendable {
    public let owner: Owner
    public internal(set) var granted: Money
    /// Signed: what corrections by hand added and took.
    public internal(set) var adjusted: Money
    /// All charges: what lots paid and what they did not.
    public internal(set) var spent: Money
    /// Part of `spent` that no lot covered and that the plan's overage policy turned into invoice lines.
    public internal(set) var invoiced: Money
    public internal(set) var expired: Money
    public internal(set) var voided: Money
    /// What no lot covered and is not invoiced: the owner's debt, never negative.
    public internal(set) var overage: Money
    /// What is left in all lots, those not yet effective and those ended but not yet recorded as expired included.
    public internal(set) var left: Money
    /// Set aside for running calls. 0 until authorizations come; what is held stays in its lots' `left`.
    public internal(set) var held: Money

    public init(
        owner: Owner, granted: Money = .zero, adjusted: Money = .zero, spent: Money = .zero, invoiced: Money = .zero,
        expired: Money = .zero, voided: Money = .zero, overage: Money = .zero, left: Money = .zero,
        held: Money = .zero
    ) {
        self.owner = owner
        self.granted = granted
        self.adjusted = adjusted
        self.spent = spent
        self.invoiced = invoiced
        self.expired = expired
        self.voided = voided
        self.overage = overage
        self.left = left
        self.held = held
    }

    /// What the statement ends with. Negative when facts used more than there was.
    public var balance: Money { left - overage }

    /// For one that is not conserved.
    var fault: String {
        "account of \(owner.name): granted \(granted.credits) + adjusted \(adjusted.credits) - spent "
            + "\(spent.credits) + invoiced \(invoiced.credits) - expired \(expired.credits) - voided "
            + "\(voided.credits) is not left \(left.credits) - overage \(overage.credits), or one of them is negative"
    }

    /// Whether the sums agree with one another, and none is negative that cannot be.
    public var isConserved: Bool {
        guard left >= .zero, overage >= .zero, invoiced >= .zero, held >= .zero else { return false }
        let came = Int128(granted.nanos) + Int128(adjusted.nanos) + Int128(invoiced.nanos)
        let went = Int128(spent.nanos) + Int128(expired.nanos) + Int128(voided.nanos)
        return came - went == Int128(left.nanos) - Int128(overage.nanos)
    }
}

/// What a user may draw of his org's pool now: the last `credits.allocated` for him.
public struct UserAllocation: Hashable, Sendable {
    public internal(set) var allocation: Allocation
    /// Of its record.
    public internal(set) var position: UInt64

    public init(allocation: Allocation, position: UInt64) {
        self.allocation = allocation
        self.position = position
    }
}

/// What a user with an allocation drew of his org's pool on one day of the events' own time. Kept by day, so that a
/// late call counts in its own period and a new allocation with another period still sees what was drawn in it.
public struct Drawn: Hashable, Sendable {
    public var org: Name
    public var user: Name
    public var day: Day
    public var amount: Money

    public init(org: Name, user: Name, day: Day, amount: Money) {
        self.org = org
        self.user = user
        self.day = day
        self.amount = amount
    }
}

/// An allocation and where it stands in the period asked for.
public struct AllocationStatus: Hashable, Sendable {
    public var allocation: Allocation
    public var drawn: Money
    /// Of the allocation, in its period; not more than the pool may have.
    public var remaining: Money
    /// When `drawn` starts afresh; nil for `never`.
    public var resetsAt: Timestamp?

    public init(allocation: Allocation, drawn: Money, remaining: Money, resetsAt: Timestamp?) {
        self.allocation = allocation
        self.drawn = drawn
        self.remaining = remaining
        self.resetsAt = resetsAt
    }
}
