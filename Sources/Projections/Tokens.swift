internal import Billing
public import Records
internal import Schemas
public import SQLite

/// Sums what was used and what it cost by day, org, user, service, model, provider and whose key paid.
public struct Tokens: Projection {
    public static let name = "tokens"
    public static let schemaVersion = 3
    public static var schema: [UInt8] { Schema.tokens }
    public static let tables = [sums, activity, controls, corrections, unpriced]

    static let sums = Table(
        "tokens", tag: 1, kind: .sums,
        keys: [
            .name("org"), .integer("day"), .name("user"), .name("service"), .name("model"), .name("provider"),
            .integer("key_source"),
        ],
        values: [
            .integer("calls"), .sum("input_tokens"), .sum("output_tokens"), .sum("cache_read_tokens"),
            .sum("cache_write_tokens"), .sum("reasoning_tokens"), .sum("images"), .sum("audio_micros"),
            .sum("charge"), .sum("cost"), .integer("unpriced_calls"),
        ])
    static let activity = Table(
        "activity", tag: 2, kind: .rows, keys: [.name("org")], values: [.integer("last_at")])
    private static let controls = Controls.table(tag: 3)
    private static let corrections = Corrections.table(tag: 4)
    static let unpriced = UnpricedCalls.table(tag: 5)

    private struct Key: Hashable {
        var org: UInt32
        var day: Day
        var user: UInt32
        var service: UInt32
        var model: UInt32
        var provider: UInt32
        var keySource: Call.KeySource
    }

    private struct Row {
        var sums = TokensAnswer.Totals()
        /// Of the latest call; nil when none was added.
        var lastAt: Timestamp?
    }

    /// The row of calls of one shape, until the next flush.
    private struct Place {
        var flushes: UInt64
        var day: Day
        var row: Int32
    }

    private var names = NamePool()
    private var pending = Gathered<Key, Row>()
    /// Where calls of a shape were added last.
    private var lastPlaces = ShapeMemory<Place>()
    private var flushes: UInt64 = 0
    private var controls = Controls(table: Tokens.controls, keepsPrices: true)
    private var corrections = Corrections(table: Tokens.corrections)
    private var unpriced = UnpricedCalls(table: Tokens.unpriced)

    public init() {}

