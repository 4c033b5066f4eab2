import Billing
import TestEvents
import Testing

@Suite struct WhatIfTests {
    /// A log in memory: events with what corrections unwind.
    private struct Log {
        var book = Book(countsCalls: true)
        var history = CallHistory()
        var records: [(event: Event, time: Timestamp, recordedAt: Timestamp)] = []

        init(_ script: Script) {
            for (event, time) in script.events { append(event, at: time) }
        }

        /// False when admission refuses it.
        @discardableResult
        mutating func append(_ event: Event, at time: Timestamp) -> Bool {
            let position = UInt64(records.count) + 1
            do throws(Rejection) {
                let event = try history.resolved(event)
                let outcome = try book.take(event, position: position, at: event.time ?? time)
                history.note(event, outcome: outcome, position: position, at: event.time ?? time)
                records.append((event, event.time ?? time, max(time, records.last?.recordedAt ?? time)))
                return true
            } catch {
                return false
            }
        }

        var published: [Repricing.Published] {
            records.enumerated().compactMap { index, record in
                switch record.event.fact {
                case .planDefined, .pricesPublished:
                    Repricing.Published(position: UInt64(index) + 1, event: record.event, occurredAt: record.time)
                default: nil
                }
            }
        }

        func fold(_ alternative: WhatIf.Alternative) throws -> (WhatIf, [WhatIf.Difference]) {
            var hindsight = Hindsight(alternative)
            for (index, record) in records.enumerated() {
                try hindsight.apply(record.event, position: UInt64(index) + 1, at: record.time)
            }
            var whatIf = WhatIf(alternative, hindsight: hindsight)
            var differences: [WhatIf.Difference] = []
            for (index, record) in records.enumerated() {
                let difference = try whatIf.apply(
                    record.event, position: UInt64(index) + 1, at: record.time, recordedAt: record.recordedAt)
                if let difference { differences.append(difference) }
            }
            return (whatIf, differences)
        }

        mutating func write(_ set: Repricing, _ differences: [WhatIf.Difference], at time: Timestamp) {
            for event in set.publications { #expect(append(event, at: time), "\(event.id)") }
            for difference in differences {
                let event = set.amendment(of: difference)
                #expect(append(event, at: time), "\(event.id)")
            }
        }
    }

    private static func list(_ words: String) -> PriceList {
        Script.priceList(words.split(separator: " ").map(String.init))
    }

    private static func log(_ rows: String) -> Log { Log(Script.run(rows)) }

    private func row(_ whatIf: WhatIf, _ owner: String) -> WhatIf.Row? {
        whatIf.rows.first { $0.owner == Script.owner(owner) }
    }

    @Test func `only the window's calls are charged otherwise, to the microsecond`() throws {
        let log = Self.log(
            """
            prices from=10-01 rule any=1
            @11-02T09:00 call org=a in=1000
            @11-02T10:00 call org=a in=1000
            @11-02T11:59:59.999999 call org=a in=1000
            @11-02T12:00 call org=a in=1000
            """)
        let (whatIf, differences) = try log.fold(
            .init(
                substitution: Substitution(
                    prices: Self.list("rule any=3"), from: Script.instant("11-02T10:00"),
                    until: Script.instant("11-02T12:00"))))
        #expect(differences.map(\.position) == [3, 4])
        #expect(row(whatIf, "org:a")?.chargedThen == 2_000_000)
        #expect(row(whatIf, "org:a")?.chargedNow == 6_000_000)
        #expect(row(whatIf, "org:a")?.calls == 2)
        #expect(whatIf.alternative.ledger.account(Script.owner("org:a"))?.balance.credits == "-8")
    }

    @Test func `a call is denied as an authorization asked for just before it would be`() throws {
        let log = Self.log(
            """
            plan p calls=3/month/hard overage=block
            assign org:a p
            prices from=10-01 rule any=1
            grant g org:a 4
            @11-02 call org=a in=1000
            call org=a in=2000
            usage org=a in=1000
            call org=a in=1
            call org=a in=0
            """)
        // Then 1 and 2 of 4, usage the last 1: the third call finds nothing left, the fourth is number 4 of 3.
        // Now 2 of 4, then 4 of 2 is refused and charged all the same, and so on.
        let (whatIf, _) = try log.fold(.init(substitution: Substitution(prices: Self.list("rule any=2"))))
        #expect(row(whatIf, "org:a")?.deniedThen == 2)
        #expect(row(whatIf, "org:a")?.deniedNow == 3)
    }

