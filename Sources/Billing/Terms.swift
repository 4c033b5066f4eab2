/// What a catalog says of the calls of one shape and band of prices, at any time from `from` on and before `until`: all
/// that rating and charging ask of it.
final class Terms: Sendable {
    let from: Timestamp
    let until: Timestamp
    /// Of the catalog that says so.
    let revision: UInt64
    /// Whose plan governs the calls, and the plan.
    let assigned: Catalog.Assigned?
    let definition: Catalog.Definition?
    /// The list in force; its rule, and the factors that the attributes pick.
    let prices: PriceIndex?
    let band: Int32
    let rule: Int?
    let priceRule: BoxedRule?
    let factors: [Rating.Factor]

    // What follows from these, ready for every call.
    let hasBands: Bool
    let unit: PriceList.Unit
    let markup: Decimal
    /// 1 + `markup`.
    let markupFactor: Decimal
    /// What becomes of overage; nil without a plan.
    let overage: Plan.OveragePolicy?
    /// Who pays.
    let funding: Assignment.Funding
    /// Where usage goes; nil for nowhere.
    let subscription: Name?

    init(
        span: Span, revision: UInt64, assigned: Catalog.Assigned?, definition: Catalog.Definition?,
        prices: PriceIndex?, band: Int32, rule: Int?, priceRule: BoxedRule?, factors: [Rating.Factor]
    ) {
        from = span.from
        until = span.until
        self.revision = revision
        self.assigned = assigned
        self.definition = definition
        self.prices = prices
        self.band = band
        self.rule = rule
        self.priceRule = priceRule
        self.factors = factors
        hasBands = prices?.hasBands ?? false
        unit = prices?.list.unit ?? .usd
        markup = definition?.plan.markup ?? .zero
        markupFactor = Terms.one(plus: markup)
        overage = definition.flatMap { definition in
            assigned.map { definition.plan.overage(under: $0.assignment) }
        }
        funding = assigned?.assignment.funding ?? .org
        subscription = assigned?.assignment.lago?.externalSubscriptionID
    }

    /// Whether they are what this revision of the catalog says at `time`, prices apart.
    func hold(at time: Timestamp, revision: UInt64) -> Bool {
        self.revision == revision && from <= time && time < until
    }

    /// The same, prices included: these may depend on how much was used.
    func hold(for call: Call, at time: Timestamp, revision: UInt64) -> Bool {
        hold(at: time, revision: revision) && (!hasBands || prices?.band(of: call) == band)
    }

    /// 1 + `markup`; a markup of -1 makes everything free, and there is none below it.
    private static func one(plus markup: Decimal) -> Decimal {
        var unit: Int64 = 1
        for _ in 0..<markup.scale { unit *= 10 }
        let sum = unit + markup.mantissa
        precondition(sum >= 0, "markup \(markup.text) is below -1")
        return Decimal(mantissa: sum, scale: markup.scale)
    }

    /// Times `[from, until)` over which nothing that was looked up changes.
    struct Span {
        var from = Timestamp(microseconds: .min)
        var until = Timestamp(microseconds: .max)

        /// The item of `items`, in order of time, that is in force at `time`: the last one not after it, of those
        /// published before position `end`. Where some are not, the span may be narrower than it need be.
        mutating func inForce<Item>(
            _ items: [Item], at time: Timestamp, before end: UInt64,
            by key: (Item) -> (start: Timestamp, position: UInt64)
        ) -> Item? {
            let found = items.lastIndex { item in
                let (start, position) = key(item)
                return start <= time && position < end
            }
            let next = found.map { $0 + 1 } ?? 0
            if next < items.count { until = min(until, key(items[next]).start) }
            guard next > 0 else { return nil }
            from = max(from, key(items[next - 1]).start)
            return items[next - 1]
        }
    }
}

/// A rule that is handed around without copying it, and what follows from it for every call.
final class BoxedRule: Sendable {
    let rule: PriceRule
    /// Some token has a price that is not 0; or images, seconds or searches have.
    let pricesTokens: Bool
    let pricesUsage: Bool

    init(_ rule: PriceRule) {
        self.rule = rule
        let tokenPrices = [
            rule.anyToken, rule.input, rule.output, rule.cacheRead, rule.cacheWrite, rule.reasoning,
        ]
        pricesTokens = tokenPrices.contains { isPrice($0) }
        pricesUsage =
            pricesTokens || isPrice(rule.perImage) || isPrice(rule.perAudioSecond) || isPrice(rule.perSearch)
    }

    /// Whether `usage` says anything of what this rule prices. Only what is not said is unknown; a 0 that is said is 0.
    func canPrice(_ usage: Usage) -> Bool {
        (pricesTokens && (usage.inputTokens != nil || usage.outputTokens != nil))
            || (isPrice(rule.perImage) && usage.images != nil)
            || (isPrice(rule.perAudioSecond) && usage.audioSeconds != nil)
            || (isPrice(rule.perSearch) && usage.searches != nil)
    }
}

private func isPrice(_ price: Decimal?) -> Bool { (price?.mantissa ?? 0) != 0 }