    public mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try controls.load(from: database, log: log)
        try corrections.load(from: database)
    }

    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        switch record.event.fact {
        case .call(let call):
            try add(call, of: record.position, at: record.occurredAt, isCall: true)
        case .usage(let call):
            try add(call, of: record.position, at: record.occurredAt, isCall: false)
        case .callVoided(let fact):
            if let old = try corrections.void(fact, at: record.position, log: log) { try unwind(old) }
        case .callAmended(let fact):
            let (old, new) = try corrections.amend(fact, at: record.position, log: log)
            if let old { try unwind(old) }
            try add(new.call, of: new.position, at: new.occurredAt, isCall: new.isCall)
        default:
            controls.apply(record)
        }
    }

    private mutating func add(_ call: Call, of position: UInt64, at time: Timestamp, isCall: Bool) throws {
        let rating = try controls.catalog.rateRemembering(call, at: time, countsCall: isCall)
        let sums = TokensAnswer.Totals(call, isCall: isCall, rating: rating)
        if let reason = rating.unpriced { unpriced.add(call, at: position, occurredAt: time, reason: reason) }
        let row = add(sums, of: call, at: time)
        if pending[row].lastAt.map({ $0 < time }) ?? true { pending[row].lastAt = time }
    }

    /// Takes out what this version of a call added, by the catalog of that time: a list published since, in force since
    /// before, must not leave a difference.
    private mutating func unwind(_ version: Corrections.Version) throws {
        // Only asked: what a copy of the catalog remembered would be lost, and cost a copy of what it remembers.
        let catalog = controls.catalog(at: version.position)
        let rating = try catalog.rate(version.call, at: version.occurredAt, countsCall: version.isCall)
        let sums = TokensAnswer.Totals(version.call, isCall: version.isCall, rating: rating)
        if rating.unpriced != nil { unpriced.remove(at: version.position) }
        add(sums.negated, of: version.call, at: version.occurredAt)
    }

    /// Gives the place of the row.
    @discardableResult
    private mutating func add(_ sums: TokensAnswer.Totals, of call: Call, at time: Timestamp) -> Int {
        let row = row(of: call, on: time.day)
        pending[row].sums += sums
        return row
    }

    private mutating func row(of call: Call, on day: Day) -> Int {
        if let known = lastPlaces[call.shape], known.flushes == flushes, known.day == day { return Int(known.row) }
        let numbers = names.numbers(of: call)
        let key = Key(
            org: numbers.org, day: day, user: numbers.user, service: numbers.service, model: numbers.model,
            provider: numbers.provider, keySource: call.keySource)
        let row = pending.place(of: key, new: Row())
        lastPlaces[call.shape] = Place(flushes: flushes, day: day, row: Int32(row))
        return row
    }

    public mutating func flush(into sink: any RowSink) throws {
        let rows = pending.rows
        let names = names
        try sink.add(rows.count, to: Tokens.sums) { index, cells in
            let key = rows[index].key
            cells.name(key.org, of: names)
            cells.integer(Int64(key.day.number))
            cells.name(key.user, of: names)
            cells.name(key.service, of: names)
            cells.name(key.model, of: names)
            cells.name(key.provider, of: names)
            cells.integer(Int64(key.keySource.rawValue))
            rows[index].sums.sums.fill(&cells)
        }
        pending.removeAll()
        flushes &+= 1
        var active: [UInt32: Timestamp] = [:]
        for row in rows {
            if let time = row.sums.lastAt { active[row.key.org] = max(active[row.key.org] ?? time, time) }
        }
        var later: [(org: UInt32, at: Timestamp)] = []
        for (org, time) in active {
            let last = try sink.values(key: [names.cell(org)], in: Tokens.activity)?.first
            if case .integer(let last) = last, last >= time.microseconds { continue }
            later.append((org, time))
        }
        try sink.put(later.count, in: Tokens.activity) { index, cells in
            cells.name(later[index].org, of: names)
            cells.integer(later[index].at.microseconds)
        }
        self.names.trim()
        try controls.flush(into: sink)
        try corrections.flush(into: sink)
        try unpriced.flush(into: sink)
    }
}

/// What one call, or many, add to a row of the table.
extension TokensAnswer.Totals {
    /// Of one call or usage.
    init(_ call: Call, isCall: Bool, rating: Rating) {
        self.init()
        calls = isCall && Quota.uses(call, plan: nil) ? 1 : 0
        if let usage = call.usage {
            inputTokens = Int128(usage.inputTokens ?? 0)
            outputTokens = Int128(usage.outputTokens ?? 0)
            cacheReadTokens = Int128(usage.cacheReadTokens ?? 0)
            cacheWriteTokens = Int128(usage.cacheWriteTokens ?? 0)
            reasoningTokens = Int128(usage.reasoningTokens ?? 0)
            images = Int128(usage.images ?? 0)
            if let seconds = usage.audioSeconds { audioMicroseconds = seconds.sum(of: 6) }
        }
        charge = MoneySum(rating.charge)
        // 10^9 n$ are a dollar.
        if let reported = call.cost { cost = MoneySum(nanos: reported.sum(of: 9)) }
        unpricedCalls = rating.unpriced == nil ? 0 : 1
    }

    /// Fills in the cells of the table's columns, in their order.
    func fill(_ cells: inout RowCells) {
        cells.integer(calls)
        cells.sum(inputTokens)
        cells.sum(outputTokens)
        cells.sum(cacheReadTokens)
        cells.sum(cacheWriteTokens)
        cells.sum(reasoningTokens)
        cells.sum(images)
        cells.sum(audioMicroseconds)
        cells.sum(charge.nanos)
        cells.sum(cost.nanos)
        cells.integer(unpricedCalls)
    }

    var negated: TokensAnswer.Totals {
        var negated = TokensAnswer.Totals()
        negated.calls = -calls
        negated.inputTokens = -inputTokens
        negated.outputTokens = -outputTokens
        negated.cacheReadTokens = -cacheReadTokens
        negated.cacheWriteTokens = -cacheWriteTokens
        negated.reasoningTokens = -reasoningTokens
        negated.images = -images
        negated.audioMicroseconds = -audioMicroseconds
        negated.charge = -charge
        negated.cost = -cost
        negated.unpricedCalls = -unpricedCalls
        return negated
    }
}
