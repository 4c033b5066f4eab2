import Billing
import Hashing
import Records
import TestEvents
import Testing

@testable import Projections

/// A log as an older release may have written it: its admission took any cost that a decimal holds, and nothing bounds
/// how many calls at the limit of a count there are. Whatever was acknowledged is folded, and every question answered.
@Suite struct WideSumTests {
    private static let start = RandomLog.firstDay.start
    private static let cost = Decimal(mantissa: 9_000_000_000, scale: 0)
    private static let most = Usage.countMax

    private static func call(_ org: Name, _ model: Name, cost: Decimal? = cost) -> Call {
        Call(
            org: org, user: "u", provider: "p", model: model, operation: .chat, status: .success,
            usage: Usage(
                inputTokens: most, outputTokens: most, images: most,
                audioSeconds: Decimal(mantissa: 1_000_000, scale: 0), characters: most, searches: most),
            cost: cost)
    }

    private static func log() -> ArraySource {
        let source = ArraySource()
        source.append(
            .planDefined(Plan(name: "inv", calls: [], markup: .zero, overage: .invoice)), at: start, id: "plan")
        for (org, subscription) in [("o1", "s"), ("o2", "s")] as [(Name, Name)] {
            source.append(
                .planAssigned(
                    Assignment(
                        owner: .org(org), plan: "inv",
                        lago: Assignment.Lago(externalCustomerID: "c", externalSubscriptionID: subscription))),
                at: start, id: Name(checked: "assigned \(org)"))
        }
        // 4 x 10^6 dollars a call: 10^12 output tokens at 4,000 credits a million.
        source.append(
            .pricesPublished(
                PriceList(
                    unit: .credits, rules: [PriceRule(per: 1_000_000, output: Decimal(mantissa: 4000, scale: 0))])),
            at: start, id: "prices")
        // In one row, and in rows of their own.
        for number in 1...3 { source.append(.call(call("o1", "m")), at: start, id: Name(checked: "same \(number)")) }
        for number in 1...3 {
            source.append(.call(call("o2", Name(checked: "m\(number)"))), at: start, id: Name(checked: "row \(number)"))
        }
        source.append(.call(call("o2", "cheap", cost: .one)), at: start, id: "cheap")
        return source
    }

