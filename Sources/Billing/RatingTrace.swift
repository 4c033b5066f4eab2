/// How a call's price came about, step by step: noted by the very function that charges, on request.
///
/// Sum of the parts -> x factors, in order -> product -> rounded once, half to even: the charge.
public struct RatingTrace: Hashable, Sendable {
    /// A quantity times a price of the rule. Token prices are per 1,000 or 1,000,000; others per 1.
    public struct Part: Hashable, Sendable {
        public enum Kind: UInt8, CaseIterable, Sendable {
            case input, cacheRead, cacheWrite, output, reasoning, image, audioSecond, search, call, reportedCost

            /// "cache_read". Token kinds are disjoint: input without cache, output without reasoning.
            public var name: String {
                switch self {
                case .cacheRead: "cache_read"
                case .cacheWrite: "cache_write"
                case .audioSecond: "audio_second"
                case .reportedCost: "reported_cost"
                default: String(describing: self)
                }
            }
        }
        public var kind: Kind
        public var quantity: Decimal
        public var price: Decimal
        public var per: Int64

        /// Quantity x price / per, every digit, in the unit of the prices.
        public var amount: String { exact.text(digits: 0) }

        var exact: Exact {
            var exact = Exact(quantity)
            exact.multiply(by: price)
            switch per {
            case 1: break
            case 1000: exact.shift(right: 3)
            case 1_000_000: exact.shift(right: 6)
            default: preconditionFailure("a price per \(per)")
            }
            return exact
        }
    }

    public enum Step: Hashable, Sendable {
        /// A multiplier of the list, picked by an attribute of the call.
        case multiplier(name: String, factor: Decimal)
        /// 1 + the plan's markup.
        case markup(factor: Decimal)
        /// What a cache hit costs of the price. Not part of the notional cost.
        case cacheHit(factor: Decimal)

        public var factor: Decimal {
            switch self {
            case .multiplier(_, let factor), .markup(let factor), .cacheHit(let factor): factor
            }
        }
    }

    /// Why a call that has a price is charged nothing of it.
    public enum Free: Hashable, Sendable {
        case byok, failure
    }

    /// 10^`digits` n$ are one of the unit that the parts are in: 6 for credits, 9 for dollars.
    public var digits = 0
    public var parts: [Part] = []
    /// Sum of the parts, every digit, in their unit.
    public var sum = "0"
    public var steps: [Step] = []
    /// Credits before the rounding, every digit.
    public var product = "0"
    public var free: Free?

    /// "credits" or "usd": what the parts and their sum are in.
    public var unit: String { digits == Catalog.creditDigits ? "credits" : "usd" }

    /// Multiplies the parts out again and compares with what was charged. Nil when all agrees.
    func fault(of rating: Rating) -> String? {
        var exact = Exact.zero
        for part in parts { exact.add(part.exact) }
        guard exact.text(digits: 0) == sum else {
            return "the parts add up to \(exact.text(digits: 0)), not to \(sum) \(unit)"
        }
        var notional = exact
        for step in steps {
            exact.multiply(by: step.factor)
            if case .cacheHit = step { continue }
            notional.multiply(by: step.factor)
        }
        guard exact.text(digits: digits - Catalog.creditDigits) == product else {
            return "the product of parts and factors is not \(product) credits"
        }
        guard notional.rounded(digits: digits) == rating.notional.nanos else {
            return "the notional cost is not the rounded product: \(rating.notional.credits) credits"
        }
        guard (free == nil ? exact.rounded(digits: digits) : 0) == rating.charge.nanos else {
            return "the charge is not the rounded product: \(rating.charge.credits) credits for \(product)"
        }
        return nil
    }
}

/// Takes notes while a call is rated. Absent on the way of every call that is only charged.
final class RatingTracer {
    private(set) var trace = RatingTrace()

    func part(_ kind: RatingTrace.Part.Kind, _ quantity: Decimal, at price: Decimal, per: Int64 = 1) {
        trace.parts.append(RatingTrace.Part(kind: kind, quantity: quantity, price: price, per: per))
    }

    func sum(_ sum: Exact, digits: Int) {
        trace.digits = digits
        trace.sum = sum.text(digits: 0)
    }

    func step(_ step: RatingTrace.Step) {
        trace.steps.append(step)
    }

    func product(_ product: Exact, digits: Int, free: RatingTrace.Free?) {
        trace.product = product.text(digits: digits - Catalog.creditDigits)
        trace.free = free
    }
}