    @Test func `a call is not refused for the hold that it settles`() throws {
        let log = Self.log(
            """
            plan p calls=1/month/hard overage=block
            assign org:a p
            prices from=10-01 rule any=1
            grant g org:a 3
            @11-02 hold h org=a credits=3
            call org=a in=3000 auth=h
            """)
        let (whatIf, _) = try log.fold(.init(substitution: Substitution(prices: Self.list("rule any=1"))))
        #expect(row(whatIf, "org:a")?.deniedThen == 0)
        #expect(row(whatIf, "org:a")?.deniedNow == 0)
        #expect(whatIf.alternative.ledger.account(Script.owner("org:a"))?.held == .zero)
    }

    @Test func `what would have been left of a lot expires when its end passes`() throws {
        let log = Self.log(
            """
            prices from=10-01 rule any=10
            grant g org:a 10 until=11-05
            @11-02 call org=a in=1000
            @11-06 grant later org:b 1
            @11-04 call org=a in=1000
            """)
        let (whatIf, _) = try log.fold(.init(substitution: Substitution(prices: Self.list("rule any=4"))))
        // 4 of 10 were taken; 6 ended on the 5th, before the late call of the 4th came.
        let account = whatIf.alternative.ledger.account(Script.owner("org:a"))
        #expect(account?.expired.credits == "6")
        #expect(account?.balance.credits == "-4")
    }

    @Test func `a plan takes the place of its name only, and a plan nobody has changes nothing`() throws {
        let log = Self.log(
            """
            plan p markup=0.5
            plan q markup=0.5
            assign org:a p
            assign org:b q
            prices from=10-01 rule any=2
            @11-02 call org=a in=1000
            call org=b in=1000
            """)
        var plan = Plan(name: "p", calls: [], markup: Script.decimal("1"))
        var (whatIf, _) = try log.fold(.init(substitution: Substitution(plans: [plan])))
        #expect(row(whatIf, "org:a")?.chargedNow == 4_000_000)
        #expect(row(whatIf, "org:b")?.chargedNow == 3_000_000)
        plan.name = "nobody"
        (whatIf, _) = try log.fold(.init(substitution: Substitution(plans: [plan])))
        #expect(whatIf.actual.ledger.state == whatIf.alternative.ledger.state)
    }

    @Test func `a charge that fits in no balance is a fault with its position`() {
        let log = Self.log("prices from=10-01 rule any=1\n@11-02 call org=a in=1000000000000")
        #expect(throws: WhatIf.Fault.self) {
            _ = try log.fold(.init(substitution: Substitution(prices: Self.list("rule any=999999"))))
        }
    }

