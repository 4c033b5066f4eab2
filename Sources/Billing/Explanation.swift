/// Why a call costs what it costs, before anyone pays: the rules that held, and how they were applied.
public struct ChargeExplanation: Hashable, Sendable {
    /// The list in force at the call's own time, among those published before its record.
    public struct Prices: Hashable, Sendable {
        /// Of its `prices.published` record.
        public var position: UInt64
        public var effective: Timestamp
        public var unit: PriceList.Unit
        public var ruleCount: Int
        /// The first rule that matches, and its index from 0. Nil: none does.
        public var rule: PriceRule?
        public var ruleIndex: Int?
    }
    /// A call limit that the call counts against.
    public struct CountedLimit: Hashable, Sendable {
        public var owner: Owner
        public var plan: Name
        public var limit: Plan.CallLimit
        /// The days `[start, end)` that it counts in; nil for `ever`.
        public var window: Range<Day>?
    }

    public var call: Call
    /// The call's own time, which no correction moves.
    public var time: Timestamp
    /// False for `llm.usage`.
    public var isCall: Bool
    public var rating: Rating
    /// Nil when no price applied: `rating.unpriced` says why, unless nothing would have been charged anyway.
    public var trace: RatingTrace?
    public var prices: Prices?
    /// What governs the call: the user's own plan if he has one, else the org's. Nil: none.
    public var standing: Standing?
    /// Whose account pays first, and takes the overage. Nil: a call without an owner, which costs nothing.
    public var payer: Owner?
    /// It counts as a call that uses quota.
    public var usesQuota: Bool
    /// Limits it counts against: of the org's plan, then of the user's.
    public var limits: [CountedLimit]

    /// Nil when the parts give the charge.
    public var fault: String? {
        if let trace { return trace.fault(of: rating) }
        return rating.charge == .zero ? nil : "\(rating.charge.credits) credits are charged and no price applied"
    }
}

extension Catalog {
    /// What `rate` says, with every step: by the same function, which takes notes here.
    /// Throws `amount_out_of_range` where `rate` does: never for a call that was stored.
    public func explain(_ call: Call, at time: Timestamp, isCall: Bool = true) throws(Rejection) -> ChargeExplanation {
        let terms = terms(for: call, at: time)
        let tracer = RatingTracer()
        let rating = try Catalog.rate(call, by: terms, countsCall: isCall, tracer: tracer)
        let usesQuota = isCall && Quota.uses(call, plan: nil)
        return ChargeExplanation(
            call: call, time: time, isCall: isCall, rating: rating,
            trace: tracer.trace.digits == 0 ? nil : tracer.trace,
            prices: terms.prices.map { index in
                ChargeExplanation.Prices(
                    position: index.position, effective: index.effective, unit: index.list.unit,
                    ruleCount: index.list.rules.count, rule: terms.priceRule?.rule, ruleIndex: terms.rule)
            },
            standing: standing(for: call, at: time),
            payer: Ledger.payer(
                org: call.org, user: call.user, funding: terms.funding),
            usesQuota: usesQuota, limits: usesQuota ? limits(counting: call, at: time) : [])
    }

    private func limits(counting call: Call, at time: Timestamp) -> [ChargeExplanation.CountedLimit] {
        var limits: [ChargeExplanation.CountedLimit] = []
        for owner in [call.org.map(Owner.org), call.user.map(Owner.user)] {
            guard let owner, let standing = standing(of: owner, at: time), Quota.uses(call, plan: standing.plan) else {
                continue
            }
            for limit in standing.plan.calls {
                limits.append(
                    ChargeExplanation.CountedLimit(
                        owner: owner, plan: standing.plan.name, limit: limit,
                        window: Quota.window(
                            limit.per, containing: time.day, anchorDay: standing.assignment.anchorDay)))
            }
        }
        return limits
    }
}

/// All that one record did to money, and why; for a call, what became of it since.
public struct Explanation: Hashable, Sendable {
    public var position: UInt64
    public var event: Event
    public var occurredAt: Timestamp
    /// Of a call, of usage, and of the corrected call in an amendment.
    public var charge: ChargeExplanation?
    /// In the order in which the ledger made them.
    public var movements: [Movement]
    /// Of a call that names an authorization.
    public var settlement: Settlement?
    /// Positions of the corrections of this call, in order: each unwinds the version before it.
    public var corrections: [UInt64]

    public init(
        position: UInt64, event: Event, occurredAt: Timestamp, charge: ChargeExplanation?, movements: [Movement],
        settlement: Settlement?, corrections: [UInt64]
    ) {
        self.position = position
        self.event = event
        self.occurredAt = occurredAt
        self.charge = charge
        self.movements = movements
        self.settlement = settlement
        self.corrections = corrections
    }

    /// Adds the parts up again: price x quantity x factors = the charge = what was taken from lots + overage; what a
    /// correction gives back = what it unwinds. Nil when all agrees, else what does not.
    public var fault: String? {
        if let fault = charge?.fault { return fault }
        var charged = Money.zero
        var refunded = Money.zero
        for movement in movements {
            let sliced = movement.slices.reduce(movement.overage) { $0 + $1.amount }
            if sliced != -movement.amount {
                return "slices and overage of the \(movement.kind.name) are \(sliced.credits) credits, "
                    + "not \((-movement.amount).credits)"
            }
            if movement.invoiced.nanos.magnitude > movement.overage.nanos.magnitude {
                return "\(movement.invoiced.credits) credits are invoiced of \(movement.overage.credits) overage"
            }
            switch movement.kind {
            case .charge: charged -= movement.amount
            case .refund: refunded += movement.amount
            default: break
            }
        }
        let due = charge?.rating.charge ?? .zero
        if charged != due { return "\(charged.credits) credits were taken for a charge of \(due.credits)" }
        let unwound = event.fact.unwinds?.charge.total ?? .zero
        if refunded != unwound { return "\(refunded.credits) credits went back of \(unwound.credits)" }
        return nil
    }
}
