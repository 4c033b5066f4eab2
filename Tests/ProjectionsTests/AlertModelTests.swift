import Billing
import Hashing
import Platform
import Records
import TestEvents
import Testing

@testable import Projections

/// Random logs against firings made in the most obvious way: after every record, everything summed up from the first.
@Suite struct AlertModelTests {
    private static let orgs: [Name] = ["o1", "o2"]
    private static let users: [Name] = ["u1", "u2"]
    private static let start = Timestamp(microseconds: 1_793_491_200_000_000)  // 2026-11-01

    // MARK: - A log

    private static func records(_ count: Int, seed: UInt64) -> [Record] {
        var random = RandomEvents(seed: seed)
        var book = Book()
        var records: [Record] = []
        var history = CallHistory()
        while records.count < count {
            let position = UInt64(records.count + 1)
            let number = records.count
            // Mostly forward, some late by up to three weeks.
            var time = start.adding(seconds: Int64(number) * 5000)
            if random.chance(20) { time = time.adding(seconds: -random.number(0...1_800_000)) }
            let fact = number < setup.count ? setup[number] : fact(&random, history)
            let stated = Event(source: "test", id: Name(checked: "e\(number)"), time: time, fact: fact)
            guard let event = try? history.resolved(stated),
                let outcome = try? book.take(event, position: position, at: time)
            else { continue }
            history.note(event, outcome: outcome, position: position, at: time)
            records.append(Record(position: position, recordedAt: time, door: .native, key: nil, event: event))
        }
        return records
    }

    private static let setup: [Fact] = [
        .pricesPublished(PriceList(unit: .credits, rules: [PriceRule(anyToken: .one)])),
        .planDefined(
            Plan(
                name: "p",
                calls: [.init(limit: 5, per: .day, enforce: .hard), .init(limit: 40, per: .month, enforce: .soft)],
                markup: .zero, overage: .allow)),
        .planDefined(
            Plan(
                name: "q",
                calls: [.init(limit: 12, per: .month, enforce: .soft), .init(limit: 90, per: .ever, enforce: .hard)],
                markup: .zero, byokCountsCalls: false, overage: .invoice)),
    ]

    private static func call(_ random: inout RandomEvents) -> Call {
        Call(
            org: random.chance(70) ? random.pick(orgs) : nil, user: random.pick(users), provider: "p", model: "m",
            operation: .chat, keySource: random.chance(20) ? .byok : .platform,
            status: random.chance(10) ? .failure : .success,
            usage: random.chance(90) ? Usage(inputTokens: random.number(0...3000)) : nil)
    }

    private static func fact(_ random: inout RandomEvents, _ history: CallHistory) -> Fact {
        let owner: Owner = random.chance() ? .org(random.pick(orgs)) : .user(random.pick(users))
        let credits = Money(nanos: random.number(1...30) * 500_000)
        switch random.number(0...99) {
        case 0...9 where !history.keys.isEmpty:
            let (source, id) = random.pick(history.keys)
            if random.chance() { return .callVoided(CallVoided(source: source, id: id, reason: "r")) }
            return .callAmended(CallAmended(source: source, id: id, reason: "r", call: call(&random)))
        case 0...64:
            let call = call(&random)
            return random.chance(85) ? .call(call) : .usage(call)
        case 65...76:
            return .creditsGranted(Grant(owner: owner, credits: credits, category: .paid))
        case 77...79:
            return .creditsAdjusted(
                Adjustment(owner: owner, credits: random.chance() ? credits : -credits, reason: "r"))
        case 80...84:
            return .planAssigned(
                Assignment(
                    owner: owner, plan: random.pick(["p", "q"]), anchorDay: random.pick([1, 15]),
                    funding: random.pick([.org, .user, .orgThenUser])))
        case 85:
            return .planDefined(
                Plan(
                    name: random.pick(["p", "q"]),
                    calls: random.chance(20) ? [] : [.init(limit: random.number(0...20), per: .month, enforce: .hard)],
                    markup: .zero, overage: .allow))
        default:
            let conditions: [Alert.Condition] = [
                .balanceBelow(credits), .callsPercent(random.pick([50, 80, 100])),
                .spend(credits, per: random.pick(Alert.Per.allCases)), .daysLeft(random.number(1...20)),
            ]
            return .alertDefined(
                Alert(
                    name: Name(checked: "alert \(random.number(1...12))"), owner: owner,
                    condition: random.pick(conditions), isEnabled: random.chance(85)))
        }
    }

