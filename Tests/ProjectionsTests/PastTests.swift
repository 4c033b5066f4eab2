import Billing
import Records
import TestEvents
import Testing

@testable import Projections

/// The past in two times, against the most obvious way of saying it.
@Suite struct PastTests {
    /// Every record through `known` looked at in order; what counts is taken, what it corrects is what stood here.
    private struct Slow {
        var book = Book()
        /// Standing versions by the call's id.
        var calls: [Name: (call: Call, time: Timestamp, isCall: Bool)] = [:]
        private var history = CallHistory()

        init(_ records: [Record], known: UInt64, effective: Timestamp) {
            for record in records where record.position <= known {
                var event = record.event
                var time = record.occurredAt
                switch event.fact {
                case .planDefined, .planAssigned, .pricesPublished, .alertDefined: break
                case .callVoided, .callAmended:
                    event.fact.unwinds = nil
                    guard let resolved = try? history.resolved(event), let standing = resolved.fact.unwinds,
                        standing.occurredAt <= effective
                    else { continue }
                    event = resolved
                    time = min(time, effective)
                default:
                    if time > effective { continue }
                }
                guard let outcome = try? book.take(event, position: record.position, at: time) else { continue }
                history.note(event, outcome: outcome, position: record.position, at: time)
                switch event.fact {
                case .call(let call): calls[event.id] = (call, time, true)
                case .usage(let call): calls[event.id] = (call, time, false)
                case .callVoided(let fact): calls[fact.id] = nil
                case .callAmended(let fact): calls[fact.id]?.call = fact.call
                default: break
                }
            }
        }
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func `known and effective are what the slow way says`(seed: UInt64) async throws {
        let records = AdmittedLog.make(500, seed: seed).records
        let source = ArraySource(records)
        let asOf = AsOf(log: source)
        var random = RandomEvents(seed: seed)
        for _ in 0..<3 {
            let known = UInt64(random.number(0...500))
            let effective = Timestamp(
                microseconds: AdmittedLog.start.microseconds + random.number(-1...(21 * 86_400_000_000)))
            let slow = Slow(records, known: known, effective: effective)
            var fold = try PastFold(Past(known: known, effective: effective), log: source)
            try source.forEach(through: known) { _ = try fold.take($0) }
            #expect(fold.book.ledger.state == slow.book.ledger.state, "seed \(seed), \(known), \(effective.rfc3339)")
            #expect(fold.book.ledger.fault == nil)
            for org in AdmittedLog.orgs {
                let credits = try #require(
                    try await asOf.credits(of: .org(org), at: .position(known), effective: effective))
                #expect(credits.answer.summary == slow.book.ledger.summary(of: .org(org), at: effective))
                #expect(credits.position == known)
                let tokens = try #require(
                    try await asOf.ask(
                        Tokens.self, of: .org(org), at: .position(known), effective: effective
                    ) { _ in TokensQuery(org: org) }).answer.totals
                let standing = slow.calls.values.filter { $0.call.org == org }
                #expect(tokens.inputTokens == standing.reduce(0) { $0 + ($1.call.usage?.inputTokens ?? 0) })
                #expect(tokens.calls == standing.count { $0.isCall && Quota.uses($0.call, plan: nil) })
                let day = effective.day
                let calls = try #require(
                    try await asOf.ask(
                        Calls.self, of: .org(org), at: .position(known), effective: effective
                    ) { CallsQuery(owner: .org(org), span: .day(day), now: $0) }).answer
                let ofDay = standing.filter { $0.isCall && $0.time.day == day }
                #expect(calls.byStatus.map(\.count).reduce(0, +) == Int64(ofDay.count))
            }
        }
    }

    @Test func `with no end in time, the effective past is the log as it is known`() throws {
        let (records, book) = AdmittedLog.make(900, seed: 21)
        let source = ArraySource(records)
        var fold = try PastFold(Past(known: 900, effective: .latest), log: source)
        try source.forEach(through: 900) { _ = try fold.take($0) }
        #expect(fold.book.ledger.state == book.ledger.state)
    }

    @Test func `what was told comes back at every position, the statement's balances too`() async throws {
        let records = AdmittedLog.make(160, seed: 5).records
        let source = ArraySource(records)
        let folder = TemporaryFolder()
        let models = ReadModels(
            folder: folder.path, source: source, projections: [Credits.self, Calls.self, Tokens.self])
        try await models.start()
        for name in ["credits", "calls", "tokens"] {
            #expect(await models.wait(name, until: 160, timeoutMilliseconds: 120_000) == 160)
        }
        let asOf = AsOf(log: source)
        let owner = Owner.org("o1")
        let entries = try await models.ask(StatementQuery(owner: owner, limit: 1000)).answer.entries
        for position in 0...160 as ClosedRange<UInt64> {
            let then = try #require(try await asOf.credits(of: owner, at: .position(position))).answer.summary
            let told = entries.first { $0.position <= position }?.movement.balanceAfter
            #expect(then?.account.balance ?? .zero == told ?? .zero, "position \(position)")
        }
        // At the end: every answer is that of today.
        let now = try #require(records.last?.recordedAt)
        for user in AdmittedLog.users {
            let then = try #require(try await asOf.credits(of: owner, user: user, at: .now)).answer
            let today = try #require(try await models.ask(UserCreditsQuery(org: "o1", user: user, now: now)).answer)
            #expect(then.spent == today.spent && then.overage == today.overage && then.available == today.available)
        }
        let calls = CallsQuery(owner: owner, span: .month(year: 2026, month: 11), now: .latest)
        #expect(try await asOf.ask(Calls.self, of: owner, at: .now) { _ in calls }?.answer == models.ask(calls).answer)
        let tokens = TokensQuery(org: "o1", groups: [.day, .model])
        let then = try await asOf.ask(Tokens.self, of: owner, at: .now) { _ in tokens }
        #expect(try await then?.answer == models.ask(tokens).answer)
        await models.stop()
    }

    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func `the records between two positions make the difference of all sums`(seed: UInt64) throws {
        let records = AdmittedLog.make(600, seed: seed &+ 40).records
        let source = ArraySource(records)
        for owner: Owner in [.org("o1"), .user("u2")] {
            var reporter = try PastReporter(Past(known: 600), of: owner, log: source)
            var usage = UsageChanges(log: source)
            var totals = TokensAnswer.Totals()
            for record in records {
                try reporter.take(record)
                for change in try usage.changes(of: record) where change.isOf(owner) {
                    totals += change.totals
                }
                guard record.position % 97 == 0 else { continue }
                let report = try reporter.report()
                #expect(report.tokens.totals == totals)
            }
            let report = try reporter.report()
            #expect(report.tokens.totals == totals && totals != TokensAnswer.Totals())
        }
    }

    /// The examples of Schemas/RULES.md.
    @Test func `late facts, late prices and corrections count at the call's own time`() async throws {
        let source = ArraySource()
        func time(_ day: Int64) -> Timestamp { AdmittedLog.start.adding(seconds: (day - 1) * 86_400) }
        func credits(_ credits: Int64) -> Money { Money(nanos: credits * Money.nanosPerCredit) }
        func call(_ tokens: Int64) -> Call {
            Call(
                org: "o", provider: "p", model: "m", operation: .chat, status: .success,
                usage: Usage(inputTokens: tokens))
        }
        // 1: a price of 1 credit per 1,000, in force from the 1st, published on the 10th.
        let rule = PriceRule(anyToken: .one)
        source.append(
            .pricesPublished(PriceList(effectiveAt: time(1), unit: .credits, rules: [rule])), at: time(10))
        // 2: 100 credits on the 2nd, until the 5th. 3: 10 are used on the 3rd.
        let grant = Grant(owner: .org("o"), credits: credits(100), category: .paid, expiresAt: time(5))
        source.append(.creditsGranted(grant), at: time(2), id: "lot")
        source.append(.call(call(10_000)), at: time(3), id: "call")
        // 4: the lot's end is recorded. 5: on the 6th the call is amended to 4.
        source.append(.creditsExpired(LotExpired(lot: "lot", credits: credits(90))), at: time(5))
        var amended = CallAmended(source: "test", id: "call", reason: "r", call: call(4_000))
        amended.unwinds = StandingCall(
            original: 3, position: 3, occurredAt: time(3), isCall: true, call: call(10_000),
            charge: ChargeRecord(
                parts: [.init(owner: .org("o"), slices: [Slice(lot: "lot", amount: credits(10))])]))
        source.append(.callAmended(amended), at: time(6))
        let asOf = AsOf(log: source)
        func balance(_ known: UInt64, _ day: Int64?) async throws -> String? {
            try await asOf.credits(of: .org("o"), at: .position(known), effective: day.map(time))?
                .answer.summary?.account.balance.credits
        }
        #expect(try await balance(3, 1) == nil)
        #expect(try await balance(3, 2) == "100")
        // The price was published later, and holds for the call all the same.
        #expect(try await balance(3, 3) == "90")
        // Before the correction was known, and since: at the call's own time, in a lot that has not ended yet.
        #expect(try await balance(4, 4) == "90")
        #expect(try await balance(5, 4) == "96")
        #expect(try await balance(5, 3) == "96")
        #expect(try await balance(5, 2) == "100")
        // At its end the lot is empty either way: what went back into it expired.
        #expect(try await balance(4, 5) == "0")
        #expect(try await balance(5, 5) == "0")
        #expect(try await balance(5, nil) == "0")
    }
}
