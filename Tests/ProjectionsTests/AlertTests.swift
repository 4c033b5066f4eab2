import Billing
import Hashing
import Platform
import Records
import TestEvents
import Testing

@testable import Projections

/// What fires, when, and what it says.
@Suite struct AlertTests {
    private static func time(_ text: String) -> Timestamp {
        Timestamp(rfc3339: "2026-\(text)") ?? Timestamp(microseconds: 0)
    }

    /// One record: "11-03T10:00:00Z" and what happened.
    private struct Step {
        var time: Timestamp
        var fact: Fact

        init(_ time: String, _ fact: Fact) {
            self.time = AlertTests.time(time)
            self.fact = fact
        }
    }

    private static let start: [Step] = [
        // 1 credit a thousand tokens.
        Step("01-01T00:00:00Z", .pricesPublished(PriceList(unit: .credits, rules: [PriceRule(anyToken: .one)]))),
        plan("01-01T00:00:00Z", [.init(limit: 10, per: .month, enforce: .hard)]),
        Step("01-01T00:00:00Z", .planAssigned(Assignment(owner: .org("o"), plan: "p"))),
    ]

    private static func plan(_ time: String, _ limits: [Plan.CallLimit], byok: Bool = true) -> Step {
        Step(
            time, .planDefined(Plan(name: "p", calls: limits, markup: .zero, byokCountsCalls: byok, overage: .allow)))
    }

    private static func credits(_ time: String, _ credits: Int64, owner: Owner = .org("o")) -> Step {
        let money = Money(nanos: credits * Money.nanosPerCredit)
        if credits < 0 {
            return Step(time, .creditsAdjusted(Adjustment(owner: owner, credits: money, reason: "r")))
        }
        return Step(time, .creditsGranted(Grant(owner: owner, credits: money, category: .paid)))
    }

    /// A call that costs `credits` credits.
    private static func call(
        _ time: String, _ credits: Int64 = 1, org: Name? = "o", user: Name? = nil,
        keySource: Call.KeySource = .platform, status: Call.Status = .success
    ) -> Step {
        Step(
            time,
            .call(
                Call(
                    org: org, user: user, provider: "p", model: "m", operation: .chat, keySource: keySource,
                    status: status, usage: status == .success ? Usage(inputTokens: credits * 1000) : nil)))
    }

    private static func alert(
        _ time: String, _ condition: Alert.Condition, name: Name = "a", owner: Owner = .org("o"), enabled: Bool = true
    ) -> Step {
        Step(
            time, .alertDefined(Alert(name: name, owner: owner, condition: condition, isEnabled: enabled)))
    }

    private static func money(_ credits: Int64) -> Money { Money(nanos: credits * Money.nanosPerCredit) }

    /// "4 a fired 99 2026-11-01": position less those of the start, alert, kind, value, start of the window.
    private static func text(_ firing: AlertFiring) -> String {
        var value = firing.reading.value.map(String.init) ?? "none"
        switch firing.condition {
        case .balanceBelow, .spend: value = Money(nanos: firing.reading.value ?? 0).credits
        case .callsPercent: value += "/" + (firing.reading.limit.map(String.init) ?? "none")
        case .daysLeft: break
        }
        var text = "\(Int(firing.position) - start.count) \(firing.alert) \(firing.kind.name) \(value)"
        if let window = firing.window {
            text += " " + (window.days.map { String($0.lowerBound.text.dropFirst(5)) } ?? "ever")
        }
        return text
    }

