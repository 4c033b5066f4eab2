public import Billing
public import JSON

/// An explanation as JSON: what `GET /v1/events/{position}/explanation` and `tallystick-replay explain --json` say.
public enum ExplanationFormat {
    /// One object. Amounts are credits unless a name or a unit beside them says otherwise.
    public static func write(_ explanation: Explanation, into json: inout JSONWriter) {
        json.beginObject()
        writeMembers(of: explanation, into: &json)
        json.endObject()
    }

    /// The members of that object, for one that says more.
    /// - Parameter org: of a key that is confined to it. What a correction gave back to another org is left out, and so
    ///   are balances of wallets, which are of no one org.
    public static func writeMembers(
        of explanation: Explanation, for org: Name? = nil, into json: inout JSONWriter
    ) {
        let event = explanation.event
        json.member("position", integer: explanation.position)
        json.member("type", string: event.fact.type)
        json.member("source", string: event.source.text)
        json.member("id", string: event.statedID)
        json.member("time", string: explanation.occurredAt.rfc3339)
        if let charge = explanation.charge {
            json.key("charge")
            write(charge, into: &json)
        }
        if let standing = event.fact.unwinds, org == nil || standing.org == org {
            json.key("unwinds")
            json.object { json in
                json.member("position", integer: standing.position)
                json.member("call_position", integer: standing.original)
                json.member("call_time", string: standing.occurredAt.rfc3339)
                json.member("credits", string: standing.charge.total.credits)
                json.member("uses_quota", bool: standing.isCounted)
            }
        }
        json.key("movements")
        json.array(explanation.movements.filter { $0.isShown(to: org) }) { json, movement in
            write(movement, balance: org == nil || movement.owner == org.map(Owner.org), into: &json)
        }
        if let settlement = explanation.settlement {
            json.key("settlement")
            json.object { json in
                json.member("authorization", string: settlement.authorization.text)
                json.member("kind", string: settlement.kind.name)
                json.member("held_credits", string: settlement.held.credits)
                json.member("charged_credits", string: explanation.charge?.rating.charge.credits)
            }
        }
        json.key("corrections")
        json.array(explanation.corrections) { $0.integer($1) }
        json.member("adds_up", bool: explanation.fault == nil)
        json.member("fault", string: explanation.fault)
    }

    private static func write(_ charge: ChargeExplanation, into json: inout JSONWriter) {
        json.object { json in
            json.member("credits", string: charge.rating.charge.credits)
            json.member("notional_credits", string: charge.rating.notional.credits)
            json.member("call_time", string: charge.time.rfc3339)
            json.member("because", string: charge.because)
            json.member("unpriced", string: charge.rating.unpriced?.name)
            if let prices = charge.prices { write(prices, into: &json) }
            if let trace = charge.trace { write(trace, charge, into: &json) }
            if let standing = charge.standing { write(standing, into: &json) }
            if let payer = charge.payer {
                json.key("pays")
                json.object { json in
                    json.owner(payer)
                    json.member("because", string: charge.paysBecause)
                }
            }
            json.member("uses_quota", bool: charge.usesQuota)
            json.key("limits")
            json.array(charge.limits) { json, counted in
                json.object { json in
                    json.owner(counted.owner)
                    json.member("plan", string: counted.plan.text)
                    json.member("limit", integer: counted.limit.limit)
                    json.member("per", string: counted.limit.per.name)
                    json.member("from", string: counted.window?.lowerBound.start.rfc3339)
                    json.member("to", string: counted.window?.upperBound.start.rfc3339)
                }
            }
        }
    }

    private static func write(_ prices: ChargeExplanation.Prices, into json: inout JSONWriter) {
        json.key("price_list")
        json.object { json in
            json.member("position", integer: prices.position)
            json.member("effective_at", string: prices.effective.rfc3339)
            json.member("unit", string: prices.unit.name)
            json.member("rules", integer: prices.ruleCount)
        }
        guard let rule = prices.rule else { return }
        json.key("rule")
        json.object { json in
            json.member("index", integer: prices.ruleIndex)
            json.rule(rule)
        }
    }

