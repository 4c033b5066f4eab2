/// What a call costs: contract 3, "Charging, in order", steps 1 and 2.
extension Catalog {
    /// Rates a call by the list in force at `time`, times multipliers, times markup; rounded once, half to even.
    /// `countsCall` is false for `llm.usage`, which takes no price per call.
    /// Throws `amount_out_of_range` when the charge does not fit in 64 bits of n$, or the reported cost is negative.
    public func rate(_ call: Call, at time: Timestamp, countsCall: Bool = true) throws(Rejection) -> Rating {
        try Catalog.rate(call, by: terms(for: call, at: time), countsCall: countsCall)
    }

    /// As `rate`, and remembers what it found: for a fold that rates many calls by long lists.
    public mutating func rateRemembering(
        _ call: Call, at time: Timestamp, countsCall: Bool = true
    ) throws(Rejection) -> Rating {
        try Catalog.rate(call, by: rememberTerms(for: call, at: time), countsCall: countsCall)
    }

    /// 1 credit = 10^6 n$, 1 dollar = 10^9 n$.
    static let creditDigits = 6
    static let dollarDigits = 9

    private enum Priced {
        /// In a unit that is 10^`digits` n$.
        case priced(Exact, digits: Int)
        case unpriced(Rating.Unpriced)
        case negativeCost
    }

    /// - Parameter tracer: notes each step, when an explanation is wanted.
    static func rate(
        _ call: Call, by terms: Terms, countsCall: Bool, tracer: RatingTracer? = nil
    ) throws(Rejection) -> Rating {
        let isFailure = call.status == .failure && !call.hasUsage
        let isFree = call.keySource == .byok || isFailure
        var rating = Rating(
            charge: .zero, notional: .zero, list: terms.prices?.position, rule: terms.rule, markup: terms.markup)
        guard let index = terms.prices else {
            // Where nothing would be charged, no price is missing.
            rating.unpriced = isFree ? nil : .noList
            return rating
        }
        guard let rule = terms.priceRule else {
            rating.unpriced = isFree ? nil : .noRule
            return rating
        }
        var product: Exact
        let digits: Int
        switch price(call, by: rule, unit: terms.unit, countsCall: countsCall, tracer: tracer) {
        case .priced(let exact, let unitDigits):
            (product, digits) = (exact, unitDigits)
            tracer?.sum(exact, digits: unitDigits)
        case .unpriced(let reason):
            rating.unpriced = isFree ? nil : reason
            return rating
        case .negativeCost:
            throw Rejection(
                code: "amount_out_of_range", field: "data.cost_usd", detail: "the reported cost is negative")
        }
        if !terms.factors.isEmpty {
            rating.multipliers = terms.factors
            for factor in terms.factors {
                product.multiply(by: factor.value)
                tracer?.step(.multiplier(name: factor.name, factor: factor.value))
            }
        }
        product.multiply(by: terms.markupFactor)
        tracer?.step(.markup(factor: terms.markupFactor))
        guard let notional = product.rounded(digits: digits) else { throw tooLarge(call) }
        rating.notional = Money(nanos: notional)
        if call.cacheHit {
            let factor = index.list.cacheHit ?? .zero
            rating.multipliers.append(Rating.Factor(name: "cache_hit", value: factor))
            product.multiply(by: factor)
            tracer?.step(.cacheHit(factor: factor))
        }
        tracer?.product(product, digits: digits, free: isFree ? (isFailure ? .failure : .byok) : nil)
        if isFree { return rating }
        guard let charge = call.cacheHit ? product.rounded(digits: digits) : notional else { throw tooLarge(call) }
        rating.charge = Money(nanos: charge)
        return rating
    }

    /// What the rule says the call's usage is worth, before multipliers and markup.
    private static func price(
        _ call: Call, by priced: BoxedRule, unit: PriceList.Unit, countsCall: Bool, tracer: RatingTracer?
    ) -> Priced {
        if let factor = priced.rule.reportedCost {
            guard let cost = call.cost else { return .unpriced(.noCost) }
            guard cost.mantissa >= 0 else { return .negativeCost }
            var product = Exact(cost)
            product.multiply(by: factor)
            tracer?.part(.reportedCost, cost, at: factor)
            return .priced(product, digits: dollarDigits)
        }
        var sum = Exact.zero
        if priced.pricesUsage {
            guard let usage = call.usage, priced.canPrice(usage) else { return .unpriced(.noUsage) }
            addTokens(of: usage, by: priced, to: &sum, tracer: tracer)
            add(.image, usage.images, at: priced.rule.perImage, to: &sum, tracer: tracer)
            add(.search, usage.searches, at: priced.rule.perSearch, to: &sum, tracer: tracer)
            if let seconds = usage.audioSeconds, let price = priced.rule.perAudioSecond {
                var product = Exact(seconds)
                product.multiply(by: price)
                sum.add(product)
                tracer?.part(.audioSecond, seconds, at: price)
            }
        }
        if countsCall { add(.call, 1, at: priced.rule.perCall, to: &sum, tracer: tracer) }
        return .priced(sum, digits: unit == .credits ? creditDigits : dollarDigits)
    }

