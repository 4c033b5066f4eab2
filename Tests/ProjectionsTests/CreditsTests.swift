import Glibc
import Hashing
import Records
import SQLite
import TestEvents
import Testing

@testable import Billing
@testable import Projections

@Suite struct CreditsTests {
    private func run(
        _ folder: TemporaryFolder, _ source: ArraySource, batch: UInt64 = 100_000,
        _ ask: (ReadModels) async throws -> Void = { _ in }
    ) async throws -> [ProjectorStatus] {
        var pace = ProjectorPace()
        pace.batchRecords = batch
        let models = ReadModels(
            folder: folder.path, source: source, projections: [Credits.self, Lago.self], runners: 1, pace: pace)
        try await models.start()
        for name in ["credits", "lago"] {
            let seen = await models.wait(name, until: source.highWater, timeoutMilliseconds: 120_000)
            #expect(seen == source.highWater, "\(models.statuses)")
        }
        try await ask(models)
        let statuses = models.statuses
        await models.stop()
        return statuses
    }

    private func stored<P: Projection>(_ type: P.Type, in folder: TemporaryFolder) throws -> String {
        let database = try Database(path: folder.path + "/\(P.name).sqlite", mode: .readOnly)
        return Digest(bytes: try P.digest(of: database).bytes).hex
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func `credits and lago are the same however often they are stopped, cut or refolded`(seed: UInt64) async throws {
        let (records, _) = AdmittedLog.make(1500, seed: seed)
        let whole = ArraySource(records)
        let folder = TemporaryFolder()
        let live = try await run(folder, whole).map(\.digest)
        #expect(Set(live).count == 2)
        #expect(try stored(Credits.self, in: folder) == live[0])
        #expect(try stored(Lago.self, in: folder) == live[1])
        #expect(Digest(bytes: try Credits.refold(whole, through: 1500).bytes).hex == live[0])
        #expect(Digest(bytes: try Lago.refold(whole, through: 1500).bytes).hex == live[1])

        var random = RandomEvents(seed: seed &* 31)
        let pieces = ArraySource()
        let other = TemporaryFolder()
        var last: [ProjectorStatus] = []
        while pieces.records.count < records.count {
            let next = min(records.count, pieces.records.count + Int(random.number(1...300)))
            pieces.append(records[pieces.records.count..<next])
            pieces.cutReads(at: Int(random.number(1...100)))
            last = try await run(other, pieces, batch: UInt64(random.number(1...200)))
        }
        #expect(last.map(\.digest) == live)
        #expect(try stored(Credits.self, in: other) == live[0])
        #expect(try stored(Lago.self, in: other) == live[1])

        unlink(folder.path + "/credits.sqlite")
        unlink(folder.path + "/lago.sqlite")
        #expect(try await run(folder, whole).map(\.digest) == live)
    }

    @Test(arguments: [21, 22] as [UInt64])
    func `queries answer what the writer's book says, and statements add up to the balance`(seed: UInt64) async throws {
        let (records, book) = AdmittedLog.make(1500, seed: seed)
        let folder = TemporaryFolder()
        _ = try await run(folder, ArraySource(records)) { (models: ReadModels) async throws in
            for days in [0, 6, 19] as [Int64] {
                let now = AdmittedLog.start.adding(seconds: days * 86_400 + 43_200)
                for owner in AdmittedLog.orgs.map(Owner.org) + AdmittedLog.users.map(Owner.user) {
                    let seen = try await models.ask(CreditsQuery(owner: owner, now: now))
                    #expect(seen.position == 1500)
                    #expect(seen.answer == book.ledger.summary(of: owner, at: now))
                }
                for org in AdmittedLog.orgs {
                    for user in AdmittedLog.users {
                        let answer = try await models.ask(UserCreditsQuery(org: org, user: user, now: now)).answer
                        #expect(answer?.available == book.ledger.available(org: org, user: user, at: now))
                        let status = book.ledger.summary(of: .org(org), at: now)?.allocations
                            .first { $0.allocation.user == user }
                        #expect(answer?.allocation == status)
                    }
                }
            }
            #expect(!book.ledger.state.holds.isEmpty)
            for account in book.ledger.state.accounts {
                let entries = try await statement(of: account.owner, limit: 7, from: models)
                var balance = Money.zero
                for entry in entries.reversed() {
                    balance += entry.movement.amount + entry.movement.invoiced
                    #expect(entry.movement.balanceAfter == balance)
                    #expect(entry.time == records[Int(entry.position) - 1].occurredAt)
                }
                #expect(balance == account.balance)
                let spends: Set<Movement.Kind> = [.charge, .refund]
                let charged = entries.filter { spends.contains($0.movement.kind) }.reduce(Money.zero) {
                    $0 - $1.movement.amount
                }
                #expect(charged == account.spent)
                let whole = try await models.ask(StatementQuery(owner: account.owner, limit: 1000)).answer
                #expect(whole.entries == Array(entries.prefix(1000)))
                if case .org(let org) = account.owner {
                    var spent = Money.zero
                    for user in AdmittedLog.users {
                        let answer = try await models.ask(UserCreditsQuery(org: org, user: user, now: .latest)).answer
                        let own = entries.filter { $0.movement.user == user && spends.contains($0.movement.kind) }
                        #expect(answer?.spent == own.reduce(Money.zero) { $0 - $1.movement.amount })
                        #expect(answer?.overage == own.reduce(Money.zero) { $0 + $1.movement.overage })
                        spent += answer?.spent ?? .zero
                    }
                    #expect(spent > .zero && spent <= account.spent)
                }
            }
            let none = try await models.ask(CreditsQuery(owner: .org("nobody"), now: AdmittedLog.start)).answer
            #expect(none == nil)
            #expect(try await models.ask(StatementQuery(owner: .org("nobody"))).answer.entries.isEmpty)
        }
    }

    private func statement(
        of owner: Owner, limit: Int, from models: ReadModels
    ) async throws -> [StatementEntry] {
        var entries: [StatementEntry] = []
        var cursor: StatementCursor?
        repeat {
            let page = try await models.ask(StatementQuery(owner: owner, before: cursor, limit: limit)).answer
            #expect(page.entries.count == limit || page.next == nil)
            entries += page.entries
            cursor = page.next
        } while cursor != nil
        return entries
    }

    @Test func `a charge's movements carry its slices in the order of burning`() async throws {
        let source = ArraySource()
        let now = AdmittedLog.start
        source.append(.planDefined(Plan(name: "p", calls: [], markup: .zero)), at: now)
        source.append(
            .planAssigned(Assignment(owner: .org("o"), plan: "p", funding: .orgThenUser)), at: now)
        let rule = PriceRule(perCall: Decimal(mantissa: 10, scale: 0))
        source.append(.pricesPublished(PriceList(unit: .credits, rules: [rule])), at: now)
        func grant(_ owner: Owner, _ credits: Int64, _ id: Name, _ priority: UInt8) {
            let grant = Grant(
                owner: owner, credits: Money(nanos: credits * Money.nanosPerCredit), category: .paid, priority: priority
            )
            source.append(.creditsGranted(grant), at: now, id: id)
        }
        grant(.org("o"), 3, "late burner", 9)
        grant(.org("o"), 2, "early", 1)
        grant(.user("u"), 4, "purse", 1)
        let call = Call(org: "o", user: "u", provider: "p", model: "m", operation: .chat, status: .success)
        source.append(.call(call), at: now)
        let folder = TemporaryFolder()
        _ = try await run(folder, source) { (models: ReadModels) async throws in
            let movements = try await models.ask(ExplanationQuery(source.records[6])).answer.movements
            #expect(movements.map(\.owner) == [.org("o"), .user("u")])
            #expect(
                movements.first?.slices == [
                    Slice(lot: "early", amount: Money(nanos: 2_000_000)),
                    Slice(lot: "late burner", amount: Money(nanos: 3_000_000)),
                ])
            #expect(movements.first?.amount.credits == "-6")
            #expect(movements.first?.overage.credits == "1")
            #expect(movements.last?.slices == [Slice(lot: "purse", amount: Money(nanos: 4_000_000))])
            for owner: Owner in [.org("o"), .user("u")] {
                let entries = try await models.ask(StatementQuery(owner: owner, limit: 1)).answer.entries
                #expect(entries.first?.model == "m")
            }
        }
    }

