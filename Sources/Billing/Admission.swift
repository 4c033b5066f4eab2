/// The rules that admission keeps beyond an event's shape. Each refusal names the member at fault.
extension Book {
    /// A charge must fit in the sums of every account it may touch.
    func admit(_ call: Call, charge: Money) throws(Rejection) {
        try admit(call, charge: charge, at: ledger.findPlaces(of: call))
    }

    /// The same, where the accounts are known.
    func admit(_ call: Call, charge: Money, at places: Ledger.CallPlaces) throws(Rejection) {
        guard call.org != nil || call.user != nil else {
            throw Rejection(code: "owner_missing", field: "data.org", detail: "a call has an org or a user")
        }
        if charge == .zero { return }
        if let org = places.org { try admit(charge, to: org) }
        if let user = places.user { try admit(charge, to: user) }
    }

    private func admit(_ charge: Money, to account: Int) throws(Rejection) {
        guard ledger.accounts[account].sums.spent.adding(charge) != nil,
            ledger.accounts[account].sums.overage.adding(charge) != nil
        else { throw Book.outOfRange("data.usage", "what \(ledger.accounts[account].sums.owner.name) spent in all") }
    }

    /// What is asked of an event that comes in, and of none that is stored: a stored one is folded as it is, whatever
    /// the rules were when it came. The writer asks it beside `take`.
    /// - Parameter confinedTo: the org that the sender is confined to.
    public func admitNew(_ event: Event, at time: Timestamp, confinedTo: Name? = nil) throws(Rejection) {
        if let refusal = event.fact.costRefusal { throw refusal }
        if case .planAssigned(let assignment) = event.fact {
            try admitSubscription(of: assignment, from: assignment.effectiveAt ?? time, confinedTo: confinedTo)
        }
    }

    func admitControl(_ event: Event, at time: Timestamp) throws(Rejection) {
        switch event.fact {
        case .planAssigned(let assignment):
            guard catalog.knows(plan: assignment.plan) else {
                throw Rejection(
                    code: "unknown_plan", field: "data.plan", detail: "no plan.defined names \(assignment.plan)")
            }
        case .creditsGranted(let grant):
            try admitLot(event.id, owner: grant.owner, credits: grant.credits)
            if let end = grant.expiresAt, end <= grant.effectiveAt ?? time {
                throw Rejection(
                    code: "invalid", field: "data.expires_at",
                    detail: "\(end.rfc3339) is not after the lot's effective time")
            }
        case .creditsAdjusted(let adjustment):
            if adjustment.credits > .zero {
                try admitLot(event.id, owner: adjustment.owner, credits: adjustment.credits)
            } else {
                let account = ledger.account(adjustment.owner) ?? Account(owner: adjustment.owner)
                // -Int64.min is no amount; nothing that large can be taken.
                guard adjustment.credits.nanos > Int64.min, account.adjusted.adding(adjustment.credits) != nil,
                    account.overage.adding(-adjustment.credits) != nil
                else { throw Book.outOfRange("data.credits", "the account of \(adjustment.owner.name)") }
            }
        case .creditsVoided(let voided):
            let lot = try knownLot(voided.lot)
            guard lot.left > .zero else {
                throw Rejection(code: "lot_empty", field: "data.lot", detail: "nothing is left of \(lot.id)")
            }
            // What adjustments give and take leaves no trace in what is granted: nothing else bounds it.
            guard ledger.account(lot.owner)?.voided.adding(lot.left) != nil else {
                throw Book.outOfRange("data.lot", "what was voided of \(lot.owner.name)")
            }
        case .creditsExpired(let expired):
            let lot = try knownLot(expired.lot)
            guard let end = lot.expiresAt, end <= time, lot.left > .zero else {
                throw Rejection(
                    code: "lot_not_ended", field: "data.lot", detail: "\(lot.id) has not ended with something left")
            }
            guard lot.left == expired.credits else {
                throw Rejection(
                    code: "expiry_mismatch", field: "data.credits",
                    detail: "\(lot.left.credits) is left of \(lot.id), not \(expired.credits.credits)")
            }
        case .creditsAllocated(let allocation):
            guard allocation.credits >= .zero else {
                throw Rejection(code: "invalid", field: "data.credits", detail: "is negative")
            }
        case .planDefined(let plan):
            guard plan.markup.isMarkup else {
                throw Rejection(code: "invalid", field: "data.markup", detail: "is not in -1...1000")
            }
        case .pricesPublished(let list): try Book.admit(list)
        case .authorizationGranted, .authorizationDenied, .authorizationReleased, .authorizationExpired:
            try admitAuthorization(event.fact, at: time)
        case .alertDefined(let alert): try admit(alert)
        case .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed: break
        case .call, .usage, .callVoided, .callAmended:
            preconditionFailure("calls are admitted with their charge")
        }
    }