    // MARK: - The obvious way

    private struct Model {
        struct Charge {
            var owner: Owner
            var day: Day
            var nanos: Int64
        }
        var book = Book()
        var charges: [Charge] = []
        var calls: [(call: Call, day: Day)] { versions.values.filter(\.isCounted).map { ($0.call, $0.time.day) } }
        /// Calls and usage as they stand, by id.
        var versions: [Name: Version] = [:]

        struct Version {
            var call: Call
            var time: Timestamp
            var isCall: Bool
            var isCounted: Bool { isCall && (call.status == .success || call.hasUsage) }
        }
        var alerts: [Name: Alert] = [:]
        /// Alert and window, those that have fired.
        var fired: Set<String> = []
        var latest: [Name: Day] = [:]
        var firings: [String] = []

        mutating func take(_ record: Record) throws {
            var time = record.occurredAt
            if let call = record.event.fact.corrects?.id, let version = versions[call] { time = version.time }
            let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
            var money: Set<Owner> = []
            var called: Set<Owner> = []
            for movement in outcome.movements {
                money.insert(movement.owner)
                if movement.kind == .charge || movement.kind == .refund {
                    charges.append(Charge(owner: movement.owner, day: time.day, nanos: -movement.amount.nanos))
                }
            }
            func count(_ version: Version?) {
                guard let version, version.isCounted else { return }
                if let org = version.call.org { called.insert(.org(org)) }
                if let user = version.call.user { called.insert(.user(user)) }
            }
            switch record.event.fact {
            case .call(let call):
                versions[record.event.id] = Version(call: call, time: time, isCall: true)
                count(versions[record.event.id])
            case .usage(let call):
                versions[record.event.id] = Version(call: call, time: time, isCall: false)
            case .callVoided(let fact):
                count(versions.removeValue(forKey: fact.id))
            case .callAmended(let fact):
                count(versions[fact.id])
                versions[fact.id]?.call = fact.call
                count(versions[fact.id])
            case .planAssigned(let assignment): called.insert(assignment.owner)
            case .planDefined(let plan):
                for owner in AlertModelTests.orgs.map(Owner.org) + AlertModelTests.users.map(Owner.user)
                where book.catalog.standing(of: owner, at: time)?.plan.name == plan.name { called.insert(owner) }
            case .alertDefined(let alert) where alerts[alert.name] != alert:
                alerts[alert.name] = alert
                latest[alert.name] = time.day
                fired = fired.filter { !$0.hasPrefix("\(alert.name)|") }
                if alert.isEnabled { judge(alert, time, record.position) }
                return
            default: break
            }
            for alert in alerts.values.sorted(by: { $0.name < $1.name }) where alert.isEnabled {
                if case .callsPercent = alert.condition {
                    if called.contains(alert.owner) { judge(alert, time, record.position) }
                } else if money.contains(alert.owner) {
                    judge(alert, time, record.position)
                }
            }
        }

        func spent(_ owner: Owner, _ days: (Day) -> Bool) -> Int64 {
            charges.filter { $0.owner == owner && days($0.day) }.reduce(0) { $0 + $1.nanos }
        }

