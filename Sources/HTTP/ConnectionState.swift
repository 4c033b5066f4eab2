/// What one connection is doing, until when it may, and whether it goes on after an answer. Time comes in as
/// nanoseconds of any steady clock.
///
/// ```
///  idle -> head -> (body) -> handling -> idle          closing: answered for the last time, reading what is left
///    ^                          |                       until the client closes
///    +---- answered, kept ------+---- answered, not kept ----> closing
/// ```
/// 1. While a request is handled no read deadline runs: the wait is ours, not the client's.
/// 2. Beside every phase, bytes that wait for the client to take them have their own deadline.
/// 3. A body may take `bodyGrace` plus the time its bytes need at the floor rate: slow is allowed, stalling is not.
public struct ConnectionState: Hashable, Sendable {
    public struct Limits: Hashable, Sendable {
        public var headMilliseconds: UInt64 = 10_000
        public var idleMilliseconds: UInt64 = 75_000
        public var bodyGraceMilliseconds: UInt64 = 10_000
        /// The slowest that a body may come, after the grace.
        public var bodyBytesPerSecondMin: UInt64 = 1024
        /// Without a byte taken by the client.
        public var writeStallMilliseconds: UInt64 = 30_000
        /// After the last answer, for the client to close its side.
        public var closingMilliseconds: UInt64 = 2_000

        public init() {}
    }

    public enum Phase: Hashable, Sendable {
        case idle(since: UInt64)
        case head(since: UInt64)
        case body(since: UInt64, bytes: UInt64)
        case handling
        case closing(since: UInt64)
    }

    public enum Verdict: Hashable, Sendable {
        /// All is well until the time, or for as long as it takes.
        case wait(until: UInt64?)
        /// A request did not come in time: answer 408, then close.
        case answerTimeout
        case close
    }

    private let limits: Limits
    public private(set) var phase: Phase
    private var stalledSince: UInt64?
    public private(set) var isDraining = false

    public init(limits: Limits, now: UInt64) {
        self.limits = limits
        phase = .idle(since: now)
    }

    /// The first byte of a request is here.
    public mutating func headBegan(now: UInt64) {
        if case .idle = phase { phase = .head(since: now) }
    }

    public mutating func headEnded(now: UInt64) {
        phase = .body(since: now, bytes: 0)
    }

    /// `bytes` of the body have come so far.
    public mutating func bodyReceived(bytes: Int) {
        guard case .body(let since, _) = phase else { return }
        phase = .body(since: since, bytes: UInt64(bytes))
    }

    public mutating func requestEnded() {
        phase = .handling
    }

    /// The answer is complete. `keepAlive`: what the request and the answer allow. True when the connection goes on.
    public mutating func answered(keepAlive: Bool, now: UInt64) -> Bool {
        guard keepAlive, !isDraining else {
            phase = .closing(since: now)
            return false
        }
        phase = .idle(since: now)
        return true
    }

    /// Nothing more is read as a request; what still comes is thrown away for a while.
    public mutating func closes(now: UInt64) {
        phase = .closing(since: now)
    }

    /// Bytes wait for the client to read them.
    public mutating func writeBlocked(now: UInt64) {
        if stalledSince == nil { stalledSince = now }
    }

    /// The client took some; others still wait.
    public mutating func writeProgressed(now: UInt64) {
        stalledSince = now
    }

    public mutating func writeEnded() {
        stalledSince = nil
    }

    /// No request after the one under way. True when there is none, and the connection can close at once.
    public mutating func drain() -> Bool {
        isDraining = true
        if case .idle = phase, stalledSince == nil { return true }
        return false
    }

    /// What time asks for.
    public func verdict(now: UInt64) -> Verdict {
        if let stalledSince, now >= deadline(stalledSince, limits.writeStallMilliseconds) { return .close }
        let stall = stalledSince.map { deadline($0, limits.writeStallMilliseconds) }
        switch phase {
        case .handling:
            return .wait(until: stall)
        case .idle(let since):
            // While an answer is still being taken, the write deadline counts, not the idle one.
            if let stall { return .wait(until: stall) }
            return verdict(now, deadline(since, limits.idleMilliseconds), or: .close)
        case .head(let since):
            return verdict(now, deadline(since, limits.headMilliseconds), or: .answerTimeout, stall)
        case .body(let since, let bytes):
            let (product, overflow) = bytes.multipliedReportingOverflow(by: 1_000)
            let earned = overflow ? UInt64.max / 2_000_000 : product / limits.bodyBytesPerSecondMin
            return verdict(now, deadline(since, limits.bodyGraceMilliseconds &+ earned), or: .answerTimeout, stall)
        case .closing(let since):
            if let stall { return .wait(until: stall) }
            return verdict(now, deadline(since, limits.closingMilliseconds), or: .close)
        }
    }

    private func verdict(_ now: UInt64, _ deadline: UInt64, or late: Verdict, _ other: UInt64? = nil) -> Verdict {
        now >= deadline ? late : .wait(until: min(deadline, other ?? deadline))
    }

    private func deadline(_ since: UInt64, _ milliseconds: UInt64) -> UInt64 {
        let (nanoseconds, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflowAgain) = since.addingReportingOverflow(nanoseconds)
        return overflow || overflowAgain ? .max : sum
    }
}