    private func withModels(_ source: ArraySource, _ body: (ReadModels) async throws -> Void) async throws {
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source)
        try await models.start()
        for type in ReadModels.all {
            let reached = await models.wait(type.name, until: source.highWater, timeoutMilliseconds: 120_000)
            #expect(reached == source.highWater, "\(String(describing: models.status(type.name)?.state))")
        }
        try await body(models)
        let statuses = models.statuses
        await models.stop()
        for (type, status) in zip(ReadModels.all, statuses) {
            let refolded = try type.refold(source, through: source.highWater)
            let stored = try #require(try type.stored(in: folder.path))
            #expect(stored.digest == refolded && stored.digestOfRows == refolded, "\(type.name)")
            #expect(Digest(bytes: refolded.bytes).hex == status.digest)
        }
    }

    @Test func `costs that pass 64 bits together are summed, in one row and over rows`() async throws {
        let source = Self.log()
        try await withModels(source) { models in
            let all = try await models.ask(TokensQuery()).answer.totals
            #expect(all.cost.dollars == "54000000001")
            for groups in [[.day], [.org], [.org, .model], [.user, .keySource]] as [[TokensQuery.Dimension]] {
                let grouped = try await models.ask(TokensQuery(groups: groups)).answer
                #expect(grouped.totals == all, "\(groups)")
                var sum = TokensAnswer.Totals()
                for row in grouped.rows { sum += row.totals }
                #expect(sum == all)
            }
            let byModel = try await models.ask(TokensQuery(org: "o2", groups: [.model])).answer
            #expect(byModel.rows.map(\.totals.cost.dollars) == ["1", "9000000000", "9000000000", "9000000000"])
            #expect(byModel.totals.cost.dollars == "27000000001")
            let one = try await models.ask(TokensQuery(org: "o1")).answer
            #expect(one.totals.cost.dollars == "27000000000" && one.totals.inputTokens == 3 * Int128(Self.most))
        }
        let asOf = try await AsOf(log: source).ask(Tokens.self, of: .org("o1"), at: .now) { _ in
            TokensQuery(org: "o1", groups: [.model])
        }
        #expect(asOf?.answer.totals.cost.dollars == "27000000000")
        var reporter = try PastReporter(Past(known: source.highWater), of: .user("u"), log: source)
        for record in source.records { try reporter.take(record) }
        #expect(try reporter.report().tokens.totals.cost.dollars == "54000000001")
    }

    @Test func `what a void and an amendment take out again leaves the row that was before`() async throws {
        let source = Self.log()
        let before = try Tokens.refold(source, through: source.highWater)
        let high = source.highWater
        source.append(.call(Self.call("o1", "m")), at: Self.start, id: "gone")
        source.append(
            .callAmended(CallAmended(source: "test", id: "gone", reason: "r", call: Self.call("o1", "x"))),
            at: Self.start)
        source.append(.callVoided(CallVoided(source: "test", id: "gone", reason: "r")), at: Self.start)
        #expect(try Tokens.refold(source, through: high) == before)
        var fold = Tokens()
        let sink = MemorySink()
        for record in source.records { try fold.apply(record, log: source) }
        try fold.flush(into: sink)
        var corrected = before
        var cells = RowCells()
        cells.begin(tag: 4)
        cells.integer(Int64(high + 1))
        cells.integer(0)
        corrected.add(cells.canonical)
        #expect(sink.digest == corrected)
    }

    /// Nine million calls at the limit of a count pass 64 bits: half of them stand in the row already.
    @Test func `counts at the limit pass 64 bits, in rows of tokens and in lines of Lago`() async throws {
        let source = Self.log()
        let most = Int128(Self.most)
        var sums = TokensAnswer.Totals()
        for _ in 0..<3 {
            sums += TokensAnswer.Totals(
                Self.call("o1", "m"), isCall: true, rating: Rating(charge: .zero, notional: .zero))
        }
        #expect(sums.inputTokens == 3 * most && sums.audioMicroseconds == 3 * most)
        #expect(sums.cost.dollars == "27000000000")
        // A row near the limit, and one more call.
        let near = Int128(Int64.max) - 1
        var cells = RowCells()
        cells.begin(tag: 1)
        for value in [near, -near, near] { cells.sum(value) }
        var more = RowCells()
        more.begin(tag: 1)
        for value in [most, -most, -most] { more.sum(value) }
        cells.add(more, from: 0)
        #expect((0..<3).map { cells.sum($0) } == [near + most, -near - most, near - most])
        #expect((0..<3).map { cells[$0].kind } == [.blob, .blob, .integer])

        // A line adds what several owners of one subscription were charged: each account holds its own, the line both.
        source.append(.lagoWindowClosed(LagoWindowClosed(windowSeconds: 86_400, through: Self.start)), at: Self.start)
        let through = Self.start.adding(seconds: 2 * 86_400)
        source.append(.lagoWindowClosed(LagoWindowClosed(windowSeconds: 86_400, through: through)), at: through)
        try await withModels(source) { models in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            var charged = MoneySum.zero
            for batch in batches {
                let content = try #require(try await models.ask(LagoBatchQuery(id: batch.id)).answer)
                for line in content.lines { charged += line.sums.charge }
                #expect(!content.body.isEmpty)
            }
            #expect(charged == (try await models.ask(TokensQuery()).answer.totals.charge))
        }
        var line = LagoSums(at: Self.start, position: 1)
        line.charge = MoneySum(Money(nanos: .max))
        line.inputTokens = Int128(Int64.max)
        let usage = LineUsage(
            call: Self.call("o1", "m"), isCall: true, at: Self.start, charge: Money(nanos: .max),
            invoiced: Money(nanos: .max))
        line.add(usage, sign: 1, position: 2)
        #expect(line.charge.credits == "18446744073709.551614" && line.inputTokens == Int128(Int64.max) + most)
        let key = LagoLineKey(
            subscription: "s", windowStart: 0, windowSeconds: 3600, provider: "p", model: "m", operation: .chat)
        let sealed = LagoLine(position: 9, number: 1, batch: 1, key: key, sums: line)
        let body = String(
            decoding: LagoBatchBody.bytes([sealed], batch: LagoBatchID(position: 9, number: 1), closedAt: Self.start),
            as: UTF8.self)
        #expect(body.contains("\"input_tokens\":9223373036854775807,"))
        #expect(body.contains("\"credits\":\"18446744073709.551614\""))
        var row = RowCells()
        row.begin(tag: 6)
        LagoColumns.fill(&row, line)
        #expect(row.count == LagoColumns.sums.count)
        line.add(usage, sign: -1, position: 3)
        #expect(line.charge == MoneySum(Money(nanos: .max)) && line.inputTokens == Int128(Int64.max))
    }

    /// Each account holds what it was charged; all of them together do not fit in one.
    @Test func `what several owners were charged passes 64 bits, in totals and in a line they share`() async throws {
        let source = ArraySource()
        let time = Self.start
        source.append(
            .planDefined(Plan(name: "inv", calls: [], markup: .zero, overage: .invoice)), at: time, id: "plan")
        source.append(
            .pricesPublished(
                PriceList(unit: .credits, rules: [PriceRule(per: 1000, output: Decimal(mantissa: 5000, scale: 0))])),
            at: time, id: "prices")
        for org in ["o1", "o2", "o3"] as [Name] {
            source.append(
                .creditsGranted(Grant(owner: .org(org), credits: Money(nanos: .max), category: .paid)), at: time)
            source.append(
                .planAssigned(
                    Assignment(
                        owner: .org(org), plan: "inv",
                        lago: Assignment.Lago(externalCustomerID: "c", externalSubscriptionID: "shared"))), at: time)
            source.append(.call(Self.call(org, "m", cost: nil)), at: time)
        }
        let through = time.adding(seconds: 7200)
        source.append(.lagoWindowClosed(LagoWindowClosed(windowSeconds: 3600, through: through)), at: through)
        try await withModels(source) { models in
            let totals = try await models.ask(TokensQuery(groups: [.org])).answer
            #expect(totals.rows.map(\.totals.charge.credits) == Array(repeating: "5000000000000", count: 3))
            #expect(totals.totals.charge.credits == "15000000000000")
            let batch = try #require(try await models.ask(LagoBatchesQuery()).answer.first)
            let content = try #require(try await models.ask(LagoBatchQuery(id: batch.id)).answer)
            #expect(content.lines.map(\.sums.charge.credits) == ["15000000000000"])
            #expect(String(decoding: content.body, as: UTF8.self).contains("\"credits\":\"15000000000000\""))
            let summary = try await models.ask(CreditsQuery(owner: .org("o3"), now: time)).answer
            #expect(summary?.account.balance == Money(nanos: .max) - Money(nanos: 5_000_000_000_000_000_000))
        }
        var fold = try LagoPartsFold(log: source)
        let sealed = try source.records.flatMap { try fold.take($0) }
        #expect(sealed.map { LagoPartsFold.sums(of: $0.parts) } == sealed.map(\.line.sums) && sealed.count == 1)
        var history = OrgHistory(org: "o1", period: time..<through)
        for record in source.records { try history.apply(record, log: source) }
        // Its own part of the line that all three share.
        #expect(history.lines().map(\.sums.charge.credits) == ["5000000000000"])
        #expect(history.totals.sums[6] == 5_000_000_000_000_000_000)
    }

    /// 4 x 10^18 n$ a call, charged and given back: an account holds two of them, a statement counts all.
    @Test func `charges that were given back are more than an account ever held`() async throws {
        let source = ArraySource()
        source.append(
            .pricesPublished(
                PriceList(
                    unit: .credits, rules: [PriceRule(per: 1000, output: Decimal(mantissa: 4000, scale: 0))])),
            at: Self.start, id: "prices")
        var history = CallHistory()
        var book = Book()
        func take(_ fact: Fact, at time: Timestamp, id: Name) throws {
            let event = try history.resolved(Event(source: "test", id: id, time: time, fact: fact))
            let position = source.highWater + 1
            let outcome = try book.take(event, position: position, at: time)
            history.note(event, outcome: outcome, position: position, at: time)
            source.append(event.fact, at: time, id: id)
        }
        _ = book.apply(source.records[0].event, position: 1, at: Self.start)
        let later = Self.start.adding(seconds: 86_400)
        for number in 1...4 {
            let id = Name(checked: "c\(number)")
            try take(.call(Self.call("o", "m", cost: nil)), at: Self.start, id: id)
            try take(
                .callVoided(CallVoided(source: "test", id: id, reason: "r")), at: later, id: Name(checked: "v\(number)"))
        }
        let owner = Owner.org("o")
        try await withModels(source) { models in
            for (period, opening, refunded) in [
                (StatementPeriod(), "0", "16000000000000"), (StatementPeriod(from: later), "-16000000000000", "16000000000000"),
            ] {
                let sums = try await models.ask(StatementTotalsQuery(owner: owner, period: period)).answer
                #expect(sums.isLast && sums.totals.addsUp)
                #expect(sums.totals.opening.credits == opening)
                #expect(sums.totals[.refund].amount.credits == refunded)
                #expect(sums.totals.closing == .zero)
            }
        }
    }
}
