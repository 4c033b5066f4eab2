public import Billing
internal import Records

/// What is gathered into one line: usage of a subscription, by provider, model and operation, in one window.
public struct LagoLineKey: Hashable, Sendable {
    public var subscription: Name
    /// Windows are `[start, start + seconds)`, in seconds since 1970.
    public var windowStart: Int64
    public var windowSeconds: Int64
    public var provider: Name
    public var model: Name
    public var operation: Call.Operation

    public init(
        subscription: Name, windowStart: Int64, windowSeconds: Int64, provider: Name, model: Name,
        operation: Call.Operation
    ) {
        self.subscription = subscription
        self.windowStart = windowStart
        self.windowSeconds = windowSeconds
        self.provider = provider
        self.model = model
        self.operation = operation
    }

    /// The start of the window that `time` is in.
    static func windowStart(of time: Timestamp, seconds: Int64) -> Int64 {
        let length = seconds * Timestamp.microsecondsPerSecond
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: length)
        return (remainder < 0 ? quotient - 1 : quotient) * seconds
    }

    public var windowEnd: Int64 { windowStart + windowSeconds }
}

extension LagoLineKey: Comparable {
    /// By window, then by bytes: the order in which lines are numbered, so that a batch holds lines of one window.
    public static func < (left: LagoLineKey, right: LagoLineKey) -> Bool {
        if left.windowStart != right.windowStart { return left.windowStart < right.windowStart }
        if left.windowSeconds != right.windowSeconds { return left.windowSeconds < right.windowSeconds }
        if left.subscription != right.subscription { return left.subscription < right.subscription }
        if left.provider != right.provider { return left.provider < right.provider }
        if left.model != right.model { return left.model < right.model }
        return left.operation.rawValue < right.operation.rawValue
    }
}

/// Sums of a line.
public struct LagoSums: Hashable, Sendable {
    public var calls: Int64 = 0
    public var inputTokens: Int128 = 0
    public var outputTokens: Int128 = 0
    public var cacheReadTokens: Int128 = 0
    public var cacheWriteTokens: Int128 = 0
    public var reasoningTokens: Int128 = 0
    public var images: Int128 = 0
    /// Seconds x 10^6.
    public var audioMicros: Int128 = 0
    public var characters: Int128 = 0
    public var searches: Int128 = 0
    public var charge = MoneySum.zero
    /// Part of the charge that is due: overage under a plan that invoices it. Negative in a line that takes back more
    /// than it adds.
    public var invoiced = MoneySum.zero
    /// The latest call's own time: inside the window.
    public var lastAt: Timestamp
    public var firstPosition: UInt64
    public var lastPosition: UInt64

    init(at time: Timestamp, position: UInt64) {
        lastAt = time
        firstPosition = position
        lastPosition = position
    }

    /// Adds one call, or with a sign of -1 takes it out.
    mutating func add(_ usage: LineUsage, sign: Int64, position: UInt64) {
        if usage.isCall && Quota.uses(usage.call, plan: nil) { calls += sign }
        if let usage = usage.call.usage {
            func add(_ count: Int64?, to sum: inout Int128) {
                if let count { sum += Int128(count) * Int128(sign) }
            }
            add(usage.inputTokens, to: &inputTokens)
            add(usage.outputTokens, to: &outputTokens)
            add(usage.cacheReadTokens, to: &cacheReadTokens)
            add(usage.cacheWriteTokens, to: &cacheWriteTokens)
            add(usage.reasoningTokens, to: &reasoningTokens)
            add(usage.images, to: &images)
            if let seconds = usage.audioSeconds { audioMicros += seconds.sum(of: 6) * Int128(sign) }
            add(usage.characters, to: &characters)
            add(usage.searches, to: &searches)
        }
        charge.nanos += Int128(usage.charge.nanos) * Int128(sign)
        invoiced.nanos += Int128(usage.invoiced.nanos) * Int128(sign)
        lastAt = max(lastAt, usage.at)
        lastPosition = position
    }

    /// Whether there is nothing to tell of the line.
    var isZero: Bool {
        let sums = [
            Int128(calls), inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens, images,
            audioMicros, characters, searches, charge.nanos, invoiced.nanos,
        ]
        return sums.allSatisfy { $0 == 0 }
    }

    /// What Lago is to be told is due: never negative, since no event of Lago's takes an amount back.
    public var due: MoneySum { max(.zero, invoiced) }
    /// What was due before and is not any more: for a credit note, which is not usage.
    public var creditDue: MoneySum { max(.zero, -invoiced) }

    /// How many Lago events a line of these sums gives.
    var eventCount: Int { invoiced > .zero ? 2 : 1 }
}

