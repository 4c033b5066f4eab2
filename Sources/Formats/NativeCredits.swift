internal import Billing
internal import JSON

private let categories = Choices(Grant.Category.allCases, \.name)
private let modes = Choices(Allocation.Mode.allCases, \.name)
private let periods = Choices(Period.allCases, \.name)

/// `data` of the `credits.*` events. The next value is an object.
extension NativeParser {
    mutating func grant() throws(JSONError) -> Fact? {
        var org: Name?
        var user: Name?
        var credits: Money?
        var category: Grant.Category?
        var priority: Int64?
        var effectiveAt: Timestamp?
        var expiresAt: Timestamp?
        var paid: Money?
        var reference: String?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "credits": credits = try money("credits", .credits, least: 1)
            case "category": category = try choice("category", categories)
            case "priority": priority = try integer("priority", in: 0...255)
            case "effective_at": effectiveAt = try time("effective_at")
            case "expires_at": expiresAt = try time("expires_at")
            case "paid_usd": paid = try money("paid_usd", .dollars, least: 0)
            case "reference": reference = try text("reference")
            default: try unknown(key)
            }
        }
        let owner = owner(org: org, user: user)
        if credits == nil { missing("credits") }
        if category == nil { missing("category") }
        if let effectiveAt, let expiresAt, expiresAt <= effectiveAt {
            note("out_of_range", "expires_at", "must be after effective_at")
        }
        guard let owner, let credits, let category else { return nil }
        return .creditsGranted(
            Grant(
                owner: owner, credits: credits, category: category,
                priority: priority.map { UInt8($0) } ?? Grant.priorityDefault, effectiveAt: effectiveAt,
                expiresAt: expiresAt, paid: paid, reference: reference))
    }

    mutating func lotVoided() throws(JSONError) -> Fact? {
        var lot: Name?
        var reason: String?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "lot": lot = try reference("lot")
            case "reason": reason = try text("reason")
            default: try unknown(key)
            }
        }
        if lot == nil { missing("lot") }
        if reason == nil { missing("reason") }
        guard let lot, let reason else { return nil }
        return .creditsVoided(LotVoided(lot: lot, reason: reason))
    }

    mutating func lotExpired() throws(JSONError) -> Fact? {
        var lot: Name?
        var credits: Money?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "lot": lot = try reference("lot")
            case "credits": credits = try money("credits", .credits)
            default: try unknown(key)
            }
        }
        if lot == nil { missing("lot") }
        if credits == nil { missing("credits") }
        guard let lot, let credits else { return nil }
        return .creditsExpired(LotExpired(lot: lot, credits: credits))
    }

    mutating func allocation() throws(JSONError) -> Fact? {
        var org: Name?
        var user: Name?
        var mode: Allocation.Mode?
        var credits: Money?
        var period: Period?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "mode": mode = try choice("mode", modes)
            case "credits": credits = try money("credits", .credits, least: 0)
            case "period": period = try choice("period", periods)
            default: try unknown(key)
            }
        }
        if org == nil { missing("org") }
        if user == nil { missing("user") }
        if mode == nil { missing("mode") }
        if credits == nil { missing("credits") }
        if period == nil { missing("period") }
        guard let org, let user, let mode, let credits, let period else { return nil }
        return .creditsAllocated(Allocation(org: org, user: user, mode: mode, credits: credits, period: period))
    }

    mutating func adjustment() throws(JSONError) -> Fact? {
        var org: Name?
        var user: Name?
        var credits: Money?
        var reason: String?
        var reference: String?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "credits": credits = try money("credits", .credits)
            case "reason": reason = try text("reason")
            case "reference": reference = try text("reference")
            default: try unknown(key)
            }
        }
        let owner = owner(org: org, user: user)
        if credits == nil { missing("credits") }
        if credits == .zero { note("out_of_range", "credits", "must not be 0") }
        if reason == nil { missing("reason") }
        guard let owner, let credits, let reason else { return nil }
        return .creditsAdjusted(Adjustment(owner: owner, credits: credits, reason: reason, reference: reference))
    }
}