    /// Totals are inclusive; prices are for disjoint kinds, a kind without its own taking that of its total.
    private static func addTokens(
        of usage: Usage, by priced: BoxedRule, to sum: inout Exact, tracer: RatingTracer?
    ) {
        let per = priced.rule.per
        let digits = per == 1_000_000 ? 6 : 3
        precondition(per == 1000 || per == 1_000_000, "a price per \(per) tokens")
        let inputPrice = priced.rule.input ?? priced.rule.anyToken
        let outputPrice = priced.rule.output ?? priced.rule.anyToken
        let cacheRead = usage.cacheReadTokens ?? 0
        let cacheWrite = usage.cacheWriteTokens ?? 0
        let reasoning = usage.reasoningTokens ?? 0
        var tokens = Exact.zero
        let input = (usage.inputTokens ?? 0) - cacheRead - cacheWrite
        let output = (usage.outputTokens ?? 0) - reasoning
        add(.input, input, at: inputPrice, per, to: &tokens, tracer: tracer)
        add(.cacheRead, cacheRead, at: priced.rule.cacheRead ?? inputPrice, per, to: &tokens, tracer: tracer)
        add(.cacheWrite, cacheWrite, at: priced.rule.cacheWrite ?? inputPrice, per, to: &tokens, tracer: tracer)
        add(.output, output, at: outputPrice, per, to: &tokens, tracer: tracer)
        add(.reasoning, reasoning, at: priced.rule.reasoning ?? outputPrice, per, to: &tokens, tracer: tracer)
        if tokens.isZero { return }
        tokens.shift(right: digits)
        sum.add(tokens)
    }

    /// Adds count x price; `per` is the caller's to divide by.
    private static func add(
        _ kind: RatingTrace.Part.Kind, _ count: Int64?, at price: Decimal?, _ per: Int64 = 1, to sum: inout Exact,
        tracer: RatingTracer?
    ) {
        guard let count, let price, count != 0 else { return }
        precondition(count > 0, "count \(count) in a rating: subsets larger than totals are refused with the shape")
        tracer?.part(kind, Decimal(mantissa: count, scale: 0), at: price, per: per)
        if price.mantissa == 0 { return }
        var product = Exact(UInt64(count), scale: 0)
        product.multiply(by: price)
        sum.add(product)
    }

    /// The factors of the list that the call's attributes pick, in the list's order. What a client states of itself
    /// (`client.*`) is never looked at.
    static func factors(of list: PriceList, for call: Call) -> [Rating.Factor] {
        if list.multipliers.isEmpty || call.attributes.isEmpty { return [] }
        var factors: [Rating.Factor] = []
        for multiplier in list.multipliers where !multiplier.attribute.text.utf8.starts(with: "client.".utf8) {
            guard let attribute = call.attributes.first(where: { $0.name == multiplier.attribute }),
                let value = multiplier.values.first(where: { $0.value.hasSameBytes(as: attribute.value) })
            else { continue }
            factors.append(Rating.Factor(name: multiplier.attribute.text, value: value.factor))
        }
        return factors
    }

    private static func tooLarge(_ call: Call) -> Rejection {
        Rejection(
            code: "amount_out_of_range", field: "data.usage",
            detail: "the charge for \(call.model) is more than \(Money(nanos: .max).credits) credits")
    }
}

extension Call {
    /// Whether it says that something was used: some count over zero.
    public var hasUsage: Bool {
        guard let usage else { return false }
        return usage.inputTokens ?? 0 > 0 || usage.outputTokens ?? 0 > 0 || usage.images ?? 0 > 0
            || usage.characters ?? 0 > 0 || usage.searches ?? 0 > 0 || usage.requests ?? 0 > 0
            || usage.audioSeconds?.mantissa ?? 0 > 0
    }
}
