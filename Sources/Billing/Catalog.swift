/// Plans, assignments and prices as published so far: the part of the book that says what rules hold when.
public struct Catalog: Sendable {
    public init() {}

    /// Folds `plan.defined`, `plan.assigned` and `prices.published`; anything else changes nothing.
    public mutating func apply(_ fact: Fact, position: UInt64, at occurredAt: Timestamp) {}

    /// The owner behind a subscription id of an assigned plan, the newest assignment winning.
    public func owner(ofSubscription subscription: Name) -> Owner? { nil }

    /// The plan `owner` has at `time`.
    public func standing(of owner: Owner, at time: Timestamp) -> Standing? { nil }

    /// The standing that governs a call: the user's own if he has one at that time, else the org's.
    public func standing(for call: Call, at time: Timestamp) -> Standing? { nil }

    /// Rates a call by the list in force at `time`, times multipliers, times markup; rounded once, half to even.
    /// Throws when the charge does not fit in 64 bits of n$.
    public func rate(_ call: Call, at time: Timestamp) throws(Rejection) -> Rating {
        Rating(charge: .zero, notional: .zero)
    }
}

/// A plan in force for an owner.
public struct Standing: Sendable {
    public var assignment: Assignment
    public var plan: Plan

    public init(assignment: Assignment, plan: Plan) {
        self.assignment = assignment
        self.plan = plan
    }
}
