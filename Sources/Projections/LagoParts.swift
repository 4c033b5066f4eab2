public import Billing
public import Records

/// What one record put into a Lago line, or took out of it.
public struct LagoLinePart: Hashable, Sendable {
    /// Of the record that did it.
    public var position: UInt64
    /// Of the record that states the version of the call: another one where a correction took it out.
    public var stated: UInt64
    /// +1 or -1.
    public var sign: Int64
    public var call: Call
    /// False for `llm.usage`.
    public var isCall: Bool
    /// The call's own time.
    public var occurredAt: Timestamp
    public var charge: Money
    public var invoiced: Money

    var usage: LineUsage {
        LineUsage(call: call, isCall: isCall, at: occurredAt, charge: charge, invoiced: invoiced)
    }
}

/// Which records every sealed line is made of: a list beside each line that is open. The read model keeps sums alone;
/// this keeps what they are sums of, so that they can be checked.
public struct LagoPartsFold {
    private let log: any RecordSource
    private var fold: PastFold
    private var controls = Controls(table: Controls.table(tag: 0), keepsPrices: false)
    private var open: [LagoLineKey: [LagoLinePart]] = [:]
    private var windowSeconds = Lago.windowSecondsDefault

    public init(log: any RecordSource) throws {
        self.log = log
        fold = try PastFold(Past(known: 0), log: log)
    }

    /// Takes the next record of the log. Gives the lines that it seals, each with its parts in order.
    public mutating func take(_ record: Record) throws -> [(line: LagoLine, parts: [LagoLinePart])] {
        controls.apply(record)
        guard let outcome = try fold.take(record)?.outcome else { return [] }
        let charge = outcome.rating?.charge ?? .zero
        let invoiced = outcome.charge?.invoiced ?? .zero
        func part(_ call: Call, isCall: Bool, at time: Timestamp) -> LagoLinePart {
            LagoLinePart(
                position: record.position, stated: record.position, sign: 1, call: call, isCall: isCall,
                occurredAt: time, charge: charge, invoiced: invoiced)
        }
        switch record.event.fact {
        case .call(let call):
            add(part(call, isCall: true, at: record.occurredAt), by: controls.catalog)
        case .usage(let call):
            add(part(call, isCall: false, at: record.occurredAt), by: controls.catalog)
        case .callVoided(let voided):
            try unwind(voided.unwinds, record)
        case .callAmended(let amended):
            guard let standing = amended.unwinds else { return [] }
            try unwind(standing, record)
            add(part(amended.call, isCall: standing.isCall, at: standing.occurredAt), by: controls.catalog)
        case .lagoWindowClosed(let closed):
            return close(closed, at: record.position)
        default: break
        }
        return []
    }

    private mutating func unwind(_ standing: StandingCall?, _ record: Record) throws {
        guard let standing else { return }
        let part = LagoLinePart(
            position: record.position, stated: standing.position, sign: -1, call: try standing.call(in: log),
            isCall: standing.isCall, occurredAt: standing.occurredAt, charge: standing.charge.total,
            invoiced: standing.charge.invoiced)
        // It went to the subscription of its own time's rules.
        add(part, by: controls.catalog(at: standing.position))
    }

    private mutating func add(_ part: LagoLinePart, by catalog: Catalog) {
        guard part.usage.isAny, let subscription = catalog.subscription(for: part.call, at: part.occurredAt) else {
            return
        }
        let key = LagoLineKey(
            subscription: subscription,
            windowStart: LagoLineKey.windowStart(of: part.occurredAt, seconds: windowSeconds),
            windowSeconds: windowSeconds, provider: part.call.provider, model: part.call.model,
            operation: part.call.operation)
        open[key, default: []].append(part)
        // A line of which nothing remains is not told, and a later one of its key begins afresh.
        if part.sign < 0, let parts = open[key], LagoPartsFold.sums(of: parts).isZero { open[key] = nil }
    }

    private mutating func close(
        _ closed: LagoWindowClosed, at position: UInt64
    ) -> [(line: LagoLine, parts: [LagoLinePart])] {
        windowSeconds = closed.windowSeconds
        let through = closed.through.microseconds
        let ended = open.filter { $0.key.windowEnd * Timestamp.microsecondsPerSecond <= through }
        for key in ended.keys { open[key] = nil }
        return LagoSealed(ended.mapValues(LagoPartsFold.sums), closedBy: position).lines.map { line in
            guard let parts = ended[line.key] else { preconditionFailure("the line \(line.id) was not open") }
            return (line, parts)
        }
    }

    /// What parts add up to. At least one.
    public static func sums(of parts: [LagoLinePart]) -> LagoSums {
        guard let first = parts.first else { preconditionFailure("a line without parts") }
        var sums = LagoSums(at: first.occurredAt, position: first.position)
        for part in parts { sums.add(part.usage, sign: part.sign, position: part.position) }
        return sums
    }
}
