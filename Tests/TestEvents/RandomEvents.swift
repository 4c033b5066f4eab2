public import Billing

/// Valid events out of a seed: the same seed gives the same events on every machine.
public struct RandomEvents: Sendable {
    /// How many kinds of fact there are: `event(kind:)` takes 0..<kinds.
    public static let kinds = 20

    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    /// SplitMix64.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    public mutating func number(_ range: ClosedRange<Int64>) -> Int64 {
        let width = UInt64(bitPattern: range.upperBound &- range.lowerBound)
        return range.lowerBound &+ Int64(bitPattern: width == .max ? next() : next() % (width + 1))
    }

    public mutating func chance(_ percent: UInt64 = 50) -> Bool { next() % 100 < percent }

    public mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int(next() % UInt64(choices.count))]
    }

    private mutating func maybe<Value>(_ make: (inout RandomEvents) -> Value) -> Value? {
        chance() ? make(&self) : nil
    }

    private static let pieces = [
        "a", "b", "Z", "0", "9", "-", "_", "/", ".", " ", "\"", "\\", "é", "e\u{301}", "日", "🦊", "\u{2028}",
        "<", "&",
    ]

    public mutating func name() -> Name {
        if chance(2) { return Name(checked: String(repeating: pick(["x", "é"]), count: 128)) }
        if chance(1) { return Name(checked: String(repeating: "n", count: Name.bytesMax)) }
        var text = ""
        for _ in 0..<number(1...24) { text += pick(RandomEvents.pieces) }
        return Name(checked: text)
    }

    public mutating func text() -> String {
        var text = ""
        for _ in 0..<number(0...30) { text += pick(RandomEvents.pieces) }
        return text
    }

    public mutating func time() -> Timestamp {
        if chance(5) { return pick([.earliest, .latest, Timestamp(microseconds: 0), Timestamp(microseconds: -1)]) }
        return Timestamp(microseconds: number(1_500_000_000_000_000...2_000_000_000_000_000))
    }

    /// Not negative, at most `decimals` decimals, below a million.
    public mutating func decimal(decimals: Int = 12) -> Decimal {
        let scale = Int(number(0...Int64(decimals)))
        var mantissaMax: Int64 = 999_999
        for _ in 0..<scale { mantissaMax *= 10 }
        if chance(10) { return .zero }
        return Decimal(mantissa: number(0...mantissaMax) / pick([1, 1000]), scale: scale)
    }

    public mutating func money(_ range: ClosedRange<Int64> = 1...1_000_000_000_000_000) -> Money {
        Money(nanos: number(range))
    }

    public mutating func owner() -> Owner { chance() ? .org(name()) : .user(name()) }

    public mutating func call() -> Call {
        var call = Call(
            provider: name(), model: name(), operation: pick(Call.Operation.allCases),
            keySource: pick(Call.KeySource.allCases), status: pick(Call.Status.allCases))
        call.org = maybe { $0.name() }
        call.user = maybe { $0.name() }
        if chance(20) { call.subscription = name() }
        if call.org == nil && call.user == nil && call.subscription == nil { call.org = name() }
        call.service = maybe { $0.name() }
        call.team = maybe { $0.name() }
        call.apiKey = maybe { $0.name() }
        call.endUser = maybe { $0.name() }
        call.requestedModel = maybe { $0.name() }
        call.usage = maybe { $0.usage() }
        call.cost = maybe { $0.decimal() }
        call.latencyMilliseconds = maybe { UInt32($0.number(0...Int64(UInt32.max))) }
        call.cacheHit = chance()
        call.authorization = maybe { $0.name() }
        if chance() {
            var names: Set<Name> = []
            for _ in 0..<number(1...6) { names.insert(name()) }
            for name in names.sorted() { call.attributes.append(Attribute(name: name, value: text())) }
        }
        return call
    }

    public mutating func usage() -> Usage {
        var usage = Usage()
        let countMax = pick([10, 1000, 100_000, Usage.countMax])
        usage.inputTokens = maybe { $0.number(0...countMax) }
        usage.outputTokens = maybe { $0.number(0...countMax) }
        if let input = usage.inputTokens {
            usage.cacheReadTokens = maybe { $0.number(0...input) }
            usage.cacheWriteTokens = maybe { $0.number(0...input - (usage.cacheReadTokens ?? 0)) }
        }
        if let output = usage.outputTokens { usage.reasoningTokens = maybe { $0.number(0...output) } }
        usage.images = maybe { $0.number(0...countMax) }
        usage.audioSeconds = maybe { $0.decimal(decimals: 6) }
        usage.characters = maybe { $0.number(0...countMax) }
        usage.searches = maybe { $0.number(0...countMax) }
        usage.requests = maybe { $0.number(0...countMax) }
        return usage
    }

    public mutating func plan() -> Plan {
        var plan = Plan(name: name(), calls: [], markup: decimal(decimals: 6))
        if plan.markup.rescaled(to: 6) ?? .max > 1_000_000_000 { plan.markup = Decimal(mantissa: -25, scale: 2) }
        for _ in 0..<number(0...4) {
            plan.calls.append(
                Plan.CallLimit(
                    limit: number(0...100_000), per: pick(Plan.CallLimit.Per.allCases),
                    enforce: pick(Plan.CallLimit.Enforce.allCases)))
        }
        plan.price = maybe { $0.money(0...1_000_000_000_000) }
        plan.interval = maybe { $0.pick(Plan.Interval.allCases) }
        plan.byokCountsCalls = chance()
        plan.overage = pick(Plan.OveragePolicy.allCases)
        plan.overageLimit = maybe { $0.money(0...1_000_000_000_000) }
        plan.lagoPlanCode = maybe { $0.name() }
        return plan
    }

    public mutating func assignment() -> Assignment {
        Assignment(
            owner: owner(), plan: name(), effectiveAt: maybe { $0.time() }, anchorDay: Int(number(1...28)),
            funding: pick(Assignment.Funding.allCases),
            lago: maybe { Assignment.Lago(externalCustomerID: $0.name(), externalSubscriptionID: $0.name()) })
    }

    public mutating func subject() -> AuthorizationSubject {
        let call = call()
        let hasOwner = call.org != nil || call.user != nil
        return AuthorizationSubject(
            id: name(), org: hasOwner ? call.org : name(), user: call.user, provider: call.provider,
            model: call.model, operation: call.operation, keySource: call.keySource)
    }

    public mutating func denial() -> Denial {
        var refusal = Refusal(
            rule: pick(Refusal.Rule.allCases), owner: owner(), requested: money(), available: money())
        if refusal.rule == .calls {
            refusal.calls = Refusal.Calls(
                per: pick(Plan.CallLimit.Per.allCases), limit: number(0...9), used: number(0...9),
                running: number(0...9), resetsAt: maybe { $0.time() })
        }
        return Denial(subject: subject(), refusal: refusal)
    }

    public mutating func authorizationEnded() -> AuthorizationEnded {
        let subject = subject()
        return AuthorizationEnded(id: subject.id, org: subject.org, user: subject.user, credits: money())
    }

    public mutating func grant() -> Grant {
        var grant = Grant(owner: owner(), credits: money(), category: pick(Grant.Category.allCases))
        grant.priority = UInt8(number(0...255))
        grant.effectiveAt = maybe { Timestamp(microseconds: $0.number(0...1_700_000_000_000_000)) }
        grant.expiresAt = maybe { Timestamp(microseconds: $0.number(1_700_000_000_000_001...2_000_000_000_000_000)) }
        grant.paid = maybe { $0.money(0...1_000_000_000_000) }
        grant.reference = maybe { $0.text() }
        return grant
    }

    public mutating func prices() -> PriceList {
        var list = PriceList(unit: pick(PriceList.Unit.allCases), rules: [])
        list.effectiveAt = maybe { $0.time() }
        list.cacheHit = maybe { $0.decimal() }
        for _ in 0..<number(0...6) { list.rules.append(rule()) }
        var attributes: Set<Name> = []
        for _ in 0..<number(0...3) { attributes.insert(name()) }
        for attribute in attributes.sorted() {
            var multiplier = PriceList.Multiplier(attribute: attribute, values: [])
            var values: Set<Name> = []
            for _ in 0..<number(1...4) { values.insert(name()) }
            for value in values.sorted() { multiplier.values.append(.init(value: value.text, factor: decimal())) }
            list.multipliers.append(multiplier)
        }
        return list
    }

    public mutating func rule() -> PriceRule {
        var rule = PriceRule(per: pick([1000, 1_000_000]))
        rule.provider = maybe { $0.name() }
        rule.model = maybe { $0.name() }
        rule.operation = maybe { $0.pick(Call.Operation.allCases) }
        if chance(20) { rule.aboveInputTokens = pick([0, 1, 199_999, 200_000, Usage.countMax]) }
        if chance(15) {
            rule.per = 1000
            rule.reportedCost = decimal()
            return rule
        }
        if chance(30) {
            rule.anyToken = decimal()
        } else {
            rule.input = decimal()
            rule.output = maybe { $0.decimal() }
            rule.cacheRead = maybe { $0.decimal() }
            rule.cacheWrite = maybe { $0.decimal() }
            rule.reasoning = maybe { $0.decimal() }
        }
        rule.perCall = maybe { $0.decimal() }
        rule.perImage = maybe { $0.decimal() }
        rule.perAudioSecond = maybe { $0.decimal() }
        rule.perSearch = maybe { $0.decimal() }
        return rule
    }

    public mutating func alert() -> Alert {
        let conditions: [Alert.Condition] = [
            .balanceBelow(money(-1_000_000_000...1_000_000_000_000)), .callsPercent(number(1...100)),
            .spend(money(1...1_000_000_000_000), per: pick(Alert.Per.allCases)), .daysLeft(number(1...Alert.daysMax)),
        ]
        return Alert(name: name(), owner: owner(), condition: pick(conditions), isEnabled: chance(80))
    }

    public mutating func fact(kind: Int) -> Fact {
        switch kind {
        case 0: return .call(call())
        case 1: return .usage(call())
        case 2: return .callVoided(CallVoided(source: name(), id: name(), reason: text()))
        case 3: return .callAmended(CallAmended(source: name(), id: name(), reason: text(), call: call()))
        case 4: return .creditsGranted(grant())
        case 5: return .creditsVoided(LotVoided(lot: name(), reason: text()))
        case 6:
            return .creditsAllocated(
                Allocation(
                    org: name(), user: name(), mode: pick(Allocation.Mode.allCases),
                    credits: money(0...1_000_000_000), period: pick(Period.allCases)))
        case 7:
            var credits = money(-1_000_000_000...1_000_000_000)
            if credits == .zero { credits = Money(nanos: -1) }
            return .creditsAdjusted(
                Adjustment(owner: owner(), credits: credits, reason: text(), reference: maybe { $0.text() }))
        case 8: return .creditsExpired(LotExpired(lot: name(), credits: money()))
        case 9: return .planDefined(plan())
        case 10: return .planAssigned(assignment())
        case 11: return .pricesPublished(prices())
        case 12: return .lagoWindowClosed(LagoWindowClosed(windowSeconds: pick([60, 3600, 86_400]), through: time()))
        case 13: return .lagoBatchDelivered(LagoDelivery(batch: name(), detail: maybe { $0.text() }))
        case 14: return .lagoBatchFailed(LagoDelivery(batch: name(), detail: maybe { $0.text() }))
        case 15:
            return .authorizationGranted(
                Authorization(subject: subject(), held: money(0...1_000_000_000), expiresAt: time()))
        case 16: return .authorizationDenied(denial())
        case 17: return .authorizationReleased(authorizationEnded())
        case 18: return .authorizationExpired(authorizationEnded())
        case 19: return .alertDefined(alert())
        default: preconditionFailure("kind \(kind) of \(RandomEvents.kinds)")
        }
    }

    public mutating func event(kind: Int) -> Event {
        Event(source: name(), id: name(), time: maybe { $0.time() }, fact: fact(kind: kind))
    }
}
