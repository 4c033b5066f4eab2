internal import Billing
internal import Records
internal import Schemas
internal import SQLite

/// Thresholds of owners, judged after every record that moves what they watch. They fire once for a crossing, recover
/// when it is crossed back, and then may fire again. Calls and spend are judged in the window that the event's own time
/// is in, each window apart: a late call may still fire the alert for a window that is over, once.
public struct Alerts: BookProjection {
    public static let name = "alerts"
    public static let schemaVersion = 1
    public static var schema: [UInt8] { Schema.book + Schema.alerts }
    static let ownTables = [corrections, days, definitions, windows, firings]

    private static let corrections = Corrections.table(tag: 30)
    private static let days = OwnerDays.table(tag: 31)
    static let definitions = Table(
        "alerts", tag: 32, kind: .rows, keys: [.text("alert")],
        values: [
            .integer("owner_kind"), .name("owner"), .integer("condition"), .integer("threshold"), .integer("per"),
            .integer("enabled"), .integer("position"), .integer("fired"), .integer("latest_day"),
        ])
    static let windows = Table(
        "alert_windows", tag: 33, kind: .rows,
        keys: [.text("alert"), .integer("per"), .integer("start_day"), .integer("end_day")],
        values: [.integer("position")])
    static let firings = Table(
        "firings", tag: 34, kind: .appended, keys: [.integer("number")],
        values: [
            .text("alert"), .integer("owner_kind"), .name("owner"), .integer("kind"), .integer("position"),
            .integer("at"), .integer("condition"), .integer("threshold"), .integer("per"), .integer("start_day"),
            .integer("end_day"), .integer("value"), .integer("calls_max"),
        ])

    /// An alert and where it stands.
    struct Entry {
        var alert: Alert
        /// Of its definition.
        var position: UInt64
        /// Position of the record that fired it; 0 when armed. Not for calls and spend.
        var fired: UInt64 = 0
        var latestDay: Day
        /// Windows in which it has fired and not recovered, and the positions of the records that did it.
        var windows: [AlertFiring.Window: UInt64] = [:]
    }

    private struct WindowKey: Hashable {
        var alert: Name
        var window: AlertFiring.Window
    }

    /// What a record moved of an owner.
    private struct Touched {
        var money = false
        var calls = false
    }

    /// Balances, charges and plans come from it.
    var rows = BookRows()
    private var corrections = Corrections(table: Alerts.corrections)
    private var days = OwnerDays(table: Alerts.days)
    private var entries: [Name: Entry] = [:]
    /// Names of the alerts of an owner that have not ended.
    private var watched: [Owner: [Name]] = [:]
    /// Of the last firing.
    private var number: Int64 = 0

    // Since the last flush.
    private var changed: Set<Name> = []
    private var changedWindows: Set<WindowKey> = []
    private var pending: [AlertFiring] = []

    public init() {}

    mutating func loadOwn(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try corrections.load(from: database)
        days.load(from: database)
        try database.rows(Alerts.definitions.scanSQL) { row in
            let entry = AlertColumns.entry(row)
            entries[entry.alert.name] = entry
            if entry.alert.isEnabled { watch(entry.alert) }
        }
        try database.rows(Alerts.windows.scanSQL) { row in
            let days = AlertColumns.days(row, 2)
            let window = AlertFiring.Window(
                per: AlertColumns.per(row, 1), days: days == OwnerDays.allDays ? nil : days)
            entries[BookRows.name(row, 0)]?.windows[window] = UInt64(row.integer(at: 4))
        }
        number = try database.integer("SELECT max(number) FROM firings") ?? 0
    }

    // MARK: - Records

    mutating func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws {
        switch record.event.fact {
        case .call(let call), .usage(let call):
            try take(call, outcome, record)
        default:
            try take(outcome, record, log: log)
        }
    }

    /// Nearly all records: looks nothing up but the call's shape, unless there are alerts.
    private mutating func take(_ call: Call, _ outcome: borrowing Outcome, _ record: Record) throws {
        let time = record.occurredAt
        var isCall = false
        if case .call = record.event.fact { isCall = true }
        // Whether the plan counts calls on the owner's own provider key is asked when the sums are.
        isCall = isCall && Quota.uses(call, plan: nil)
        guard isCall || !outcome.movements.isEmpty else { return }
        let places = days.places(of: call, on: time.day)
        if isCall { days.add(Alerts.count(of: call, 1), to: call, at: places) }
        for movement in outcome.movements where movement.kind == .charge {
            days.add(OwnerDays.Sums(charged: -movement.amount.nanos), to: movement.owner, at: places)
        }
        if watched.isEmpty { return }
        // A call is charged to its own org or user.
        let isWatched = call.org.map { watched[.org($0)] != nil } ?? false
        guard isWatched || call.user.map({ watched[.user($0)] != nil }) ?? false else { return }
        var touched: [Owner: Touched] = [:]
        if isCall { Alerts.touch(call, &touched) }
        for movement in outcome.movements { touched[movement.owner, default: Touched()].money = true }
        try judge(touched, at: time, record)
    }

