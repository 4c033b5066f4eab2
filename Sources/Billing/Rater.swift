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

    /// The exact credits before the rounding, every digit; nil when no price applied. For an explanation.
    public func product(of call: Call, at time: Timestamp, countsCall: Bool = true) -> String? {
        let terms = terms(for: call, at: time)
        guard let index = terms.prices, let rule = terms.priceRule,
            case .priced(var product, let digits) = Catalog.price(
                call, by: rule, unit: index.list.unit, countsCall: countsCall)
        else { return nil }
        for factor in terms.factors { product.multiply(by: factor.value) }
        if call.cacheHit { product.multiply(by: index.list.cacheHit ?? .zero) }
        product.multiply(by: Catalog.one(plus: terms.markup))
        return product.text(digits: digits - Catalog.creditDigits)
    }

    /// 1 credit = 10^6 n$, 1 dollar = 10^9 n$.
    private static let creditDigits = 6
    private static let dollarDigits = 9

    private enum Priced {
        /// In a unit that is 10^`digits` n$.
        case priced(Exact, digits: Int)
        case unpriced(Rating.Unpriced)
        case negativeCost
    }

    static func rate(_ call: Call, by terms: Terms, countsCall: Bool) throws(Rejection) -> Rating {
        let isFree = call.keySource == .byok || (call.status == .failure && !call.hasUsage)
        let markup = terms.markup
        var rating = Rating(
            charge: .zero, notional: .zero, list: terms.prices?.position, rule: terms.rule, markup: markup)
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
        switch price(call, by: rule, unit: index.list.unit, countsCall: countsCall) {
        case .priced(let exact, let unitDigits):
            (product, digits) = (exact, unitDigits)
        case .unpriced(let reason):
            rating.unpriced = isFree ? nil : reason
            return rating
        case .negativeCost:
            throw Rejection(
                code: "amount_out_of_range", field: "data.cost_usd", detail: "the reported cost is negative")
        }
        rating.multipliers = terms.factors
        for factor in rating.multipliers { product.multiply(by: factor.value) }
        product.multiply(by: one(plus: markup))
        guard let notional = product.rounded(digits: digits) else { throw tooLarge(call) }
        rating.notional = Money(nanos: notional)
        if call.cacheHit {
            let factor = index.list.cacheHit ?? .zero
            rating.multipliers.append(Rating.Factor(name: "cache_hit", value: factor))
            product.multiply(by: factor)
        }
        if isFree { return rating }
        guard let charge = call.cacheHit ? product.rounded(digits: digits) : notional else { throw tooLarge(call) }
        rating.charge = Money(nanos: charge)
        return rating
    }

    /// What the rule says the call's usage is worth, before multipliers and markup.
    private static func price(
        _ call: Call, by priced: BoxedRule, unit: PriceList.Unit, countsCall: Bool
    ) -> Priced {
        if let factor = priced.rule.reportedCost {
            guard let cost = call.cost else { return .unpriced(.noCost) }
            guard cost.mantissa >= 0 else { return .negativeCost }
            var product = Exact(cost)
            product.multiply(by: factor)
            return .priced(product, digits: dollarDigits)
        }
        var sum = Exact.zero
        if priced.pricesUsage {
            guard let usage = call.usage, priced.canPrice(usage) else { return .unpriced(.noUsage) }
            addTokens(of: usage, by: priced, to: &sum)
            add(usage.images, at: priced.rule.perImage, to: &sum)
            add(usage.searches, at: priced.rule.perSearch, to: &sum)
            if let seconds = usage.audioSeconds, let price = priced.rule.perAudioSecond {
                var product = Exact(seconds)
                product.multiply(by: price)
                sum.add(product)
            }
        }
        if countsCall { add(1, at: priced.rule.perCall, to: &sum) }
        return .priced(sum, digits: unit == .credits ? creditDigits : dollarDigits)
    }

    /// Totals are inclusive; prices are for disjoint kinds, a kind without its own taking that of its total.
    private static func addTokens(of usage: Usage, by priced: BoxedRule, to sum: inout Exact) {
        let digits = priced.rule.per == 1_000_000 ? 6 : 3
        precondition(priced.rule.per == 1000 || priced.rule.per == 1_000_000, "a price per \(priced.rule.per) tokens")
        let inputPrice = priced.rule.input ?? priced.rule.anyToken
        let outputPrice = priced.rule.output ?? priced.rule.anyToken
        let cacheRead = usage.cacheReadTokens ?? 0
        let cacheWrite = usage.cacheWriteTokens ?? 0
        let reasoning = usage.reasoningTokens ?? 0
        var tokens = Exact.zero
        add((usage.inputTokens ?? 0) - cacheRead - cacheWrite, at: inputPrice, to: &tokens)
        add(cacheRead, at: priced.rule.cacheRead ?? inputPrice, to: &tokens)
        add(cacheWrite, at: priced.rule.cacheWrite ?? inputPrice, to: &tokens)
        add((usage.outputTokens ?? 0) - reasoning, at: outputPrice, to: &tokens)
        add(reasoning, at: priced.rule.reasoning ?? outputPrice, to: &tokens)
        if tokens.isZero { return }
        tokens.shift(right: digits)
        sum.add(tokens)
    }

    private static func add(_ count: Int64?, at price: Decimal?, to sum: inout Exact) {
        guard let count, let price, count != 0, price.mantissa != 0 else { return }
        precondition(count > 0, "count \(count) in a rating: subsets larger than totals are refused with the shape")
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

    /// 1 + `markup`; a markup of -1 makes everything free, and there is none below it.
    private static func one(plus markup: Decimal) -> Decimal {
        var unit: Int64 = 1
        for _ in 0..<markup.scale { unit *= 10 }
        let sum = unit + markup.mantissa
        precondition(sum >= 0, "markup \(markup.text) is below -1")
        return Decimal(mantissa: sum, scale: markup.scale)
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
