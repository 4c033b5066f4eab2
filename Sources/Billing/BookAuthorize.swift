/// Whether a call may run, before it does (contract 5).
extension Book {
    /// Decides over calls, allocation, credits, overage policy and running holds at once, and changes nothing: what is
    /// granted holds from the event on. The writer decides and applies without anything between.
    /// Throws `owner_missing`, or `amount_out_of_range` when the estimate fits in no amount.
    public func authorize(
        _ request: AuthorizationRequest, at time: Timestamp
    ) throws(Rejection) -> AuthorizationDecision {
        guard let payerOwner = request.org.map(Owner.org) ?? request.user.map(Owner.user) else {
            throw Rejection(code: "owner_missing", field: "org", detail: "an authorization has an org or a user")
        }
        let assigned = catalog.governing(request.call, at: time)
        let plan = assigned.flatMap { catalog.definition($0.assignment.plan, at: time) }
        let requested = try self.requested(request, at: time)
        let funding = assigned?.assignment.funding ?? .org
        let calls = callsStanding(org: request.org, user: request.user, keySource: request.keySource, at: time)
        let room = ledger.room(org: request.org, user: request.user, funding: funding, at: time)
        let policy = plan.flatMap { plan in assigned.map { plan.plan.overage(under: $0.assignment) } }
        let (available, credits) = Book.judge(
            requested, room: room, policy: policy ?? .block, limit: plan?.plan.overageLimit)
        var decision = AuthorizationDecision(refusal: nil, requested: requested, available: available, calls: calls)
        if let full = calls.first(where: { !$0.status.allowsOneMore }) {
            decision.retryAt = Book.retryAt(calls)
            decision.refusal = Refusal(
                rule: .calls, owner: full.owner, requested: requested, available: available,
                calls: Refusal.Calls(
                    per: full.status.limit.per, limit: full.status.limit.limit, used: full.status.used,
                    running: full.running, resetsAt: full.status.resetsAt))
        } else if let rule = credits {
            let payer = Ledger.payer(org: request.org, user: request.user, funding: funding) ?? payerOwner
            if rule == .allocation, let reset = room.allocationReset,
                Int128(requested.nanos) - room.wallet <= Int128(reset.credits.nanos)
            {
                decision.retryAt = reset.at
            }
            decision.refusal = Refusal(rule: rule, owner: payer, requested: requested, available: available)
        }
        return decision
    }

    /// What a question at `time` comes to: the credits it names, else what the call would be charged. Throws
    /// `amount_out_of_range` when that fits in no amount.
    public func requested(_ request: AuthorizationRequest, at time: Timestamp) throws(Rejection) -> Money {
        if let credits = request.credits { return request.keySource == .byok ? .zero : credits }
        return try catalog.rate(request.call, at: time).charge
    }

    /// When every limit that refuses starts afresh; nil when one never does.
    private static func retryAt(_ calls: [CallsStanding]) -> Timestamp? {
        var latest: Timestamp?
        for full in calls where !full.status.allowsOneMore {
            guard let resetsAt = full.status.resetsAt else { return nil }
            latest = max(latest ?? resetsAt, resetsAt)
        }
        return latest
    }

    /// The rule that would refuse a call that costs `charge`, were it asked for now; nil when none would. Of a call
    /// that came already: the hold that it settles must have ended.
    func refusal(
        of call: Call, charge: Money, by terms: Terms, at time: Timestamp
    ) -> Refusal.Rule? {
        let calls = callsStanding(org: call.org, user: call.user, keySource: call.keySource, at: time)
        if calls.contains(where: { !$0.status.allowsOneMore }) { return .calls }
        if charge == .zero { return nil }
        let room = ledger.room(
            org: call.org, user: call.user, funding: terms.funding, at: time)
        return Book.judge(
            charge, room: room, policy: terms.overage ?? .block, limit: terms.definition?.plan.overageLimit
        ).refusal
    }

    /// What could be held at most, and the rule that refuses `requested`.
    private static func judge(
        _ requested: Money, room: Ledger.Room, policy: Plan.OveragePolicy, limit: Money?
    ) -> (available: Money, refusal: Refusal.Rule?) {
        let need = Int128(requested.nanos)
        let allocation = room.allocation.map { Int128($0.nanos) } ?? Int128.max
        let covered = min(max(0, room.first), allocation)
        // What the policy adds to credits: on the account that pays first, within the user's allocation.
        let isUnlimited: Bool
        var overage: Int128 = 0
        switch (policy, limit) {
        case (.block, _):
            isUnlimited = false
        case (.allow, let limit?):
            isUnlimited = false
            // Debt and holds beyond the credits there are use the limit up.
            overage = max(0, room.first + Int128(limit.nanos)) - max(0, room.first)
        case (.allow, nil), (.invoice, _):
            isUnlimited = true
        }
        overage = min(overage, allocation - covered)
        let most = covered + room.wallet + overage
        let available = Money(nanos: Int64(min(most, Int128(Int64.max))))
        if requested == .zero { return (available, nil) }
        if need - room.wallet > allocation { return (available, .allocation) }
        return (available, isUnlimited || need <= most ? nil : .credits)
    }