    /// Random histories: nothing differs where nothing is changed; what is applied differs no more; what is taken back
    /// is as it was, and can be applied again.
    @Test(arguments: 1...16 as ClosedRange<UInt64>)
    func `apply, apply again, revert, apply again`(seed: UInt64) throws {
        var random = Seeded(seed)
        var script = StreamTests().start()
        for number in 0..<400 { _ = script.perform(StreamTests().row(number, &random)) }
        var log = Log(script)
        #expect(log.records.count == script.events.count)
        let (same, none) = try log.fold(.init())
        #expect(none.isEmpty)
        #expect(same.actual.ledger.state == same.alternative.ledger.state)
        #expect(same.actual.ledger.state == log.book.ledger.state)

        let from = Script.instant("11-08")
        let substitution = Substitution(
            prices: Self.list("rule any=0.7"),
            plans: [Plan(name: "p1", calls: [], markup: Script.decimal("0.25"), overage: .allow)],
            from: seed % 3 == 0 ? nil : from, until: seed % 2 == 0 ? nil : Script.instant("11-20"))
        let now = Script.instant("12-01")
        func check(_ what: String) throws {
            let (after, left) = try log.fold(.init(substitution: substitution))
            #expect(left.isEmpty, "\(what): \(left.count) calls still differ")
            #expect(after.actual.ledger.state == after.alternative.ledger.state)
            #expect(after.alternative.ledger.fault == nil)
            let again = Repricing(substitution, hash: "abc", published: log.published)
            #expect(again.publications.isEmpty, "\(what): \(again.publications.map(\.id))")
        }
        let spent = charges(log)
        var set = Repricing(substitution, hash: "abc", published: log.published)
        #expect(set.id == "abc.1")
        var (whatIf, differences) = try log.fold(.init(substitution: substitution))
        #expect(whatIf.rows.reduce(0) { $0 + $1.differing } == differences.count)
        // Interrupted and started again: as if in one go.
        var half = log
        half.write(set, Array(differences.prefix(differences.count / 2)), at: now)
        let rest = try half.fold(.init(substitution: substitution)).1
        #expect(Repricing(substitution, hash: "abc", published: half.published).id == set.id)
        half.write(Repricing(substitution, hash: "abc", published: half.published), rest, at: now)
        log.write(set, differences, at: now)
        #expect(half.book.ledger.state == log.book.ledger.state)
        try check("applied")

        let id = set.id
        let back = WhatIf.Alternative(ignoring: { Repricing.publishes($0, for: id) })
        set = try #require(Repricing(takingBack: id, published: log.published))
        (_, differences) = try log.fold(back)
        log.write(set, differences, at: now)
        #expect(try log.fold(back).1.isEmpty)
        #expect(Repricing(takingBack: id, published: log.published)?.publications.isEmpty == true)
        #expect(log.book.ledger.fault == nil)
        // Lists of the stream are published as it goes: a call that came before its list comes back at that list.
        let restored = charges(log)
        let final = catalog(log)
        for (key, charge) in restored where charge != spent[key] {
            #expect(final[key] == charge, "\(key) came back at \(charge), not at \(spent[key] ?? .zero)")
        }

        set = Repricing(substitution, hash: "abc", published: log.published)
        #expect(set.id == "abc.2")
        (_, differences) = try log.fold(.init(substitution: substitution))
        log.write(set, differences, at: now)
        try check("applied again")
    }

    /// What each call stands at, and by what is published in the end.
    private func charges(_ log: Log) -> [String: Money] {
        var charges: [String: Money] = [:]
        for (index, record) in log.records.enumerated() {
            switch record.event.fact {
            case .call, .usage: charges["\(record.event.id)"] = charge(log, UInt64(index) + 1)
            case .callAmended(let amended): charges["\(amended.id)"] = charge(log, UInt64(index) + 1)
            case .callVoided(let voided): charges["\(voided.id)"] = nil
            default: break
            }
        }
        return charges
    }

    private func charge(_ log: Log, _ position: UInt64) -> Money {
        var catalog = Catalog()
        for (index, record) in log.records.prefix(Int(position) - 1).enumerated() {
            switch record.event.fact {
            case .planDefined, .planAssigned, .pricesPublished:
                catalog.apply(record.event.fact, position: UInt64(index) + 1, at: record.time)
            default: break
            }
        }
        return charge(log.records[Int(position) - 1], by: catalog)
    }

    private func charge(
        _ record: (event: Event, time: Timestamp, recordedAt: Timestamp), by catalog: Catalog
    ) -> Money {
        let rating: Rating? =
            switch record.event.fact {
            case .call(let call): try? catalog.rate(call, at: record.time)
            case .usage(let call): try? catalog.rate(call, at: record.time, countsCall: false)
            case .callAmended(let amended):
                amended.unwinds.flatMap {
                    try? catalog.rate(amended.call, at: $0.occurredAt, countsCall: $0.isCall)
                }
            default: nil
            }
        return rating?.charge ?? .zero
    }

    private func catalog(_ log: Log) -> [String: Money] {
        var catalog = Catalog()
        for (index, record) in log.records.enumerated() {
            switch record.event.fact {
            case .planDefined, .planAssigned, .pricesPublished:
                catalog.apply(record.event.fact, position: UInt64(index) + 1, at: record.time)
            default: break
            }
        }
        var charges: [String: Money] = [:]
        for record in log.records {
            switch record.event.fact {
            case .call, .usage: charges["\(record.event.id)"] = charge(record, by: catalog)
            case .callAmended(let amended): charges["\(amended.id)"] = charge(record, by: catalog)
            default: break
            }
        }
        return charges
    }
}