    private mutating func take(_ outcome: borrowing Outcome, _ record: Record, log: any RecordSource) throws {
        var touched: [Owner: Touched] = [:]
        // When what it changes happened: a correction belongs to the time of its call.
        var time = record.occurredAt
        switch record.event.fact {
        case .callVoided(let fact):
            if let old = try corrections.void(fact, at: record.position, log: log) {
                time = old.occurredAt
                if old.isCall { count(old.call, -1, on: time.day, &touched) }
            }
        case .callAmended(let fact):
            let (old, new) = try corrections.amend(fact, at: record.position, log: log)
            time = new.occurredAt
            if new.isCall {
                if let old { count(old.call, -1, on: time.day, &touched) }
                count(new.call, 1, on: time.day, &touched)
            }
        case .alertDefined(let alert):
            try define(alert, record)
        case .planAssigned(let assignment):
            touched[assignment.owner] = Touched(calls: true)
        case .planDefined(let plan):
            for owner in watched.keys
            where rows.book.catalog.standing(of: owner, at: time)?.plan.name == plan.name {
                touched[owner] = Touched(calls: true)
            }
        default:
            break
        }
        for movement in outcome.movements {
            touched[movement.owner, default: Touched()].money = true
            switch movement.kind {
            case .charge, .refund:
                days.add(OwnerDays.Sums(charged: -movement.amount.nanos), to: movement.owner, on: time.day)
            default: break
            }
        }
        try judge(touched, at: time, record)
    }

    private static func count(of call: Call, _ sign: Int64) -> OwnerDays.Sums {
        call.keySource == .byok ? OwnerDays.Sums(byokCalls: sign) : OwnerDays.Sums(calls: sign)
    }

    private static func touch(_ call: Call, _ touched: inout [Owner: Touched]) {
        if let org = call.org { touched[.org(org), default: Touched()].calls = true }
        if let user = call.user { touched[.user(user), default: Touched()].calls = true }
    }

    private mutating func count(_ call: Call, _ sign: Int64, on day: Day, _ touched: inout [Owner: Touched]) {
        guard Quota.uses(call, plan: nil) else { return }
        days.add(Alerts.count(of: call, sign), to: call, at: days.places(of: call, on: day))
        Alerts.touch(call, &touched)
    }

    /// A definition that says what the last one said changes nothing. Any other starts afresh, and is judged at once.
    private mutating func define(_ alert: Alert, _ record: Record) throws {
        if let known = entries[alert.name] {
            if known.alert == alert { return }
            unwatch(known.alert)
            for window in known.windows.keys {
                changedWindows.insert(WindowKey(alert: alert.name, window: window))
            }
        }
        entries[alert.name] = Entry(alert: alert, position: record.position, latestDay: record.occurredAt.day)
        changed.insert(alert.name)
        guard alert.isEnabled else { return }
        watch(alert)
        try judge(alert.name, at: record.occurredAt, record)
    }

    private mutating func watch(_ alert: Alert) {
        watched[alert.owner, default: []].append(alert.name)
        days.watch(alert.owner)
    }

    private mutating func unwatch(_ alert: Alert) {
        watched[alert.owner]?.removeAll { $0 == alert.name }
        if watched[alert.owner]?.isEmpty ?? false {
            watched[alert.owner] = nil
            days.unwatch(alert.owner)
        }
    }

    // MARK: - Judging

    private mutating func judge(_ touched: [Owner: Touched], at time: Timestamp, _ record: Record) throws {
        if watched.isEmpty || touched.isEmpty { return }
        var names: [Name] = []
        for owner in touched.keys { names += watched[owner] ?? [] }
        // Their order gives firings their numbers.
        for name in names.sorted() {
            guard let entry = entries[name], let touched = touched[entry.alert.owner],
                entry.watchesCalls ? touched.calls : touched.money
            else { continue }
            try judge(name, at: time, record)
        }
    }

    private mutating func judge(_ name: Name, at time: Timestamp, _ record: Record) throws {
        guard let entry = entries[name] else { preconditionFailure("no alert \(name)") }
        let owner = entry.alert.owner
        switch entry.alert.condition {
        case .balanceBelow(let threshold):
            // An owner who never had credits has no balance yet.
            guard let account = rows.book.ledger.account(owner) else { return }
            settle(name, .balance(account.balance, below: threshold), record)
        case .daysLeft(let threshold):
            // A late event is judged by the pace of the latest day.
            let today = max(entry.latestDay, time.day)
            if today > entry.latestDay {
                entries[name]?.latestDay = today
                changed.insert(name)
            }
            guard let account = rows.book.ledger.account(owner) else { return }
            let first = Day(number: today.number - AlertReading.paceDays + 1)
            let spent = try days.sum(owner, over: first..<Day(number: today.number + 1)).charged
            settle(
                name, .daysLeft(account.balance, spent: Money(nanos: spent), threshold: threshold), record)
        case .spend(let threshold, let per):
            let bounds = per.bounds(containing: time.day)
            let spent = try days.sum(owner, over: bounds ?? OwnerDays.allDays).charged
            settle(
                name, .spend(Money(nanos: spent), threshold: threshold),
                in: AlertFiring.Window(per: per, days: bounds), record)
        case .callsPercent(let percent):
            try judgeCalls(name, entry, percent: percent, at: time, record)
        }
    }

