/// A list of prices, in force from a time on, replacing the one before it.
public struct PriceList: Hashable, Sendable {
    public enum Unit: UInt8, CaseIterable, Sendable {
        case credits, usd
        public var name: String { String(describing: self) }
    }
    /// Factors by the value of an attribute (power_level: eco 0.1, balanced 0.25); a value not listed counts 1.
    public struct Multiplier: Hashable, Sendable {
        public struct Value: Hashable, Sendable {
            public var value: String
            public var factor: Decimal

            public init(value: String, factor: Decimal) {
                self.value = value
                self.factor = factor
            }
        }
        public var attribute: Name
        /// In byte order of `value`, which is unique.
        public var values: [Value]

        public init(attribute: Name, values: [Value]) {
            self.attribute = attribute
            self.values = values
        }
    }

    public static let rulesMax = 20_000
    public static let multipliersMax = 8
    public static let multiplierValuesMax = 256

    /// Nil: the event's own time.
    public var effectiveAt: Timestamp?
    public var unit: Unit
    /// First match wins.
    public var rules: [PriceRule]
    public var multipliers: [Multiplier]
    /// What a cache hit costs of the price; nil: nothing.
    public var cacheHit: Decimal?

    public init(
        effectiveAt: Timestamp? = nil, unit: Unit, rules: [PriceRule], multipliers: [Multiplier] = [],
        cacheHit: Decimal? = nil
    ) {
        self.effectiveAt = effectiveAt
        self.unit = unit
        self.rules = rules
        self.multipliers = multipliers
        self.cacheHit = cacheHit
    }
}

/// One rule of a price list: what it matches, and what that costs.
public struct PriceRule: Hashable, Sendable {
    /// Exact, nil: any.
    public var provider: Name?
    /// `*` stands for any run of bytes; nil: any.
    public var model: Name?
    public var operation: Call.Operation?
    /// Matches only calls that state more input tokens than this, the inclusive total; nil: any, also calls that state
    /// none. 0...10^12.
    public var aboveInputTokens: Int64?
    /// Token prices are per this many tokens: 1,000 or 1,000,000.
    public var per: Int64
    /// Every factor and price: not negative, at most 12 decimals and below 10^6.
    public var anyToken: Decimal?
    public var input: Decimal?
    public var output: Decimal?
    public var cacheRead: Decimal?
    public var cacheWrite: Decimal?
    public var reasoning: Decimal?
    public var perCall: Decimal?
    public var perImage: Decimal?
    public var perAudioSecond: Decimal?
    public var perSearch: Decimal?
    /// Factor on the cost that the gateway reported. Excludes every other price.
    public var reportedCost: Decimal?

    public init(
        provider: Name? = nil, model: Name? = nil, operation: Call.Operation? = nil, aboveInputTokens: Int64? = nil,
        per: Int64 = 1000, anyToken: Decimal? = nil, input: Decimal? = nil, output: Decimal? = nil,
        cacheRead: Decimal? = nil, cacheWrite: Decimal? = nil, reasoning: Decimal? = nil, perCall: Decimal? = nil,
        perImage: Decimal? = nil, perAudioSecond: Decimal? = nil, perSearch: Decimal? = nil,
        reportedCost: Decimal? = nil
    ) {
        self.provider = provider
        self.model = model
        self.operation = operation
        self.aboveInputTokens = aboveInputTokens
        self.per = per
        self.anyToken = anyToken
        self.input = input
        self.output = output
        self.cacheRead = cacheRead
        self.cacheWrite = cacheWrite
        self.reasoning = reasoning
        self.perCall = perCall
        self.perImage = perImage
        self.perAudioSecond = perAudioSecond
        self.perSearch = perSearch
        self.reportedCost = reportedCost
    }
}
