import Billing
import Records
import TestEvents

/// Logs out of a seed: few owners, models and days, so that rows meet; plans, prices, usage, voids and amendments.
struct RandomLog {
    private var random: RandomEvents
    private var records: [Record] = []
    private var calls: [(source: Name, id: Name)] = []

    static let firstDay = Day(year: 2025, month: 10, day: 25)!
    static let days: Int64 = 40

    /// `count` records that admission would have taken.
    static func records(_ count: Int, seed: UInt64) -> [Record] {
        var log = RandomLog(random: RandomEvents(seed: seed))
        for _ in 0..<count { log.add() }
        return log.records
    }

    private init(random: RandomEvents) {
        self.random = random
    }

    private mutating func add() {
        let position = UInt64(records.count + 1)
        let start = RandomLog.firstDay.start.microseconds
        let recorded = Timestamp(microseconds: start + Int64(position) * 1_000_000)
        let time = Timestamp(
            microseconds: start + random.number(0...RandomLog.days * Timestamp.microsecondsPerDay - 1))
        let id = Name(checked: "id-\(position)")
        let fact = fact()
        if case .call = fact { calls.append((source: "test", id: id)) }
        if case .usage = fact { calls.append((source: "test", id: id)) }
        records.append(
            Record(
                position: position, recordedAt: recorded, door: .native, key: nil,
                event: Event(source: "test", id: id, time: random.chance(90) ? time : nil, fact: fact)))
    }

    private mutating func fact() -> Fact {
        switch random.number(0...99) {
        case 0: return .planDefined(plan())
        case 1: return .planAssigned(assignment())
        case 2: return .pricesPublished(prices())
        case 3: return .creditsAdjusted(Adjustment(owner: .org("o1"), credits: Money(nanos: 1), reason: "r"))
        case 4...6 where !calls.isEmpty:
            let call = random.pick(calls)
            return .callVoided(CallVoided(source: call.source, id: call.id, reason: "r"))
        case 7...9 where !calls.isEmpty:
            let call = random.pick(calls)
            return .callAmended(CallAmended(source: call.source, id: call.id, reason: "r", call: self.call()))
        case 10...20: return .usage(call())
        default: return .call(call())
        }
    }

    private mutating func plan() -> Plan {
        Plan(
            name: random.pick(["p1", "p2"]), calls: [], markup: Decimal(mantissa: random.number(0...9), scale: 1),
            byokCountsCalls: random.chance())
    }

    private mutating func assignment() -> Assignment {
        Assignment(
            owner: random.chance() ? .org(random.pick(["o1", "é"])) : .user(random.pick(["u1", "u2"])),
            plan: random.pick(["p1", "p2"]), anchorDay: Int(random.number(1...28)))
    }

    private mutating func prices() -> PriceList {
        PriceList(
            // In force since before calls that are in the log already.
            effectiveAt: random.chance() ? RandomLog.firstDay.start : nil, unit: .credits,
            rules: [
                PriceRule(model: "m*", anyToken: Decimal(mantissa: random.number(1...999), scale: 3)),
                PriceRule(model: "é", reportedCost: Decimal(mantissa: 2, scale: 0)),
            ])
    }

    private mutating func call() -> Call {
        var call = Call(
            // Two spellings of one letter: two orgs, two models.
            provider: random.pick(["p", "q"]), model: random.pick(["m1", "m2", "é", "e\u{301}"]), operation: .chat,
            keySource: random.chance(80) ? .platform : .byok, status: random.pick(Call.Status.allCases))
        if random.chance(80) { call.org = random.pick(["o1", "o2", "é", "e\u{301}"]) }
        if random.chance(80) || call.org == nil { call.user = random.pick(["u1", "u2", "u3"]) }
        if random.chance() { call.service = random.pick(["s1", "s2"]) }
        if random.chance(80) {
            let input = random.number(0...1000)
            let output = random.number(0...1000)
            call.usage = Usage(
                inputTokens: input, outputTokens: output, cacheReadTokens: input / 3, cacheWriteTokens: input / 5,
                reasoningTokens: output / 2, images: random.chance(10) ? 1 : nil,
                audioSeconds: random.chance(10) ? Decimal(mantissa: random.number(1...9999), scale: 2) : nil)
        }
        if random.chance() { call.cost = Decimal(mantissa: random.number(0...999_999), scale: 12) }
        return call
    }
}
