/// Other prices and plans for the calls of a time: what somebody who asks "what if" puts in the place of those that
/// were published.
public struct Substitution: Sendable {
    /// In force in the place of every published list; its own effective time counts for nothing. Nil: prices as they
    /// were.
    public var prices: PriceList?
    /// Each in the place of every definition of that name.
    public var plans: [Plan]
    /// The calls' own time, `[from, until)`. Nil: without a limit on that side.
    public var from: Timestamp?
    public var until: Timestamp?

    public init(prices: PriceList? = nil, plans: [Plan] = [], from: Timestamp? = nil, until: Timestamp? = nil) {
        self.prices = prices
        self.plans = plans
        self.from = from
        self.until = until
    }

    public func covers(_ time: Timestamp) -> Bool {
        (from.map { $0 <= time } ?? true) && (until.map { time < $0 } ?? true)
    }
}

/// A substitution ready to be asked.
final class SubstituteIndex: Sendable {
    let prices: PriceIndex?
    let plans: [Name: Catalog.Definition]
    private let from: Timestamp
    private let until: Timestamp

    init(_ substitution: Substitution) {
        from = substitution.from ?? Timestamp(microseconds: .min)
        until = substitution.until ?? Timestamp(microseconds: .max)
        // No record has the position 0.
        prices = substitution.prices.map { PriceIndex($0, position: 0, effective: .earliest) }
        plans = Dictionary(
            substitution.plans.map { ($0.name, Catalog.Definition($0, position: 0, time: .earliest)) },
            uniquingKeysWith: { $1 })
    }

    /// Whether it holds at `time`; narrows `span` to the times for which the answer is the same.
    func covers(_ time: Timestamp, _ span: inout Terms.Span) -> Bool {
        if time < from {
            span.until = min(span.until, from)
            return false
        }
        if time >= until {
            span.from = max(span.from, until)
            return false
        }
        span.from = max(span.from, from)
        span.until = min(span.until, until)
        return true
    }
}