    /// The parts that a rating relies on. The shape of the event says the same and more; this keeps a list that came in
    /// some other way from ever being rated by.
    private static func admit(_ list: PriceList) throws(Rejection) {
        func isNegative(_ decimal: Decimal?) -> Bool { (decimal?.mantissa ?? 0) < 0 }
        for (index, rule) in list.rules.enumerated() {
            guard rule.per == 1000 || rule.per == 1_000_000 else {
                throw Rejection(code: "invalid", field: "data.rules[\(index)].per", detail: "is not 1000 or 1000000")
            }
            let prices = [
                rule.anyToken, rule.input, rule.output, rule.cacheRead, rule.cacheWrite, rule.reasoning, rule.perCall,
                rule.perImage, rule.perAudioSecond, rule.perSearch, rule.reportedCost,
            ]
            if prices.contains(where: isNegative) {
                throw Rejection(code: "invalid", field: "data.rules[\(index)]", detail: "has a negative price")
            }
        }
        for (index, multiplier) in list.multipliers.enumerated()
        where multiplier.values.contains(where: { isNegative($0.factor) }) {
            throw Rejection(code: "invalid", field: "data.multipliers[\(index)]", detail: "has a negative factor")
        }
        if isNegative(list.cacheHit) {
            throw Rejection(code: "invalid", field: "data.cache_hit", detail: "is negative")
        }
    }

    /// A name stays with its owner until the alert has ended: who copies a definition from one org to the next must not
    /// take the first one's away.
    private func admit(_ alert: Alert) throws(Rejection) {
        let known = catalog.alert(alert.name)
        if let known, known.isEnabled, known.owner != alert.owner {
            throw Rejection(
                code: "alert_exists", field: "data.alert",
                detail: "the alert \(alert.name) is another owner's; give this one a name of its own",
                holder: known.owner)
        }
        guard alert.isEnabled, known?.isEnabled != true else { return }
        guard catalog.alertCount(of: alert.owner) < Alert.perOwnerMax else {
            throw Rejection(
                code: "too_many_alerts", field: "data.alert",
                detail: "\(alert.owner.name) has \(Alert.perOwnerMax) alerts, the most an owner can have")
        }
    }

    /// A subscription's usage goes to one owner at a time: who takes it over takes calls and overage of another. One
    /// that no plan names stands for the owner of its name, whose it stays for who may only speak for another org.
    private func admitSubscription(
        of assignment: Assignment, from time: Timestamp, confinedTo: Name?
    ) throws(Rejection) {
        guard let subscription = assignment.lago?.externalSubscriptionID else { return }
        let named = [Owner.org(subscription), .user(subscription)].first {
            confinedTo != nil && $0 != assignment.owner && knows($0)
        }
        guard let holder = catalog.holder(ofSubscription: subscription, from: time, besides: assignment.owner) ?? named
        else { return }
        throw Rejection(
            code: "subscription_taken", field: "data.lago.external_subscription_id",
            detail: "\(holder.name) has it then or later; an assignment of \(holder.name) without lago frees it from "
                + "its own effective time on",
            holder: holder)
    }

    /// Whether some record spoke of credits, a plan or calls of an owner.
    private func knows(_ owner: Owner) -> Bool {
        ledger.account(owner) != nil || catalog.knows(owner: owner) || counts?.knows(owner) == true
    }

    private func admitLot(_ id: Name, owner: Owner, credits: Money) throws(Rejection) {
        if let lot = ledger.lot(id) {
            throw Rejection(
                code: "lot_exists", field: "id", detail: "a lot with the id \(id) exists", holder: lot.owner)
        }
        guard credits > .zero else {
            throw Rejection(code: "invalid", field: "data.credits", detail: "is not over 0")
        }
        let account = ledger.account(owner) ?? Account(owner: owner)
        guard account.granted.adding(credits) != nil, account.left.adding(credits) != nil,
            account.adjusted.adding(credits) != nil
        else { throw Book.outOfRange("data.credits", "the account of \(owner.name)") }
    }

    private func knownLot(_ id: Name) throws(Rejection) -> Lot {
        guard let lot = ledger.lot(id) else {
            throw Rejection(code: "lot_unknown", field: "data.lot", detail: "no lot has the id \(id)")
        }
        return lot
    }

    private static func outOfRange(_ field: String, _ what: String) -> Rejection {
        Rejection(
            code: "amount_out_of_range", field: field,
            detail: "\(what) would pass \(Money(nanos: .max).credits) credits")
    }
}

extension Fact {
    /// Why an event that states a call is not stored for the cost that it reports; nil when it may be. A rule of
    /// admission alone: the folds do not ask it, so that what is in a log is folded.
    public var costRefusal: Rejection? {
        let cost: Decimal?
        var field = "data.cost_usd"
        switch self {
        case .call(let call), .usage(let call):
            cost = call.cost
        case .callAmended(let amended):
            cost = amended.call.cost
            field = "data.call.cost_usd"
        default:
            return nil
        }
        guard let cost, cost.sum(of: Decimal.scaleMax) > Call.costMax.sum(of: Decimal.scaleMax) else { return nil }
        return Rejection(
            code: "cost_out_of_range", field: field,
            detail: "a call that cost more than \(Call.costMax.text) USD is taken for a mistake")
    }
}

extension Decimal {
    /// -1 makes everything free, and there is nothing below that.
    fileprivate var isMarkup: Bool {
        guard let micros = rescaled(to: 6), scale <= 6 else { return false }
        return (-1_000_000...1_000_000_000).contains(micros)
    }
}