        mutating func judge(_ alert: Alert, _ time: Timestamp, _ position: UInt64) {
            let day = time.day
            let balance = book.ledger.account(alert.owner)?.balance.nanos
            switch alert.condition {
            case .balanceBelow(let threshold):
                if let balance { say(alert, "", balance < threshold.nanos, position) }
            case .daysLeft(let days):
                let today = max(latest[alert.name] ?? day, day)
                latest[alert.name] = today
                let week = spent(alert.owner) { $0.number > today.number - 7 && $0 <= today }
                if let balance { say(alert, "", week > 0 && balance * 7 < days * week, position) }
            case .spend(let threshold, let per):
                let bounds = per.bounds(containing: day)
                let sum = spent(alert.owner) { bounds?.contains($0) ?? true }
                say(alert, "\(per) \(bounds?.lowerBound.text ?? "")", sum >= threshold.nanos, position)
            case .callsPercent(let percent):
                let standing = book.catalog.standing(of: alert.owner, at: time)
                var windows: Set<String> = []
                for per in Plan.CallLimit.Per.allCases {
                    guard let standing, let limit = standing.plan.calls.filter({ $0.per == per }).map(\.limit).min()
                    else { continue }
                    let bounds = Quota.window(per, containing: day, anchorDay: standing.assignment.anchorDay)
                    let used = calls.filter { call, day in
                        (bounds?.contains(day) ?? true)
                            && (alert.owner == call.org.map(Owner.org) || alert.owner == call.user.map(Owner.user))
                            && (call.keySource == .platform || standing.plan.byokCountsCalls)
                    }.count
                    // Both ends: the text says by itself which days it is about.
                    let window = "\(per) \(bounds?.lowerBound.text ?? "") \(bounds?.upperBound.text ?? "")"
                    windows.insert(window)
                    say(alert, window, used > 0 && Int64(used) * 100 >= percent * limit, position)
                }
                let gone = fired.filter { key in
                    let parts = key.split(separator: "|")[...]
                    guard parts[0] == alert.name.text, !windows.contains(String(parts[1])) else { return false }
                    let words = parts[1].split(separator: " ")
                    return words.count == 1 || (String(words[1]) <= day.text && day.text < String(words[2]))
                }
                // By period, then by start: the order of the columns.
                let order = ["day", "month", "ever"]
                for key in gone.sorted(by: { left, right in
                    let (a, b) = (left.split(separator: "|")[1], right.split(separator: "|")[1])
                    let ranks = [a, b].map { order.firstIndex(of: String($0.split(separator: " ")[0])) ?? 0 }
                    return ranks[0] != ranks[1] ? ranks[0] < ranks[1] : a < b
                }) { say(alert, String(key.split(separator: "|")[1]), false, position) }
            }
        }

        mutating func say(_ alert: Alert, _ window: String, _ isCrossed: Bool, _ position: UInt64) {
            let key = "\(alert.name)|\(window)"
            guard isCrossed != fired.contains(key) else { return }
            if isCrossed { fired.insert(key) } else { fired.remove(key) }
            firings.append("\(position) \(alert.name) \(isCrossed ? "fired" : "recovered")")
        }
    }

    // MARK: - Tests

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `what fires is what the obvious way says, cut and started again anywhere`(seed: UInt64) async throws {
        let records = Self.records(1200, seed: seed)
        var model = Model()
        for record in records { try model.take(record) }
        #expect(model.firings.count > 100, "\(model.firings.count) firings")
        #expect(model.firings.contains { $0.hasSuffix("recovered") })

        var random = RandomEvents(seed: seed &* 31)
        let source = ArraySource()
        let folder = TemporaryFolder()
        var status: ProjectorStatus?
        var found: [AlertFiring] = []
        while source.records.count < records.count {
            let next = min(records.count, source.records.count + Int(random.number(1...300)))
            source.append(records[source.records.count..<next])
            source.cutReads(at: Int(random.number(1...60)))
            var pace = ProjectorPace()
            pace.batchRecords = UInt64(random.number(1...100))
            let models = ReadModels(
                folder: folder.path, source: source, projections: [Alerts.self], runners: 1, pace: pace)
            try await models.start()
            await models.wait("alerts", until: source.highWater, timeoutMilliseconds: 120_000)
            status = models.status("alerts")
            #expect(status?.progress == source.highWater, "\(models.statuses)")
            while true {
                let page = try await models.ask(FiringsQuery(org: nil, after: found.last?.number ?? 0, limit: 100))
                found += page.answer
                if page.answer.count < 100 { break }
            }
            await models.stop()
        }
        #expect(found.map { "\($0.position) \($0.alert) \($0.kind.name)" } == model.firings)
        let stored = try #require(try Alerts.stored(in: folder.path))
        #expect(stored.digest == stored.digestOfRows)
        #expect(stored.digestOfRows.hex == status?.digest)
        #expect(try Alerts.refold(source, through: source.highWater).hex == status?.digest)
    }
}
