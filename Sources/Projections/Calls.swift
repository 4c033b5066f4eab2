internal import Billing
public import Records
internal import Schemas
public import SQLite

/// Counts calls by owner, UTC day, status and whose key paid. `llm.usage` counts none.
public struct Calls: Projection {
    public static let name = "calls"
    public static let schemaVersion = 1
    public static var schema: [UInt8] { Schema.calls }
    public static let tables = [counts, controls, corrections]

    static let counts = Table(
        "calls", tag: 1, kind: .sums,
        keys: [.integer("owner_kind"), .name("owner"), .integer("day"), .integer("status"), .integer("key_source")],
        values: [.integer("counted"), .integer("uncounted")])
    private static let controls = Controls.table(tag: 2)
    private static let corrections = Corrections.table(tag: 3)

    private struct Key: Hashable {
        var kind: UInt8
        var owner: UInt32
        var day: Day
        var status: Call.Status
        var keySource: Call.KeySource
    }

    private struct Counts {
        var counted: Int64 = 0
        var uncounted: Int64 = 0

        mutating func add(_ sign: Int64, isCounted: Bool) {
            if isCounted { counted += sign } else { uncounted += sign }
        }
    }

    /// The rows of a call's owners, until the next flush; -1 for no such owner.
    private struct Places {
        var flushes: UInt64
        var day: Day
        var org: Int32 = -1
        var user: Int32 = -1
    }

    private var names = NamePool()
    private var pending = Gathered<Key, Counts>()
    /// Where calls of a shape were counted last.
    private var lastPlaces = ShapeMemory<Places>()
    private var flushes: UInt64 = 0
    private var controls = Controls(table: Calls.controls, keepsPrices: false)
    private var corrections = Corrections(table: Calls.corrections)

    public init() {}

    public mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try controls.load(from: database, log: log)
        try corrections.load(from: database)
    }

    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        switch record.event.fact {
        case .call(let call):
            add(1, call, on: record.occurredAt.day)
        case .callVoided(let fact):
            if let old = try corrections.void(fact, at: record.position, log: log), old.isCall {
                add(-1, old.call, on: old.occurredAt.day)
            }
        case .callAmended(let fact):
            let (old, new) = try corrections.amend(fact, at: record.position, log: log)
            guard new.isCall else { return }
            if let old { add(-1, old.call, on: old.occurredAt.day) }
            add(1, new.call, on: new.occurredAt.day)
        default:
            controls.apply(record)
        }
    }

    private mutating func add(_ sign: Int64, _ call: Call, on day: Day) {
        // Whether the plan counts calls on the owner's own provider key is asked when the sums are.
        let isCounted = Quota.uses(call, plan: nil)
        let places = places(of: call, on: day)
        if places.org >= 0 { pending[Int(places.org)].add(sign, isCounted: isCounted) }
        if places.user >= 0 { pending[Int(places.user)].add(sign, isCounted: isCounted) }
    }

    private mutating func places(of call: Call, on day: Day) -> Places {
        if let known = lastPlaces[call.shape], known.flushes == flushes, known.day == day { return known }
        let numbers = names.numbers(of: call)
        var places = Places(flushes: flushes, day: day)
        if numbers.org != 0 { places.org = place(0, numbers.org) }
        if numbers.user != 0 { places.user = place(1, numbers.user) }
        lastPlaces[call.shape] = places
        return places

        func place(_ kind: UInt8, _ owner: UInt32) -> Int32 {
            let key = Key(kind: kind, owner: owner, day: day, status: call.status, keySource: call.keySource)
            return Int32(pending.place(of: key, new: Counts()))
        }
    }

    public mutating func flush(into sink: any RowSink) throws {
        let rows = pending.rows
        let names = names
        try sink.add(rows.count, to: Calls.counts) { index, cells in
            let (key, counts) = rows[index]
            cells.integer(Int64(key.kind))
            cells.name(key.owner, of: names)
            cells.integer(Int64(key.day.number))
            cells.integer(Int64(key.status.rawValue))
            cells.integer(Int64(key.keySource.rawValue))
            cells.integer(counts.counted)
            cells.integer(counts.uncounted)
        }
        pending.removeAll()
        flushes &+= 1
        self.names.trim()
        try controls.flush(into: sink)
        try corrections.flush(into: sink)
    }

    /// The column `owner_kind`.
    static func number(of owner: Owner) -> Int64 {
        switch owner {
        case .org: 0
        case .user: 1
        }
    }
}
