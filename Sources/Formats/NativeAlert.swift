internal import Billing
internal import JSON

private let periods = Choices(Alert.Per.allCases, \.name)
private let conditions = "balance_below_credits, calls_percent, spend_credits and days_left"

/// `data` of `alert.defined`. The next value is an object.
extension NativeParser {
    mutating func alert() throws(JSONError) -> Fact? {
        var alert: Name?
        var org: Name?
        var user: Name?
        var balance: Money?
        var percent: Int64?
        var spend: Money?
        var per: Alert.Per?
        var days: Int64?
        var isEnabled: Bool?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "alert": alert = try name("alert")
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "balance_below_credits": balance = try money("balance_below_credits", .credits)
            case "calls_percent": percent = try integer("calls_percent", in: 1...100)
            case "spend_credits": spend = try money("spend_credits", .credits, least: 1)
            case "per": per = try choice("per", periods)
            case "days_left": days = try integer("days_left", in: 1...Alert.daysMax)
            case "enabled": isEnabled = try bool("enabled")
            default: try unknown(key)
            }
        }
        if alert == nil { missing("alert") }
        let owner = owner(org: org, user: user)
        var given: [(field: String, condition: Alert.Condition)] = []
        if let balance { given.append(("balance_below_credits", .balanceBelow(balance))) }
        if let percent { given.append(("calls_percent", .callsPercent(percent))) }
        if let spend, let per { given.append(("spend_credits", .spend(spend, per: per))) }
        if spend != nil && per == nil { missing("per") }
        if spend == nil && per != nil { note("invalid_value", "per", "goes with spend_credits alone") }
        if let days { given.append(("days_left", .daysLeft(days))) }
        guard given.count == 1 else {
            if given.isEmpty {
                note("missing_field", "balance_below_credits", "one of \(conditions) is required")
            } else {
                note("ambiguous_condition", given[1].field, "only one of \(conditions) can be watched")
            }
            return nil
        }
        guard let alert, let owner else { return nil }
        return .alertDefined(
            Alert(name: alert, owner: owner, condition: given[0].condition, isEnabled: isEnabled ?? true))
    }
}