    @Test func `a charge says what it settled, and that it was more than held`() async throws {
        let source = ArraySource()
        let now = AdmittedLog.start
        source.append(.pricesPublished(PriceList(
            unit: .credits, rules: [PriceRule(perCall: Decimal(mantissa: 5, scale: 0))])), at: now)
        source.append(
            .creditsGranted(Grant(owner: .org("o"), credits: Money(nanos: 50_000_000), category: .paid)), at: now)
        for (id, held) in [("less", 4_000_000), ("more", 6_000_000)] as [(Name, Int64)] {
            let request = AuthorizationRequest(id: id, org: "o", provider: "p", model: "m")
            source.append(
                .authorizationGranted(
                    Authorization(
                        subject: AuthorizationSubject(request), held: Money(nanos: held),
                        expiresAt: now.adding(seconds: 60))), at: now)
        }
        for id in ["less", "more", "more", nil] as [Name?] {
            let call = Call(
                org: "o", provider: "p", model: "m", operation: .chat, status: .success, authorization: id)
            source.append(.call(call), at: now)
        }
        let folder = TemporaryFolder()
        _ = try await run(folder, source) { (models: ReadModels) async throws in
            let entries = try await models.ask(StatementQuery(owner: .org("o"))).answer.entries
            let settled = entries.reversed().map(\.settlement)
            #expect(
                settled == [
                    nil, Settlement(authorization: "less", kind: .exceeded, held: Money(nanos: 4_000_000)),
                    Settlement(authorization: "more", kind: .covered, held: Money(nanos: 6_000_000)),
                    Settlement(authorization: "more", kind: .late, held: .zero), nil,
                ])
        }
    }

    @Test func `credits that vanish stop the fold at the record that moved them`() throws {
        let source = ArraySource()
        func adjust(_ owner: Name, _ nanos: Int64) {
            let adjustment = Adjustment(owner: .org(owner), credits: Money(nanos: nanos), reason: "r")
            source.append(.creditsAdjusted(adjustment), at: AdmittedLog.start)
        }
        for owner in ["a", "b"] as [Name] { adjust(owner, 9_000_000) }
        for owner in ["b", "a"] as [Name] { adjust(owner, -2_000_000) }
        let rows = BookRows()
        for record in source.records[0..<2] { _ = try rows.apply(record) }
        let whole = rows.book
        // A nano-dollar of the lot of a, then of its account, is gone.
        rows.book.ledger.lots[0].lot.voided -= Money(nanos: 1)
        #expect(throws: RecordFault.self) { try rows.check(at: 2) }
        _ = try rows.apply(source.records[2])
        do {
            _ = try rows.apply(source.records[3])
            Issue.record("it went on")
        } catch {
            #expect(error.position == 4)
            #expect(error.reason.hasPrefix("credits are not conserved: lot \(source.records[0].event.id): granted 9 "))
        }
        rows.book = whole
        rows.book.ledger.accounts[0].sums.expired += Money(nanos: 1)
        _ = try rows.apply(source.records[2])
        do {
            _ = try rows.apply(source.records[3])
            Issue.record("it went on")
        } catch {
            #expect(error.position == 4)
            #expect(error.reason.hasPrefix("credits are not conserved: account of a: granted 0 + "))
        }
    }

    @Test func `a record that admission would have refused stops the fold by name`() throws {
        let source = ArraySource()
        source.append(.planAssigned(Assignment(owner: .org("o"), plan: "nothing")))
        var fold = Credits()
        #expect(throws: RecordFault.self) { try fold.apply(source.records[0], log: source) }
        source.append(.callVoided(CallVoided(source: "s", id: "i", reason: "r")))
        #expect(throws: RecordFault.self) { try fold.apply(source.records[1], log: source) }
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func `a book takes or refuses whatever is well formed, and its sums hold`(seed: UInt64) {
        var random = RandomEvents(seed: seed)
        var book = Book()
        var taken = 0
        for position in 1...600 as ClosedRange<UInt64> {
            let event = random.event(kind: Int(random.number(0...Int64(RandomEvents.kinds - 1))))
            let before = book.ledger.state
            if (try? book.take(event, position: position, at: event.time ?? random.time())) != nil {
                taken += 1
            } else {
                #expect(book.ledger.state == before)
            }
        }
        #expect(taken > 100)
        #expect(book.ledger.state.accounts.allSatisfy { $0.isConserved })
        #expect(book.ledger.state.lots.allSatisfy { $0.isConserved })
        #expect(Ledger(restoring: book.ledger.state).state == book.ledger.state)
    }

    @Test func `cursors and ids are read as they are written and in no other way`() {
        #expect(StatementCursor("41-0") == StatementCursor(position: 41, sequence: 0))
        #expect(LagoBatchID("b-41-7") == LagoBatchID(position: 41, number: 7))
        for text in [
            "", "-", "41", "41-", "-1", "+1-0", "041-0", "1-00", "1-0-0", "1-x", "9223372036854775808-0",
            "1-4294967296",
        ] {
            #expect(StatementCursor(text) == nil, "\(text)")
        }
        for text in ["41-7", "b-41", "B-41-7", "b--7", "b-41-7 ", "b-041-7"] { #expect(LagoBatchID(text) == nil) }
        let slices = [Slice(lot: "a b é", amount: Money(nanos: -5)), Slice(lot: "c", amount: Money(nanos: .max))]
        var cells = RowCells()
        cells.begin(tag: 1)
        SliceText.write(slices, to: &cells)
        let text = String(decoding: cells.content(0), as: UTF8.self)
        #expect(text == slices.map { "\($0.amount.nanos) \($0.lot.text)" }.joined(separator: "\n"))
        #expect(SliceText.read(text) == slices)
        #expect(SliceText.read("") == [])
    }
}
