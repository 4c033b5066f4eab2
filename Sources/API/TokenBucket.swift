internal import Billing
internal import Platform

/// A rate with a burst, in whole numbers: tokens come at `perSecond` up to `burst`, a request takes one. Time is a
/// count of nanoseconds that never goes back. One token is a billion units, so that a nanosecond brings `perSecond`.
struct TokenBucket: Hashable, Sendable {
    enum Verdict: Hashable, Sendable {
        case taken(remaining: UInt64)
        /// None is there until so many nanoseconds from now.
        case refused(waitNanoseconds: UInt64)
    }

    static let unitsPerToken: UInt64 = 1_000_000_000

    let perSecond: UInt64
    let burst: UInt64
    private var units: UInt64
    private var filledAt: UInt64

    /// Full at first. `perSecond` and `burst` are 1...1,000,000,000.
    init(perSecond: UInt64, burst: UInt64, now: UInt64) {
        precondition((1...1_000_000_000).contains(perSecond), "perSecond \(perSecond)")
        precondition((1...1_000_000_000).contains(burst), "burst \(burst)")
        self.perSecond = perSecond
        self.burst = burst
        units = burst * TokenBucket.unitsPerToken
        filledAt = now
    }

    mutating func take(now: UInt64) -> Verdict {
        fill(now)
        guard units >= TokenBucket.unitsPerToken else {
            let missing = TokenBucket.unitsPerToken - units
            return .refused(waitNanoseconds: (missing + perSecond - 1) / perSecond)
        }
        units -= TokenBucket.unitsPerToken
        return .taken(remaining: units / TokenBucket.unitsPerToken)
    }

    private mutating func fill(_ now: UInt64) {
        guard now > filledAt else { return }
        let (brought, overflow) = (now - filledAt).multipliedReportingOverflow(by: perSecond)
        let (sum, overflowAgain) = units.addingReportingOverflow(brought)
        let most = burst * TokenBucket.unitsPerToken
        units = overflow || overflowAgain ? most : min(sum, most)
        filledAt = now
    }
}

/// A bucket for each key; there are no more of them than keys.
final class KeyRates: Sendable {
    private struct State {
        /// 0: no limit.
        var perSecond: Int
        var burst: Int
        var buckets: [Name: TokenBucket] = [:]
    }

    private let state: Lock<State>

    init(perSecond: Int, burst: Int) {
        state = Lock(State(perSecond: perSecond, burst: burst))
    }

    /// Other rates from now on, of which every key has a whole burst at first. The same rates change nothing.
    func change(perSecond: Int, burst: Int) {
        state.withLock { state in
            guard perSecond != state.perSecond || burst != state.burst else { return }
            state = State(perSecond: perSecond, burst: burst)
        }
    }

    /// The refusal of one request too many.
    func refusal(_ key: Name, now: UInt64) -> Problem? {
        let (verdict, perSecond) = state.withLock { state -> (TokenBucket.Verdict?, Int) in
            guard state.perSecond > 0 else { return (nil, 0) }
            let whole = TokenBucket(perSecond: UInt64(state.perSecond), burst: UInt64(state.burst), now: now)
            return (state.buckets[key, default: whole].take(now: now), state.perSecond)
        }
        guard case .refused(let wait)? = verdict else { return nil }
        let seconds = max(1, (wait + 999_999_999) / 1_000_000_000)
        return Problem(
            429, "rate_limited", "the key \(key) has made more than \(perSecond) requests a second; nothing was stored",
            headers: [
                ("Retry-After", String(seconds)), ("RateLimit", "\"key\";r=0;t=\(seconds)"),
                ("RateLimit-Policy", "\"key\";q=\(perSecond);w=1"),
            ])
    }
}
