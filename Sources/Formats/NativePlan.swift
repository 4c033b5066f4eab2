internal import Billing
internal import JSON

private let limitWindows = Choices(Plan.CallLimit.Per.allCases, \.name)
private let enforcements = Choices(Plan.CallLimit.Enforce.allCases, \.name)
private let intervals = Choices(Plan.Interval.allCases, \.name)
private let policies = Choices(Plan.OveragePolicy.allCases, \.name)
private let fundings = Choices(Assignment.Funding.allCases, \.name)

/// The largest call limit.
private let limitMax: Int64 = 1_000_000_000_000
private let markupDecimalsMax = 6
/// -1 (free) to 1000 (a thousandfold on top), in millionths.
private let markupMillionths: ClosedRange<Int64> = -1_000_000...1_000_000_000

/// `data` of the `plan.*` events. The next value is an object.
extension NativeParser {
    mutating func plan() throws(JSONError) -> Fact? {
        var plan: Name?
        var calls: [Plan.CallLimit]?
        var markup: Decimal?
        var price: Money?
        var interval: Plan.Interval?
        var byokCountsCalls: Bool?
        var overage: (policy: Plan.OveragePolicy, limit: Money?)?
        var lagoPlanCode: Name?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "plan": plan = try name("plan")
            case "calls": calls = try callLimits()
            case "markup": markup = try self.markup()
            case "price_usd": price = try money("price_usd", .dollars, least: 0)
            case "interval": interval = try choice("interval", intervals)
            case "byok_counts_calls": byokCountsCalls = try bool("byok_counts_calls")
            case "overage": overage = try self.overage()
            case "lago_plan_code": lagoPlanCode = try name("lago_plan_code")
            default: try unknown(key)
            }
        }
        if plan == nil { missing("plan") }
        // Without limits a plan is unlimited: that is said, not forgotten.
        if calls == nil { missing("calls") }
        guard let plan, let calls else { return nil }
        return .planDefined(
            Plan(
                name: plan, calls: calls, markup: markup ?? .zero, price: price, interval: interval,
                byokCountsCalls: byokCountsCalls ?? true, overage: overage?.policy ?? .block,
                overageLimit: overage?.limit, lagoPlanCode: lagoPlanCode))
    }

    private mutating func markup() throws(JSONError) -> Decimal? {
        guard let value = try decimal("markup") else { return nil }
        guard value.scale <= markupDecimalsMax else {
            note("out_of_range", "markup", "must not have more than \(markupDecimalsMax) decimals")
            return nil
        }
        guard let millionths = value.rescaled(to: 6), markupMillionths.contains(millionths) else {
            note("out_of_range", "markup", "must be from -1 to 1000")
            return nil
        }
        return value
    }

    private mutating func callLimits() throws(JSONError) -> [Plan.CallLimit]? {
        guard try array("calls") else { return nil }
        var limits: [Plan.CallLimit] = []
        var index = 0
        while try reader.nextElement() {
            let outer = descend("calls.\(index)")
            if let limit = try callLimit() { limits.append(limit) }
            prefix = outer
            index += 1
        }
        if index > Plan.callLimitsMax { note("too_many", "calls", "holds more than \(Plan.callLimitsMax) limits") }
        return limits
    }

    private mutating func callLimit() throws(JSONError) -> Plan.CallLimit? {
        guard try element() else { return nil }
        var limit: Int64?
        var per: Plan.CallLimit.Per?
        var enforce: Plan.CallLimit.Enforce?
        while let key = try reader.nextName() {
            switch key {
            case "limit": limit = try integer("limit", in: 0...limitMax)
            case "per": per = try choice("per", limitWindows)
            case "enforce": enforce = try choice("enforce", enforcements)
            default: try unknown(key)
            }
        }
        if limit == nil { missing("limit") }
        if per == nil { missing("per") }
        if enforce == nil { missing("enforce") }
        guard let limit, let per, let enforce else { return nil }
        return Plan.CallLimit(limit: limit, per: per, enforce: enforce)
    }

    /// Opens an element of a list of objects; here null is a fault too.
    mutating func element() throws(JSONError) -> Bool {
        let kind = try reader.peek()
        guard kind == .object else {
            note("wrong_type", "", "must be an object, not \(kind.phrase)")
            try reader.skip()
            return false
        }
        try reader.beginObject()
        return true
    }

    private mutating func overage() throws(JSONError) -> (policy: Plan.OveragePolicy, limit: Money?)? {
        guard try object("overage") else { return nil }
        let outer = descend("overage")
        defer { prefix = outer }
        var policy: Plan.OveragePolicy?
        var limit: Money?
        while let key = try reader.nextName() {
            switch key {
            case "policy": policy = try choice("policy", policies)
            case "limit_credits": limit = try money("limit_credits", .credits, least: 0)
            default: try unknown(key)
            }
        }
        guard let policy else {
            missing("policy")
            return nil
        }
        return (policy, limit)
    }

    mutating func assignment() throws(JSONError) -> Fact? {
        var org: Name?
        var user: Name?
        var plan: Name?
        var effectiveAt: Timestamp?
        var anchorDay: Int64?
        var funding: Assignment.Funding?
        var lago: Assignment.Lago?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "plan": plan = try name("plan")
            case "effective_at": effectiveAt = try time("effective_at")
            case "anchor_day": anchorDay = try integer("anchor_day", in: 1...28)
            case "funding": funding = try choice("funding", fundings)
            case "lago": lago = try self.lago()
            default: try unknown(key)
            }
        }
        let owner = owner(org: org, user: user)
        if plan == nil { missing("plan") }
        guard let owner, let plan else { return nil }
        return .planAssigned(
            Assignment(
                owner: owner, plan: plan, effectiveAt: effectiveAt, anchorDay: Int(anchorDay ?? 1),
                funding: funding ?? .org, lago: lago))
    }

    private mutating func lago() throws(JSONError) -> Assignment.Lago? {
        guard try object("lago") else { return nil }
        let outer = descend("lago")
        defer { prefix = outer }
        var customer: Name?
        var subscription: Name?
        while let key = try reader.nextName() {
            switch key {
            case "external_customer_id": customer = try name("external_customer_id")
            case "external_subscription_id": subscription = try name("external_subscription_id")
            default: try unknown(key)
            }
        }
        if customer == nil { missing("external_customer_id") }
        if subscription == nil { missing("external_subscription_id") }
        guard let customer, let subscription else { return nil }
        return Assignment.Lago(externalCustomerID: customer, externalSubscriptionID: subscription)
    }
}
