import Billing
import Records
import TestEvents

/// Records as a writer would have stored them: whatever a book refuses is left out. Same seed, same records.
enum AdmittedLog {
    static let start = Timestamp(microseconds: 1_793_491_200_000_000)  // 2026-11-01
    static let orgs: [Name] = ["o1", "o2", "é"]
    static let users: [Name] = ["u1", "u2", "u3", "u4"]

    /// The records, and the book that admitted them.
    static func make(_ count: Int, seed: UInt64) -> (records: [Record], book: Book) {
        var random = RandomEvents(seed: seed)
        var records: [Record] = []
        var book = Book(countsCalls: true)
        var history = CallHistory()
        var closings: [UInt64] = []
        var attempt = 0
        while records.count < count {
            let position = UInt64(records.count + 1)
            attempt += 1
            let time = Timestamp(microseconds: start.microseconds + random.number(0...(20 * 86_400_000_000)))
            let fact = attempt <= setup.count ? setup[attempt - 1] : fact(&random, book, history, closings, at: time)
            let isSetup = attempt <= setup.count
            let occurredAt = isSetup ? start : time
            let stated = Event(source: "test", id: Name(checked: "e\(attempt)"), time: occurredAt, fact: fact)
            guard let event = try? history.resolved(stated),
                let outcome = try? book.take(event, position: position, at: occurredAt)
            else { continue }
            history.note(event, outcome: outcome, position: position, at: occurredAt)
            if case .lagoWindowClosed = fact { closings.append(position) }
            records.append(
                Record(
                    position: position, recordedAt: Timestamp(microseconds: Int64(position)),
                    door: random.chance(20) ? .lago : .native, key: nil, event: event))
        }
        return (records, book)
    }

    private static let setup: [Fact] = [
        .planDefined(Plan(name: "inv", calls: [], markup: Decimal(mantissa: 6, scale: 1), overage: .invoice)),
        .planDefined(Plan(name: "block", calls: [], markup: .zero, overage: .block)),
        .pricesPublished(
            PriceList(unit: .credits, rules: [PriceRule(anyToken: Decimal(mantissa: 15, scale: 3))])),
    ]

    private static func fact(
        _ random: inout RandomEvents, _ book: Book, _ history: CallHistory, _ closings: [UInt64], at time: Timestamp
    ) -> Fact {
        let owner: Owner = random.chance(60) ? .org(random.pick(orgs)) : .user(random.pick(users))
        let credits = Money(nanos: random.number(1...50_000_000))
        switch random.number(0...117) {
        case 108...113: return ask(&random, book, at: time)
        case 114...117:
            guard let hold = book.ledger.state.holds.first else {
                return ask(&random, book, at: time)
            }
            var call = self.call(&random)
            (call.org, call.user, call.authorization) = (hold.org, hold.user, hold.key.id)
            let ended = AuthorizationEnded(
                id: hold.key.id, org: hold.org, user: hold.user, credits: hold.amount)
            return random.chance() ? .call(call) : .authorizationReleased(ended)
        case 100...107:
            let keys = history.keys
            guard !keys.isEmpty else { return .creditsVoided(LotVoided(lot: "none", reason: "r")) }
            let call = random.pick(keys)
            if random.chance() { return .callVoided(CallVoided(source: call.source, id: call.id, reason: "r")) }
            return .callAmended(
                CallAmended(source: call.source, id: call.id, reason: "r", call: self.call(&random)))
        case 0...69:
            return random.chance(85) ? .call(call(&random)) : .usage(call(&random))
        case 70...76:
            let end = random.chance(60) ? time.adding(seconds: random.number(1...700_000)) : nil
            return .creditsGranted(
                Grant(
                    owner: owner, credits: credits, category: random.pick(Grant.Category.allCases),
                    priority: random.chance(80) ? 100 : 3, expiresAt: end))
        case 77...79:
            return .creditsAdjusted(
                Adjustment(owner: owner, credits: random.chance() ? credits : -credits, reason: "r"))
        case 80...84:
            return .creditsAllocated(
                Allocation(
                    org: random.pick(orgs), user: random.pick(users), mode: random.pick([.cap, .carveOut]),
                    credits: random.chance(10) ? .zero : credits, period: random.pick(Period.allCases)))
        case 85:
            let lots = book.ledger.state.lots
            return .creditsVoided(LotVoided(lot: lots.isEmpty ? "none" : random.pick(lots).id, reason: "r"))
        case 86...90:
            return book.ledger.lotsEnding(through: time).first.map { .creditsExpired($0) }
                ?? .creditsVoided(LotVoided(lot: "none", reason: "r"))
        case 91...93:
            let subscription = Name(checked: "sub-\(random.number(1...4))")
            return .planAssigned(
                Assignment(
                    owner: owner, plan: random.pick(["inv", "inv", "block"]),
                    effectiveAt: random.chance(70) ? start : nil,
                    funding: random.pick([.org, .user, .orgThenUser]),
                    lago: random.chance(80)
                        ? Assignment.Lago(externalCustomerID: "c", externalSubscriptionID: subscription) : nil))
        case 94...95:
            return .pricesPublished(
                PriceList(
                    effectiveAt: random.chance() ? start : nil, unit: .credits,
                    rules: [PriceRule(anyToken: Decimal(mantissa: random.number(1...30), scale: 3))]))
        case 96...97:
            let seconds: Int64 = random.chance(80) ? 3600 : random.pick([900, 7200])
            return .lagoWindowClosed(LagoWindowClosed(windowSeconds: seconds, through: time))
        default:
            let position = closings.isEmpty ? 1 : random.pick(closings)
            let delivery = LagoDelivery(
                batch: Name(checked: "b-\(position)-\(random.number(1...3))"), detail: random.chance() ? "d" : nil)
            return random.chance() ? .lagoBatchDelivered(delivery) : .lagoBatchFailed(delivery)
        }
    }

    private static func ask(_ random: inout RandomEvents, _ book: Book, at time: Timestamp) -> Fact {
        let hasOrg = random.chance(80)
        let request = AuthorizationRequest(
            id: Name(checked: "h\(random.number(0...1000))"), org: hasOrg ? random.pick(orgs) : nil,
            user: !hasOrg || random.chance(80) ? random.pick(users) : nil, provider: "openai", model: "gpt-4o",
            credits: Money(nanos: random.number(0...5_000_000)))
        guard let decision = try? book.authorize(request, at: time) else {
            return .creditsVoided(LotVoided(lot: "none", reason: "r"))
        }
        return decision.fact(for: request, expiresAt: time.adding(seconds: 600))
    }

    private static func call(_ random: inout RandomEvents) -> Call {
        let input = random.number(0...4000)
        return Call(
            org: random.chance(80) ? random.pick(orgs) : nil, user: random.chance(90) ? random.pick(users) : nil,
            provider: random.pick(["openai", "groq"]), model: random.pick(["gpt-4o", "m\"\\", "日"]),
            operation: random.pick([.chat, .embedding]), keySource: random.chance(10) ? .byok : .platform,
            status: random.chance(10) ? .failure : .success,
            usage: random.chance(90)
                ? Usage(inputTokens: input, outputTokens: random.number(0...900), cacheReadTokens: input / 3) : nil)
    }
}
