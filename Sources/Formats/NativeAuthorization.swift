internal import Billing
internal import JSON

private let operations = Choices(Call.Operation.allCases, \.name)
private let keySources = Choices(Call.KeySource.allCases, \.name)
private let rules = Choices(Refusal.Rule.allCases, \.name)
private let limitWindows = Choices(Plan.CallLimit.Per.allCases, \.name)

/// `data` of the `authorization.*` events, which only an import can bring. The next value is an object.
extension NativeParser {
    /// What the events of an authorization have in common, as far as it was read.
    private struct Subject {
        var id: Name?
        var org: Name?
        var user: Name?
        var provider: Name?
        var model: Name?
        var operation: Call.Operation?
        var keySource: Call.KeySource?
    }

    /// Reads a member of the subject; false when `key` is none.
    private mutating func member(_ key: JSONKey, of subject: inout Subject) throws(JSONError) -> Bool {
        switch key {
        case "id": subject.id = try name("id")
        case "org": subject.org = try name("org")
        case "user": subject.user = try name("user")
        case "provider": subject.provider = try name("provider")
        case "model": subject.model = try name("model")
        case "operation": subject.operation = try choice("operation", operations)
        case "key_source": subject.keySource = try choice("key_source", keySources)
        default: return false
        }
        return true
    }

    private mutating func checked(_ subject: Subject) -> AuthorizationSubject? {
        if subject.id == nil { missing("id") }
        if subject.org == nil && subject.user == nil { note("missing_owner", "org", "org or user is required") }
        if subject.provider == nil { missing("provider") }
        if subject.model == nil { missing("model") }
        if subject.operation == nil { missing("operation") }
        if subject.keySource == nil { missing("key_source") }
        guard let id = subject.id, let provider = subject.provider, let model = subject.model,
            let operation = subject.operation, let keySource = subject.keySource
        else { return nil }
        return AuthorizationSubject(
            id: id, org: subject.org, user: subject.user, provider: provider, model: model, operation: operation,
            keySource: keySource)
    }

    mutating func authorizationGranted() throws(JSONError) -> Fact? {
        var parts = Subject()
        var held: Money?
        var expiresAt: Timestamp?
        try reader.beginObject()
        while let key = try reader.nextName() {
            if try member(key, of: &parts) { continue }
            switch key {
            case "held_credits": held = try money("held_credits", .credits, least: 0)
            case "expires_at": expiresAt = try time("expires_at")
            default: try unknown(key)
            }
        }
        let subject = checked(parts)
        if held == nil { missing("held_credits") }
        if expiresAt == nil { missing("expires_at") }
        guard let subject, let held, let expiresAt else { return nil }
        return .authorizationGranted(Authorization(subject: subject, held: held, expiresAt: expiresAt))
    }

    mutating func authorizationDenied() throws(JSONError) -> Fact? {
        var parts = Subject()
        var rule: Refusal.Rule?
        var owner: Owner?
        var requested: Money?
        var available: Money?
        var calls: Refusal.Calls?
        try reader.beginObject()
        while let key = try reader.nextName() {
            if try member(key, of: &parts) { continue }
            switch key {
            case "rule": rule = try choice("rule", rules)
            case "owner": owner = try refusingOwner()
            case "requested_credits": requested = try money("requested_credits", .credits)
            case "available_credits": available = try money("available_credits", .credits)
            case "calls": calls = try refusingCalls()
            default: try unknown(key)
            }
        }
        let subject = checked(parts)
        if rule == nil { missing("rule") }
        if owner == nil { missing("owner") }
        if requested == nil { missing("requested_credits") }
        if available == nil { missing("available_credits") }
        guard let subject, let rule, let owner, let requested, let available else { return nil }
        let refusal = Refusal(rule: rule, owner: owner, requested: requested, available: available, calls: calls)
        return .authorizationDenied(Denial(subject: subject, refusal: refusal))
    }

    private mutating func refusingOwner() throws(JSONError) -> Owner? {
        guard try object("owner") else { return nil }
        let outer = descend("owner")
        defer { prefix = outer }
        var org: Name?
        var user: Name?
        while let key = try reader.nextName() {
            switch key {
            case "org": org = try name("org")
            case "user": user = try name("user")
            default: try unknown(key)
            }
        }
        return owner(org: org, user: user)
    }

    private mutating func refusingCalls() throws(JSONError) -> Refusal.Calls? {
        guard try object("calls") else { return nil }
        let outer = descend("calls")
        defer { prefix = outer }
        var per: Plan.CallLimit.Per?
        var (limit, used, running): (Int64?, Int64?, Int64?) = (nil, nil, nil)
        var resetsAt: Timestamp?
        while let key = try reader.nextName() {
            switch key {
            case "per": per = try choice("per", limitWindows)
            case "limit": limit = try integer("limit", in: 0...Int64.max)
            case "used": used = try integer("used", in: 0...Int64.max)
            case "running": running = try integer("running", in: 0...Int64.max)
            case "resets_at": resetsAt = try time("resets_at")
            default: try unknown(key)
            }
        }
        if per == nil { missing("per") }
        if limit == nil { missing("limit") }
        if used == nil { missing("used") }
        if running == nil { missing("running") }
        guard let per, let limit, let used, let running else { return nil }
        return Refusal.Calls(per: per, limit: limit, used: used, running: running, resetsAt: resetsAt)
    }

    mutating func authorizationEnded() throws(JSONError) -> AuthorizationEnded? {
        var id: Name?
        var org: Name?
        var user: Name?
        var credits: Money?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "id": id = try name("id")
            case "org": org = try name("org")
            case "user": user = try name("user")
            case "credits": credits = try money("credits", .credits, least: 0)
            default: try unknown(key)
            }
        }
        if id == nil { missing("id") }
        if org == nil && user == nil { note("missing_owner", "org", "org or user is required") }
        if credits == nil { missing("credits") }
        guard let id, let credits else { return nil }
        return AuthorizationEnded(id: id, org: org, user: user, credits: credits)
    }
}