    /// What the records after the start say, folded at once, and again with a restart after each record.
    private func firings(_ steps: [Step]) async throws -> [String] {
        let source = ArraySource()
        var history = CallHistory()
        var book = Book()
        for (index, step) in (Self.start + steps).enumerated() {
            let stated = Event(source: "test", id: Name(checked: "id-\(index + 1)"), time: step.time, fact: step.fact)
            let event = try history.resolved(stated)
            let outcome = try book.take(event, position: UInt64(index + 1), at: step.time)
            history.note(event, outcome: outcome, position: UInt64(index + 1), at: step.time)
            source.append(event.fact, at: step.time)
        }
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Alerts.self], runners: 1)
        try await models.start()
        await models.wait("alerts", until: source.highWater, timeoutMilliseconds: 120_000)
        let status = try #require(models.status("alerts"))
        #expect(status.progress == source.highWater, "\(status)")
        let seen = try await models.ask(FiringsQuery(org: nil, after: 0, limit: 1000))
        await models.stop()
        #expect(seen.answer.map(\.number) == (0..<seen.answer.count).map { Int64($0 + 1) })

        let pieces = ArraySource()
        let other = TemporaryFolder()
        for record in source.records {
            pieces.append([record])
            let models = ReadModels(folder: other.path, source: pieces, projections: [Alerts.self], runners: 1)
            try await models.start()
            await models.wait("alerts", until: pieces.highWater, timeoutMilliseconds: 120_000)
            #expect(models.status("alerts")?.progress == pieces.highWater, "\(models.statuses)")
            await models.stop()
        }
        let stored = try #require(try Alerts.stored(in: other.path))
        #expect(stored.digestOfRows.hex == status.digest)
        #expect(try Alerts.refold(source, through: source.highWater).hex == status.digest)
        return seen.answer.map(Self.text)
    }

    @Test func `a balance fires below the threshold, not at it, once, and recovers at it`() async throws {
        let found = try await firings([
            Self.credits("11-01T00:00:00Z", 12), Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(10))),
            Self.call("11-01T01:00:00Z"), Self.call("11-01T02:00:00Z"), Self.call("11-01T03:00:00Z"),
            Self.call("11-01T04:00:00Z"), Self.credits("11-02T00:00:00Z", 1), Self.credits("11-02T00:00:00Z", 1),
            Self.call("11-03T00:00:00Z"), Self.credits("11-03T00:00:00Z", -30), Self.credits("11-03T00:00:00Z", 100),
        ])
        #expect(found == ["5 a fired 9", "8 a recovered 10", "9 a fired 9", "11 a recovered 79"])
    }

    @Test func `an alert is judged when it is defined, but not before its owner has credits`() async throws {
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(10)), name: "before"),
            Self.credits("11-01T00:00:00Z", 9), Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(9)), name: "at"),
            Self.alert("11-01T00:00:00Z", .balanceBelow(Money(nanos: 9_000_001)), name: "above"),
            Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(10)), name: "other", owner: .user("o")),
        ])
        #expect(found == ["2 before fired 9", "4 above fired 9"])
    }

    @Test func `a threshold below zero watches a debt`() async throws {
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(-2))), Self.call("11-01T00:00:00Z", 2),
            Self.call("11-01T00:00:00Z"),
        ])
        #expect(found == ["3 a fired -3"])
    }

    @Test func `spend fires at the threshold, once a day by the calls' own time, late ones for their own day`()
        async throws
    {
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .spend(Self.money(3), per: .day)), Self.call("11-01T23:00:00Z", 2),
            Self.call("11-02T00:00:00Z", 2), Self.call("11-02T23:59:59.999999Z", 1), Self.call("11-02T23:00:00Z", 5),
            Self.call("11-03T00:00:00Z", 9), Self.call("11-01T12:00:00Z", 1), Self.call("11-01T13:00:00Z", 1),
        ])
        #expect(found == ["4 a fired 3 11-02", "6 a fired 9 11-03", "7 a fired 3 11-01"])
    }

    @Test(arguments: [
        (Alert.Per.day, ["5 a fired 2 11-02", "7 a fired 2 11-08"]),
        (.week, ["3 a fired 2 10-26", "5 a fired 2 11-02"]), (.month, ["4 a fired 2 11-01"]),
        (.ever, ["3 a fired 2 ever"]),
    ])
    func `a week starts on Monday, a month on the first, ever has no end`(per: Alert.Per, expected: [String])
        async throws
    {
        // 1 November 2026 is a Sunday.
        let found = try await firings([
            Self.call("10-31T00:00:00Z"), Self.alert("10-31T00:00:00Z", .spend(Self.money(2), per: per)),
            Self.call("11-01T00:00:00Z"), Self.call("11-02T00:00:00Z"), Self.call("11-02T10:00:00Z"),
            Self.call("11-08T00:00:00Z"), Self.call("11-08T10:00:00Z"),
        ])
        #expect(found == expected)
    }

    @Test func `what was spent before the definition counts`() async throws {
        let found = try await firings([
            Self.call("11-01T00:00:00Z", 2), Self.call("11-02T00:00:00Z", 2),
            Self.alert("11-02T00:00:00Z", .spend(Self.money(5), per: .month)), Self.call("11-20T00:00:00Z", 1),
        ])
        #expect(found == ["4 a fired 5 11-01"])
    }

    @Test func `calls fire at their share of the limit, once a window, by their own time`() async throws {
        var steps = [Self.alert("10-31T00:00:00Z", .callsPercent(80))]
        for hour in 1...9 { steps.append(Self.call("11-02T0\(hour):00:00Z")) }
        // 8 in October, told later; a failure without usage is no call.
        for hour in 1...7 { steps.append(Self.call("10-02T0\(hour):00:00Z")) }
        steps.append(Self.call("10-03T00:00:00Z", status: .failure))
        steps.append(Self.call("10-31T23:59:59Z"))
        steps.append(Self.call("10-31T23:59:59Z"))
        #expect(try await firings(steps) == ["9 a fired 8/10 11-01", "19 a fired 8/10 10-01"])
    }

    @Test func `each window of a plan is watched by its tightest limit`() async throws {
        let found = try await firings([
            Self.plan(
                "10-01T00:00:00Z",
                [
                    .init(limit: 9, per: .day, enforce: .soft), .init(limit: 3, per: .day, enforce: .hard),
                    .init(limit: 5, per: .month, enforce: .soft), .init(limit: 100, per: .ever, enforce: .hard),
                ]),
            Self.alert("11-01T00:00:00Z", .callsPercent(100)), Self.call("11-01T01:00:00Z"),
            Self.call("11-01T02:00:00Z"), Self.call("11-01T03:00:00Z"), Self.call("11-02T01:00:00Z"),
            Self.call("11-02T02:00:00Z"), Self.call("11-02T03:00:00Z"),
        ])
        #expect(found == ["5 a fired 3/3 11-01", "7 a fired 5/5 11-01", "8 a fired 3/3 11-02"])
    }

    @Test func `a plan that gives more calls lets an alert recover, one that gives fewer fires it`() async throws {
        let anchored = Assignment(owner: .org("o"), plan: "p", anchorDay: 15)
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .callsPercent(50)), Self.call("11-01T01:00:00Z"),
            Self.call("11-01T02:00:00Z"), Self.plan("11-02T00:00:00Z", [.init(limit: 4, per: .month, enforce: .hard)]),
            Self.plan("11-03T00:00:00Z", [.init(limit: 5, per: .month, enforce: .hard)]),
            Self.plan("11-04T00:00:00Z", [.init(limit: 2, per: .month, enforce: .hard)]),
            // The window of November is gone; the one since 15 October has the same two calls.
            Step("11-05T00:00:00Z", .planAssigned(anchored)),
            Self.plan("11-06T00:00:00Z", []),
        ])
        #expect(
            found == [
                "4 a fired 2/4 11-01", "5 a recovered 2/5 11-01", "6 a fired 2/2 11-01", "7 a fired 2/2 10-15",
                "7 a recovered none/none 11-01", "8 a recovered none/none 10-15",
            ])
    }

    @Test func `calls on the owner's own key count where the plan counts them`() async throws {
        let limits = [Plan.CallLimit(limit: 2, per: .month, enforce: .hard)]
        let steps = [
            Self.alert("11-01T00:00:00Z", .callsPercent(100)), Self.call("11-01T01:00:00Z", keySource: .byok),
            Self.call("11-01T02:00:00Z"),
        ]
        #expect(try await firings([Self.plan("10-01T00:00:00Z", limits, byok: false)] + steps).isEmpty)
        #expect(try await firings([Self.plan("10-01T00:00:00Z", limits)] + steps) == ["4 a fired 2/2 11-01"])
    }

    @Test func `no calls fire nothing, where nothing is allowed the first one does`() async throws {
        let found = try await firings([
            Self.plan("10-01T00:00:00Z", [.init(limit: 0, per: .ever, enforce: .soft)]),
            Self.alert("11-01T00:00:00Z", .callsPercent(1)), Self.call("11-01T01:00:00Z"),
        ])
        #expect(found == ["3 a fired 1/0 ever"])
    }

    @Test func `days left follow the pace of seven days, the day itself and six before`() async throws {
        let found = try await firings([
            Self.credits("11-01T00:00:00Z", 17), Self.alert("11-01T00:00:00Z", .daysLeft(10)),
            // 7 in 7 days: 1 a day, 10 left: exactly 10 days.
            Self.call("11-01T01:00:00Z", 7),
            // 8 in 7 days, 9 left: 7.9 days.
            Self.call("11-02T01:00:00Z"),
            // The 7 of the first are over; 2 in 7 days, 8 left: 28 days.
            Self.call("11-08T01:00:00Z"),
            // A late one of the first day changes the balance, not the pace: 1 left, 2 in 7 days.
            Self.call("11-01T01:00:00Z", 7),
            // Nothing was spent in the week before.
            Self.credits("12-01T00:00:00Z", 1), Self.call("12-01T00:00:00Z", 3),
        ])
        #expect(
            found == [
                "4 a fired 7", "5 a recovered 28", "6 a fired 3", "7 a recovered none", "8 a fired -3",
            ])
    }

    @Test func `the same definition again changes nothing, another starts afresh, an end is the end`() async throws {
        let below: Alert.Condition = .balanceBelow(Self.money(10))
        let found = try await firings([
            Self.credits("11-01T00:00:00Z", 5), Self.alert("11-01T00:00:00Z", below),
            Self.alert("11-02T00:00:00Z", below), Self.alert("11-03T00:00:00Z", .balanceBelow(Self.money(11))),
            Self.alert("11-04T00:00:00Z", .balanceBelow(Self.money(4))), Self.call("11-05T00:00:00Z", 2),
            Self.alert("11-06T00:00:00Z", .balanceBelow(Self.money(4)), enabled: false),
            Self.credits("11-07T00:00:00Z", 100), Self.call("11-07T00:00:00Z", 100),
            Self.alert("11-08T00:00:00Z", .balanceBelow(Self.money(4))),
            // Ended, the name may go to another owner.
            Self.alert("11-09T00:00:00Z", .balanceBelow(Self.money(4)), enabled: false),
            Self.credits("11-09T00:00:00Z", 1, owner: .user("u")),
            Self.alert("11-09T00:00:00Z", .balanceBelow(Self.money(4)), owner: .user("u")),
        ])
        #expect(found == ["2 a fired 5", "4 a fired 5", "6 a fired 3", "10 a fired 3", "13 a fired 1"])
    }

    private static func id(_ step: Int) -> Name { Name(checked: "id-\(start.count + step)") }

    private static func void(_ time: String, _ step: Int) -> Step {
        Step(time, .callVoided(CallVoided(source: "test", id: id(step), reason: "r")))
    }

    private static func amend(_ time: String, _ step: Int, _ credits: Int64) -> Step {
        let call = Call(
            org: "o", provider: "p", model: "m", operation: .chat, status: .success,
            usage: Usage(inputTokens: credits * 1000))
        return Step(time, .callAmended(CallAmended(source: "test", id: id(step), reason: "r", call: call)))
    }

    @Test func `a call that is voided or amended counts in the window of its own time`() async throws {
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .spend(Self.money(3), per: .day), name: "s"),
            Self.alert("11-01T00:00:00Z", .callsPercent(20), name: "t"),
            Self.call("11-01T01:00:00Z", 1), Self.call("11-01T02:00:00Z", 2), Self.call("11-02T01:00:00Z", 2),
            Self.void("12-05T00:00:00Z", 4), Self.void("12-05T00:00:00Z", 5), Self.amend("12-05T00:00:00Z", 3, 4),
            Self.call("11-01T02:00:00Z", 1),
        ])
        #expect(
            found == [
                "4 s fired 3 11-01", "4 t fired 2/10 11-01", "6 s recovered 1 11-01", "7 t recovered 1/10 11-01",
                "8 s fired 4 11-01", "9 t fired 2/10 11-01",
            ])
    }

    @Test func `windows of a definition that was replaced are forgotten`() async throws {
        let found = try await firings([
            Self.alert("11-01T00:00:00Z", .spend(Self.money(1), per: .day)), Self.call("11-01T01:00:00Z"),
            Self.alert("11-02T00:00:00Z", .spend(Self.money(2), per: .day)), Self.call("11-01T02:00:00Z"),
        ])
        #expect(found == ["2 a fired 1 11-01", "4 a fired 2 11-01"])
    }

    @Test func `one record fires several alerts in the order of their names, each owner its own`() async throws {
        let found = try await firings([
            Self.credits("11-01T00:00:00Z", 5),
            Self.alert("11-01T00:00:00Z", .spend(Self.money(1), per: .ever), name: "c"),
            Self.alert("11-01T00:00:00Z", .balanceBelow(Self.money(5)), name: "b"),
            Self.alert("11-01T00:00:00Z", .callsPercent(10), name: "a"),
            Self.alert("11-01T00:00:00Z", .spend(Self.money(1), per: .ever), name: "u", owner: .user("u")),
            Self.call("11-01T01:00:00Z", user: "u"), Self.call("11-01T02:00:00Z", org: nil, user: "u"),
        ])
        #expect(found == ["6 a fired 1/10 11-01", "6 b fired 4", "6 c fired 1 ever", "7 u fired 1 ever"])
    }

    @Test func `tables of a read model have a tag each`() {
        for type in ReadModels.all {
            let tags = type.tables.map(\.tag)
            #expect(Set(tags).count == tags.count, "\(type.name): \(tags.sorted())")
        }
    }

    @Test func `an alert's state is asked for now, its windows with it`() async throws {
        let source = ArraySource()
        let steps = [
            Self.credits("11-01T00:00:00Z", 5), Self.call("11-01T01:00:00Z"),
            Self.alert("11-01T02:00:00Z", .spend(Self.money(1), per: .day), name: "day"),
            Self.alert("11-01T02:00:00Z", .spend(Self.money(1), per: .ever), name: "ever"),
            Self.alert("11-01T02:00:00Z", .balanceBelow(Self.money(1)), name: "low"),
            Self.alert("11-01T02:00:00Z", .daysLeft(1), name: "ended", enabled: false),
            Self.alert("11-01T02:00:00Z", .balanceBelow(Self.money(1)), name: "user's", owner: .user("o")),
        ]
        for step in Self.start + steps { source.append(step.fact, at: step.time) }
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Alerts.self], runners: 1)
        try await models.start()
        await models.wait("alerts", until: source.highWater, timeoutMilliseconds: 120_000)
        func ask(
            _ state: AlertStatus.State? = nil, org: Name? = nil, after: Name? = nil, limit: Int = 100,
            now: String = "11-01T03:00:00Z"
        ) async throws -> [String] {
            try await models.ask(
                AlertsQuery(state: state, org: org, after: after, limit: limit, now: Self.time(now))
            ).answer.map { "\($0.alert.name) \($0.state.name) \($0.firedAt ?? 0)" }
        }
        let fired = UInt64(Self.start.count + 3)
        #expect(
            try await ask() == [
                "day fired \(fired)", "ended ended 0", "ever fired \(fired + 1)", "low armed 0", "user's armed 0",
            ])
        #expect(try await ask(now: "11-02T00:00:00Z").first == "day armed 0")
        #expect(try await ask(.fired, limit: 1) == ["day fired \(fired)"])
        #expect(try await ask(.fired, after: "day", limit: 1) == ["ever fired \(fired + 1)"])
        #expect(try await ask(.armed, org: "o") == ["low armed 0"])
        #expect(try await ask(org: "nobody").isEmpty)
        let one = try await models.ask(FiringsQuery(org: nil, after: 1, limit: 1)).answer
        #expect(one.map(\.number) == [2])
        #expect(try await models.ask(FiringsQuery(org: "nobody", after: 0, limit: 10)).answer.isEmpty)
        #expect(try await models.ask(FiringsQuery(org: "o", after: 0, limit: 10)).answer.count == 2)
        await models.stop()
    }
}