    /// Each window of the plan that holds at `time` has its own state. A window that the plan has no more (another
    /// anchor day, no limit) and that `time` is in recovers.
    private mutating func judgeCalls(
        _ name: Name, _ entry: Entry, percent: Int64, at time: Timestamp, _ record: Record
    ) throws {
        let owner = entry.alert.owner
        let standing = rows.book.catalog.standing(of: owner, at: time)
        var seen: Set<AlertFiring.Window> = []
        if let standing {
            for limit in standing.plan.tightestLimits {
                let bounds = Quota.window(
                    limit.per, containing: time.day, anchorDay: standing.assignment.anchorDay)
                let sums = try days.sum(owner, over: bounds ?? OwnerDays.allDays)
                let used = sums.calls + (standing.plan.byokCountsCalls ? sums.byokCalls : 0)
                let window = AlertFiring.Window(per: Alert.Per(limit.per), days: bounds)
                seen.insert(window)
                settle(name, .calls(used, of: limit.limit, percent: percent), in: window, record)
            }
        }
        let gone = entry.windows.keys.filter { $0.contains(time.day) && !seen.contains($0) }
        for window in gone.sorted(by: { ($0.per.rawValue, $0.start) < ($1.per.rawValue, $1.start) }) {
            settle(name, AlertReading(isCrossed: false, value: nil), in: window, record)
        }
    }

    private mutating func settle(_ name: Name, _ reading: AlertReading, _ record: Record) {
        guard let entry = entries[name], reading.isCrossed != (entry.fired != 0) else { return }
        entries[name]?.fired = reading.isCrossed ? record.position : 0
        changed.insert(name)
        note(entry.alert, reading, nil, record)
    }

    private mutating func settle(
        _ name: Name, _ reading: AlertReading, in window: AlertFiring.Window, _ record: Record
    ) {
        guard let entry = entries[name], reading.isCrossed != (entry.windows[window] != nil) else { return }
        entries[name]?.windows[window] = reading.isCrossed ? record.position : nil
        changedWindows.insert(WindowKey(alert: name, window: window))
        note(entry.alert, reading, window, record)
    }

    private mutating func note(
        _ alert: Alert, _ reading: AlertReading, _ window: AlertFiring.Window?, _ record: Record
    ) {
        number += 1
        pending.append(
            AlertFiring(
                number: number, alert: alert.name, owner: alert.owner,
                kind: reading.isCrossed ? .fired : .recovered, position: record.position, time: record.occurredAt,
                condition: alert.condition, window: window, reading: reading))
    }

    // MARK: - Rows

    mutating func flushOwn(into sink: any RowSink) throws {
        for name in changed.sorted() {
            guard let entry = entries[name] else { preconditionFailure("no alert \(name)") }
            try sink.put(AlertColumns.cells(entry), key: [.text(name.text)], in: Alerts.definitions)
        }
        changed.removeAll(keepingCapacity: true)
        for key in changedWindows {
            let days = key.window.days ?? OwnerDays.allDays
            let cells: [Value] = [
                .text(key.alert.text), .integer(Int64(key.window.per.rawValue)),
                .integer(Int64(days.lowerBound.number)), .integer(Int64(days.upperBound.number)),
            ]
            if let position = entries[key.alert]?.windows[key.window] {
                try sink.put([.integer(Int64(position))], key: cells, in: Alerts.windows)
            } else {
                try sink.remove(key: cells, from: Alerts.windows)
            }
        }
        changedWindows.removeAll(keepingCapacity: true)
        let firings = pending
        try sink.append(firings.count, to: Alerts.firings) { index, cells in
            let (key, values) = AlertColumns.cells(firings[index])
            for cell in key + values { cells.append(cell) }
        }
        pending.removeAll(keepingCapacity: true)
        try days.flush(into: sink)
        try corrections.flush(into: sink)
    }
}

extension Alerts.Entry {
    fileprivate var watchesCalls: Bool {
        if case .callsPercent = alert.condition { true } else { false }
    }
}

extension AlertFiring.Window {
    fileprivate var start: Day { days?.lowerBound ?? OwnerDays.allDays.lowerBound }
}