    /// Every limit of the org's plan and of the user's: each must have room.
    private func callsStanding(
        org: Name?, user: Name?, keySource: Call.KeySource, at time: Timestamp
    ) -> [CallsStanding] {
        guard let counts else { preconditionFailure("a book that does not count calls cannot authorize") }
        var standings: [CallsStanding] = []
        for owner in [org.map(Owner.org), user.map(Owner.user)] {
            guard let owner, let assigned = catalog.assigned(owner, at: time),
                let plan = catalog.definition(assigned.assignment.plan, at: time)?.plan
            else { continue }
            if keySource == .byok && !plan.byokCountsCalls { continue }
            for limit in plan.calls {
                let anchorDay = assigned.assignment.anchorDay
                let window = Quota.window(limit.per, containing: time.day, anchorDay: anchorDay)
                let used = counts.used(by: owner, in: window, countsByok: plan.byokCountsCalls)
                let running = counts.running(by: owner, countsByok: plan.byokCountsCalls)
                var status = Quota.status(limit, used: used + running, at: time, anchorDay: anchorDay)
                status.used = used
                standings.append(CallsStanding(owner: owner, status: status, running: running))
            }
        }
        return standings
    }

    // MARK: - Events of authorizations

    func admitAuthorization(_ fact: Fact, at time: Timestamp) throws(Rejection) {
        switch fact {
        case .authorizationGranted(let granted):
            let key = try holdKey(granted.subject.id, org: granted.subject.org, user: granted.subject.user)
            guard ledger.hold(key) == nil else {
                throw Rejection(
                    code: "authorization_exists", field: "data.id", detail: "the authorization \(key.id) is running")
            }
            let owners = [granted.subject.org.map(Owner.org), granted.subject.user.map(Owner.user)].compactMap { $0 }
            let fits = owners.allSatisfy { (ledger.account($0)?.held ?? .zero).adding(granted.held) != nil }
            guard granted.held >= .zero, fits else {
                throw Rejection(code: "amount_out_of_range", field: "data.held_credits", detail: "cannot be held")
            }
        case .authorizationDenied(let denied):
            _ = try holdKey(denied.subject.id, org: denied.subject.org, user: denied.subject.user)
        case .authorizationReleased(let ended), .authorizationExpired(let ended):
            let key = try holdKey(ended.id, org: ended.org, user: ended.user)
            guard let hold = ledger.hold(key) else {
                throw Rejection(
                    code: "unknown_authorization", field: "data.id", detail: "no authorization \(ended.id) is running")
            }
            if case .authorizationExpired = fact, hold.expiresAt > time {
                throw Rejection(
                    code: "authorization_running", field: "data.id",
                    detail: "the authorization \(ended.id) runs until \(hold.expiresAt.rfc3339)")
            }
        default:
            preconditionFailure("\(fact.type) is of no authorization")
        }
    }

    mutating func applyAuthorization(_ fact: Fact, position: UInt64, at time: Timestamp) {
        switch fact {
        case .authorizationGranted(let granted):
            let subject = granted.subject
            guard let key = HoldKey(org: subject.org, user: subject.user, id: subject.id) else {
                preconditionFailure("position \(position): an authorization of nobody")
            }
            let call = Call(
                org: subject.org, user: subject.user, provider: subject.provider, model: subject.model,
                operation: subject.operation, status: .success)
            let assigned = catalog.governing(call, at: time)
            ledger.hold(
                granted, key: key, funding: assigned?.assignment.funding ?? .org, position: position, at: time)
            counts?.run(1, subject.keySource, org: subject.org, user: subject.user)
        case .authorizationReleased(let ended), .authorizationExpired(let ended):
            guard let key = HoldKey(org: ended.org, user: ended.user, id: ended.id), end(key) != nil else {
                preconditionFailure("position \(position): no authorization \(ended.id) is running")
            }
        default:
            break
        }
    }

    /// Ends the hold that a call names, before the call is charged. Nil when it names none.
    mutating func settle(_ call: Call, charge: Money) -> Settlement? {
        guard let id = call.authorization, let key = HoldKey(org: call.org, user: call.user, id: id) else { return nil }
        guard let hold = end(key) else { return Settlement(authorization: id, kind: .late, held: .zero) }
        return Settlement(
            authorization: id, kind: charge > hold.amount ? .exceeded : .covered, held: hold.amount)
    }

    @discardableResult
    mutating func end(_ key: HoldKey) -> Hold? {
        guard let hold = ledger.release(key) else { return nil }
        counts?.run(-1, hold.keySource, org: hold.org, user: hold.user)
        return hold
    }

    private func holdKey(_ id: Name, org: Name?, user: Name?) throws(Rejection) -> HoldKey {
        guard let key = HoldKey(org: org, user: user, id: id) else {
            throw Rejection(code: "owner_missing", field: "data.org", detail: "an authorization has an org or a user")
        }
        return key
    }
}
