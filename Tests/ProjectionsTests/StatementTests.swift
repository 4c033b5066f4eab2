import Billing
import Records
import TestEvents
import Testing

@testable import Projections

/// Statements of random logs: by the read model in pieces, by the log in one go, and by hand.
@Suite struct StatementTests {
    private static let owners: [Owner] = [.org("o1"), .org("é"), .user("u1"), .user("u3")]

    private func day(_ number: Int64) -> Timestamp { AdmittedLog.start.adding(seconds: number * 86_400) }

    private func folded(_ owner: Owner, _ source: ArraySource, through: UInt64) throws -> [StatementEntry] {
        var fold = try StatementFold(of: owner, log: source)
        var entries: [StatementEntry] = []
        try source.forEach(through: through) { entries += try fold.entries(of: $0) }
        #expect(fold.ledgerBalance == entries.last?.movement.balanceAfter ?? .zero)
        return entries
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func `opening balance and movements make the closing balance, of any period at any position`(
        seed: UInt64
    ) async throws {
        let source = ArraySource(AdmittedLog.make(1200, seed: seed).records)
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Credits.self])
        try await models.start()
        #expect(await models.wait("credits", until: 1200, timeoutMilliseconds: 120_000) == 1200)
        var random = RandomEvents(seed: seed)
        var lines = 0
        for owner in Self.owners {
            for _ in 0..<4 {
                let through = UInt64(random.number(1...1200))
                let from = day(random.number(0...12))
                let period = random.pick([
                    StatementPeriod(), StatementPeriod(from: from, to: day(random.number(12...21))),
                    StatementPeriod(from: from), StatementPeriod(to: from),
                ])
                let all = try folded(owner, source, through: through)
                // By hand.
                let opening = all.filter { period.isBefore($0.time) }.reduce(MoneySum.zero) {
                    $0 + MoneySum($1.movement.effect)
                }
                let within = all.filter { period.contains($0.time) }

                let sums = try await models.ask(
                    StatementTotalsQuery(owner: owner, period: period, through: through)).answer
                #expect(sums.isLast && sums.totals.addsUp)
                #expect(sums.totals.opening == opening)
                #expect(sums.totals.closing == within.reduce(opening) { $0 + MoneySum($1.movement.effect) })
                #expect(sums.totals.lines == Int64(within.count))
                for kind in Movement.Kind.allCases {
                    #expect(sums.totals[kind].count == within.count { $0.movement.kind == kind })
                }
                var scanned: [StatementEntry] = []
                var scan = StatementScanQuery(owner: owner, period: period, through: through)
                while true {
                    let piece = try await models.ask(scan).answer
                    scanned += piece.entries
                    if piece.isLast { break }
                    scan.after = piece.reached
                }
                #expect(scanned == within)
                lines += within.count
            }
        }
        #expect(lines > 200)
        await models.stop()
    }

    @Test func `a long statement comes in pieces, of which none is long`() async throws {
        let source = ArraySource()
        source.append(
            .creditsGranted(Grant(owner: .org("o"), credits: Money(nanos: 1_000_000_000), category: .paid)),
            at: day(0))
        for number in 0..<2_300 as Range<Int64> {
            source.append(
                .creditsAdjusted(Adjustment(owner: .org("o"), credits: Money(nanos: -1), reason: "r")),
                at: day(number % 2))
        }
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Credits.self])
        try await models.start()
        #expect(await models.wait("credits", until: 2_301, timeoutMilliseconds: 120_000) == 2_301)
        var scan = StatementScanQuery(
            owner: .org("o"), period: StatementPeriod(from: day(1), to: day(2)), through: 2_301)
        var counts: [Int] = []
        while true {
            let piece = try await models.ask(scan).answer
            counts.append(piece.entries.count)
            if piece.isLast { break }
            scan.after = piece.reached
        }
        #expect(counts.reduce(0, +) == 1_150 && counts.allSatisfy { $0 <= StatementScanQuery.linesMax })
        #expect(counts.count == 3)
        await models.stop()
    }

    @Test func `totals of pieces are the totals of the whole`() throws {
        let source = ArraySource(AdmittedLog.make(400, seed: 9).records)
        let entries = try folded(.org("o1"), source, through: 400)
        let period = StatementPeriod(from: day(5), to: day(15))
        var whole = StatementTotals()
        var pieces = StatementTotals()
        for entry in entries {
            var piece = StatementTotals()
            let movement = entry.movement
            func take(_ totals: inout StatementTotals) {
                totals.add(
                    movement.kind, amount: movement.amount, invoiced: movement.invoiced, at: entry.time, in: period)
            }
            take(&whole)
            take(&piece)
            pieces.add(piece)
        }
        #expect(pieces == whole && whole.addsUp && whole.lines > 20)
    }

    @Test func `sums of a statement may be larger than any amount`() {
        var totals = StatementTotals()
        let most = Money(nanos: .max)
        for _ in 0..<3 {
            totals.add(.charge, amount: -most, invoiced: .zero, at: day(1), in: StatementPeriod(from: day(2)))
            totals.add(.refund, amount: most, invoiced: .zero, at: day(3), in: StatementPeriod(from: day(2)))
        }
        #expect(totals.addsUp && totals.opening.credits == "-27670116110564.327421" && totals.closing == .zero)
        #expect(totals[.refund].amount.credits == "27670116110564.327421" && totals[.refund].count == 3)
    }
}

/// Which records a Lago line is made of.
@Suite struct LagoPartsTests {
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `the parts of every sealed line are its sums`(seed: UInt64) throws {
        let source = ArraySource(AdmittedLog.make(2000, seed: seed &+ 300).records)
        var fold = try LagoPartsFold(log: source)
        var model = try PastModel(Lago.self, log: source)
        var sealed: [(line: LagoLine, parts: [LagoLinePart])] = []
        try source.forEach(through: 2000) { record in
            sealed += try fold.take(record)
            try model.apply(record)
        }
        var taken = 0
        for (line, parts) in sealed {
            let id = try #require(LagoLineID(line.id))
            let stored = try model.answer(LagoLineQuery(id: id))
            #expect(stored == line, "seed \(seed), \(line.id)")
            #expect(LagoPartsFold.sums(of: parts) == line.sums)
            taken += parts.count { $0.sign < 0 }
        }
        #expect(sealed.count > 10)
        #expect(seed > 1 || taken > 0)
    }
}
