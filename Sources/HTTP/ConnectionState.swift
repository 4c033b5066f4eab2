/// What one connection is doing, until when it may, and whether it goes on after an answer. Time comes in as
/// nanoseconds of any steady clock.
///
/// ```
///  idle -> head -> (body) -> handling -> idle          closing: answered for the last time, reading what is left
///    ^                          |                       until the client closes
///    +---- answered, kept ------+---- answered, not kept ----> closing
/// ```
/// 1. While a request is handled no read deadline runs: the wait is ours, not the client's. Nor does one while a body
///    is held back because its reader is behind.
/// 2. Beside every phase, bytes that wait for the client to take them have their own deadline.
/// 3. Bodies and answers may be slow but not stall: see `Pace`.
public struct ConnectionState: Hashable, Sendable {
    public struct Limits: Hashable, Sendable {
        /// For a head from its first byte, and for the first byte of a new connection.
        public var headMilliseconds: UInt64 = 10_000
        /// Between requests.
        public var idleMilliseconds: UInt64 = 60_000
        /// How long a body may bring nothing.
        public var bodyStallMilliseconds: UInt64 = 10_000
        /// How long a client may take nothing of its answer.
        public var writeStallMilliseconds: UInt64 = 10_000
        /// The slowest that bodies may come and answers be taken in the long run.
        public var bytesPerSecondMin: UInt64 = 1024
        /// After the last answer, for the client to close its side.
        public var closingMilliseconds: UInt64 = 2_000

        public init() {}
    }

    public enum Phase: Hashable, Sendable {
        /// `isFirst`: no byte has ever come.
        case idle(since: UInt64, isFirst: Bool)
        case head(since: UInt64)
        case body(Pace)
        /// Our side does not read: the body's reader has enough.
        case bodyHeld
        case handling
        case closing(since: UInt64)
    }

    /// A deadline that passed.
    public enum Deadline: Hashable, Sendable {
        case idle, head, body, write, closing
    }

    public enum Verdict: Hashable, Sendable {
        /// All is well until the time, or for as long as it takes.
        case wait(until: UInt64?)
        /// A request did not come in time: answer 408, then close.
        case answerTimeout(Deadline)
        case close(Deadline)
    }

    /// The time that a transfer has left: at most the stall limit, filled up by each byte with the time that it may
    /// take at the slowest rate. A stall ends it after the limit, a drip below the rate somewhat later, and no burst
    /// buys more than the limit.
    public struct Pace: Hashable, Sendable {
        public private(set) var deadline: UInt64

        init(now: UInt64, stallMilliseconds: UInt64) {
            deadline = ConnectionState.time(now, plusMilliseconds: stallMilliseconds)
        }

        mutating func moved(bytes: Int, now: UInt64, stallMilliseconds: UInt64, bytesPerSecondMin: UInt64) {
            precondition(bytes >= 0, "\(bytes) bytes moved")
            let (product, overflow) = UInt64(bytes).multipliedReportingOverflow(by: 1_000_000_000)
            let earned = overflow ? UInt64.max : product / bytesPerSecondMin
            let (sum, overflowAgain) = deadline.addingReportingOverflow(earned)
            let latest = ConnectionState.time(now, plusMilliseconds: stallMilliseconds)
            deadline = overflowAgain ? latest : min(sum, latest)
        }
    }

    private let limits: Limits
    public private(set) var phase: Phase
    /// Runs while bytes wait for the client to take them.
    private var write: Pace?
    public private(set) var isDraining = false

    public init(limits: Limits, now: UInt64) {
        self.limits = limits
        phase = .idle(since: now, isFirst: true)
    }

    /// The first byte of a request is here.
    public mutating func headBegan(now: UInt64) {
        if case .idle = phase { phase = .head(since: now) }
    }

    public mutating func headEnded(now: UInt64) {
        phase = .body(Pace(now: now, stallMilliseconds: limits.bodyStallMilliseconds))
    }

    /// So many more bytes of the body have come.
    public mutating func bodyReceived(bytes: Int, now: UInt64) {
        guard case .body(var pace) = phase else { return }
        pace.moved(
            bytes: bytes, now: now, stallMilliseconds: limits.bodyStallMilliseconds,
            bytesPerSecondMin: limits.bytesPerSecondMin)
        phase = .body(pace)
    }

    /// The body's reader has enough for now.
    public mutating func bodyHeld() {
        if case .body = phase { phase = .bodyHeld }
    }

    public mutating func bodyResumed(now: UInt64) {
        if case .bodyHeld = phase { headEnded(now: now) }
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
        phase = .idle(since: now, isFirst: false)
        return true
    }

    /// Nothing more is read as a request; what still comes is thrown away for a while.
    public mutating func closes(now: UInt64) {
        phase = .closing(since: now)
    }

    /// Bytes wait for the client, which has taken `bytes` since this was last said.
    public mutating func writeWaits(bytesTaken: Int, now: UInt64) {
        guard var pace = write else {
            write = Pace(now: now, stallMilliseconds: limits.writeStallMilliseconds)
            return
        }
        pace.moved(
            bytes: bytesTaken, now: now, stallMilliseconds: limits.writeStallMilliseconds,
            bytesPerSecondMin: limits.bytesPerSecondMin)
        write = pace
    }

    /// The client has taken everything.
    public mutating func writeEnded() {
        write = nil
    }

    /// No request after the one under way. True when there is none, and the connection can close at once.
    public mutating func drain() -> Bool {
        isDraining = true
        if case .idle = phase, write == nil { return true }
        return false
    }

    /// What time asks for.
    public func verdict(now: UInt64) -> Verdict {
        if let write, now >= write.deadline { return .close(.write) }
        let other = write?.deadline
        switch phase {
        case .handling, .bodyHeld:
            return .wait(until: other)
        case .idle(let since, let isFirst):
            // While an answer is still being taken, the write deadline counts, not the idle one.
            if let other { return .wait(until: other) }
            let limit = isFirst ? limits.headMilliseconds : limits.idleMilliseconds
            return verdict(now, ConnectionState.time(since, plusMilliseconds: limit), or: .close(.idle))
        case .head(let since):
            let deadline = ConnectionState.time(since, plusMilliseconds: limits.headMilliseconds)
            return verdict(now, deadline, or: .answerTimeout(.head), other)
        case .body(let pace):
            return verdict(now, pace.deadline, or: .answerTimeout(.body), other)
        case .closing(let since):
            if let other { return .wait(until: other) }
            let deadline = ConnectionState.time(since, plusMilliseconds: limits.closingMilliseconds)
            return verdict(now, deadline, or: .close(.closing))
        }
    }

    private func verdict(_ now: UInt64, _ deadline: UInt64, or late: Verdict, _ other: UInt64? = nil) -> Verdict {
        now >= deadline ? late : .wait(until: min(deadline, other ?? deadline))
    }

    private static func time(_ since: UInt64, plusMilliseconds milliseconds: UInt64) -> UInt64 {
        let (nanoseconds, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflowAgain) = since.addingReportingOverflow(nanoseconds)
        return overflow || overflowAgain ? .max : sum
    }
}