    private static func write(_ trace: RatingTrace, _ charge: ChargeExplanation, into json: inout JSONWriter) {
        json.key("parts")
        json.array(trace.parts) { json, part in
            json.object { json in
                json.member("kind", string: part.kind.name)
                json.member("quantity", string: part.quantity.text)
                json.member("price", string: part.price.text)
                json.member("per", integer: part.per)
                json.member("amount", string: part.amount)
            }
        }
        json.member("sum", string: trace.sum)
        json.member("sum_unit", string: trace.unit)
        json.key("factors")
        json.array(trace.steps) { json, step in
            json.object { json in
                json.member("name", string: step.name)
                json.member("value", string: charge.value(of: step))
                json.member("factor", string: step.factor.text)
            }
        }
        json.member("product_credits", string: trace.product)
    }

    private static func write(_ standing: Standing, into json: inout JSONWriter) {
        json.key("plan")
        json.object { json in
            json.member("name", string: standing.plan.name.text)
            json.key("assigned_to")
            json.object { $0.owner(standing.assignment.owner) }
            json.member("effective_at", string: standing.effective.rfc3339)
            json.member("markup", string: standing.plan.markup.text)
            json.member("funding", string: standing.assignment.funding.name)
            json.member("overage", string: standing.plan.overage.name)
        }
    }

    private static func write(_ movement: Movement, balance: Bool, into json: inout JSONWriter) {
        json.object { json in
            json.owner(movement.owner)
            json.member("what", string: movement.kind.name)
            json.member("amount_credits", string: movement.amount.credits)
            if balance { json.member("balance_credits", string: movement.balanceAfter.credits) }
            if case .org = movement.owner { json.member("user", string: movement.user?.text) }
            if movement.overage != .zero { json.member("overage_credits", string: movement.overage.credits) }
            if movement.invoiced != .zero { json.member("invoiced_credits", string: movement.invoiced.credits) }
            json.key("slices")
            json.slices(movement.slices)
        }
    }
}

extension JSONWriter {
    public mutating func slices(_ slices: [Slice]) {
        array(slices) { json, slice in
            json.object { json in
                json.member("lot", string: slice.lot.text)
                json.member("credits", string: slice.amount.credits)
            }
        }
    }
}

extension Movement {
    fileprivate func isShown(to org: Name?) -> Bool {
        guard let org, case .org = owner else { return true }
        return owner == .org(org)
    }
}

extension RatingTrace.Step {
    /// The attribute of a multiplier; "markup"; "cache_hit".
    public var name: String {
        switch self {
        case .multiplier(let name, _): name
        case .markup: "markup"
        case .cacheHit: "cache_hit"
        }
    }
}

/// Why, in sentences.
extension ChargeExplanation {
    /// What the call said that picked a multiplier; nil for other factors.
    public func value(of step: RatingTrace.Step) -> String? {
        guard case .multiplier(let name, _) = step else { return nil }
        return call.attributes.first { $0.name.text.utf8.elementsEqual(name.utf8) }?.value
    }

    /// Of the charge.
    public var because: String {
        switch rating.unpriced {
        case .noList: return "no price list was in force at the call's time: charged 0 until it is amended"
        case .noRule: return "no rule of the list matches: charged 0 until it is amended"
        case .noCost: return "the rule takes the reported cost, and none was reported: charged 0"
        case .noUsage: return "the rule prices what was used, and the call does not say what was used: charged 0"
        case nil: break
        }
        if call.keySource == .byok { return "the call ran on the owner's own provider key: charged 0" }
        if call.status == .failure && !call.hasUsage { return "a failure that used nothing: charged 0" }
        if call.cacheHit { return "an answer from the gateway's cache: priced, times the list's cache_hit factor" }
        return "the first rule that matches, of the list in force at the call's time"
    }

    /// Of who pays.
    public var paysBecause: String {
        guard call.org != nil else { return "a call without an org is paid from its user's wallet" }
        guard call.user != nil else { return "a call without a user is paid from its org's pool" }
        guard let standing else { return "without a plan the org's pool pays" }
        let plan = standing.plan.name.text
        switch standing.assignment.funding {
        case .org: return "the plan \(plan) is funded by the org: its pool pays"
        case .user: return "the plan \(plan) is funded by the user: his wallet pays"
        case .orgThenUser: return "the plan \(plan) is funded by the org, then by the user's wallet"
        }
    }
}