/// What one version of a call adds to a line.
struct LineUsage {
    var call: Call
    /// False for `llm.usage`.
    var isCall: Bool
    /// The call's own time.
    var at: Timestamp
    var charge: Money
    var invoiced: Money

    /// A failure that used nothing is no usage: no line for it alone.
    var isAny: Bool { charge > .zero || call.hasUsage || (isCall && Quota.uses(call, plan: nil)) }
}

extension StandingCall {
    /// What the record of this version states.
    func call(in log: any RecordSource) throws -> Call {
        switch try log.record(at: position)?.event.fact {
        case .call(let call), .usage(let call): return call
        case .callAmended(let amended): return amended.call
        default: throw RecordFault(position: position, reason: "states no call, and a correction unwinds it")
        }
    }
}

/// A sealed line. It never changes.
public struct LagoLine: Hashable, Sendable {
    /// Of the closing record.
    public var position: UInt64
    /// Among the lines of that closing, from 1.
    public var number: Int64
    /// Number of its batch.
    public var batch: Int64
    public var key: LagoLineKey
    public var sums: LagoSums

    public var id: String { LagoLineID(position: position, number: number).text }
}

/// "l-<position of the closing record>-<number>".
public struct LagoLineID: Hashable, Sendable {
    public var position: UInt64
    public var number: Int64

    public init(position: UInt64, number: Int64) {
        self.position = position
        self.number = number
    }

    /// Nil for a text that is no id of ours.
    public init?(_ text: String) {
        guard let pair = NumberPair(text, prefix: "l-") else { return nil }
        self.init(position: pair.first, number: Int64(pair.second))
    }

    public var text: String { "l-\(position)-\(number)" }
}

/// Up to 100 Lago events of one window, handed over together.
public struct LagoBatch: Hashable, Sendable {
    public enum State: UInt8, CaseIterable, Sendable {
        case pending, delivered, failed
        public var name: String { String(describing: self) }
    }
    /// Of Lago's batch endpoint.
    public static let eventsMax = 100

    public var id: LagoBatchID
    public var windowStart: Int64
    public var windowSeconds: Int64
    /// Positions of the calls in it, first and last.
    public var firstPosition: UInt64
    public var lastPosition: UInt64
    public var lines: Int64
    public var events: Int64
    public var state: State
    /// What the sync worker said with the state.
    public var detail: String?
    /// Of the record that says so; 0 while pending.
    public var statePosition: UInt64
}

/// "b-<position of the closing record>-<number>".
public struct LagoBatchID: Hashable, Comparable, Sendable {
    public var position: UInt64
    public var number: Int64

    public init(position: UInt64, number: Int64) {
        self.position = position
        self.number = number
    }

    /// Nil for a text that is no id of ours.
    public init?(_ text: String) {
        guard let pair = NumberPair(text, prefix: "b-") else { return nil }
        self.init(position: pair.first, number: Int64(pair.second))
    }

    public var text: String { "b-\(position)-\(number)" }

    public static func < (left: LagoBatchID, right: LagoBatchID) -> Bool {
        (left.position, left.number) < (right.position, right.number)
    }
}

/// What one closing seals.
struct LagoSealed {
    var lines: [LagoLine] = []
    var batches: [LagoBatch] = []

    /// Numbers `open` in the order of keys and cuts batches: of one window, and of at most 100 events. A line's events
    /// stay together.
    init(_ open: [LagoLineKey: LagoSums], closedBy position: UInt64) {
        for (key, sums) in open.sorted(by: { $0.key < $1.key }) {
            let isRoom =
                batches.last.map { batch in
                    batch.windowStart == key.windowStart && batch.windowSeconds == key.windowSeconds
                        && Int(batch.events) + sums.eventCount <= LagoBatch.eventsMax
                } ?? false
            if !isRoom {
                batches.append(
                    LagoBatch(
                        id: LagoBatchID(position: position, number: Int64(batches.count + 1)),
                        windowStart: key.windowStart, windowSeconds: key.windowSeconds,
                        firstPosition: sums.firstPosition, lastPosition: sums.lastPosition, lines: 0, events: 0,
                        state: .pending, detail: nil, statePosition: 0))
            }
            let last = batches.count - 1
            batches[last].lines += 1
            batches[last].events += Int64(sums.eventCount)
            batches[last].firstPosition = min(batches[last].firstPosition, sums.firstPosition)
            batches[last].lastPosition = max(batches[last].lastPosition, sums.lastPosition)
            lines.append(
                LagoLine(
                    position: position, number: Int64(lines.count + 1), batch: batches[last].id.number, key: key,
                    sums: sums))
        }
    }
}
