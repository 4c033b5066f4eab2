/// What `GET /v1/orgs/{org}/calls` says (contract 4).
public struct CallsAnswer: Hashable, Sendable {
    public struct StatusCount: Hashable, Sendable {
        public var status: Call.Status
        public var count: Int64

        public init(status: Call.Status, count: Int64) {
            self.status = status
            self.count = count
        }
    }
    public struct KeySourceCount: Hashable, Sendable {
        public var keySource: Call.KeySource
        public var count: Int64

        public init(keySource: Call.KeySource, count: Int64) {
            self.keySource = keySource
            self.count = count
        }
    }

    public var owner: Owner
    /// False: no plan and no call of this owner was ever seen.
    public var isKnown: Bool
    /// The plan at the end of the period, or now if that is earlier.
    public var plan: Name?
    /// The days counted, `[start, end)`.
    public var period: Range<Day>
    /// Calls in the period that use quota; on the owner's own provider keys only where the plan counts those.
    public var used: Int64
    /// In the order of the plan, each over its own window. In a period that is over: the window at its end.
    public var limits: [Quota.Status] = []
    /// All calls in the period, every status listed.
    public var byStatus: [StatusCount] = []
    /// Calls in the period that use quota, every key source listed.
    public var byKeySource: [KeySourceCount] = []

    public init(owner: Owner, isKnown: Bool, plan: Name?, period: Range<Day>, used: Int64 = 0) {
        self.owner = owner
        self.isKnown = isKnown
        self.plan = plan
        self.period = period
        self.used = used
    }
}

/// What `GET /v1/tokens` says (contract 4).
public struct TokensAnswer: Hashable, Sendable {
    /// A column to group by.
    public enum Dimension: String, CaseIterable, Sendable {
        case day, org, model, provider, user, service
        case keySource = "key_source"

        /// "key_source": nil when there is no such dimension. Compared by bytes.
        public init?(_ text: some StringProtocol) {
            guard let found = Dimension.allCases.first(where: { $0.rawValue.utf8.elementsEqual(text.utf8) }) else {
                return nil
            }
            self = found
        }
    }

    public struct Totals: Hashable, Sendable {
        /// That use quota.
        public var calls: Int64 = 0
        public var inputTokens: Int128 = 0
        public var outputTokens: Int128 = 0
        public var cacheReadTokens: Int128 = 0
        public var cacheWriteTokens: Int128 = 0
        public var reasoningTokens: Int128 = 0
        public var images: Int128 = 0
        /// Seconds x 10^6.
        public var audioMicroseconds: Int128 = 0
        /// What owners were charged.
        public var charge = MoneySum.zero
        /// What the gateways said it cost, each call rounded to 1 n$.
        public var cost = MoneySum.zero
        /// Calls and usage that no price applied to.
        public var unpricedCalls: Int64 = 0

        public init() {}

        public static func += (sum: inout Totals, other: Totals) {
            sum.calls += other.calls
            sum.inputTokens += other.inputTokens
            sum.outputTokens += other.outputTokens
            sum.cacheReadTokens += other.cacheReadTokens
            sum.cacheWriteTokens += other.cacheWriteTokens
            sum.reasoningTokens += other.reasoningTokens
            sum.images += other.images
            sum.audioMicroseconds += other.audioMicroseconds
            sum.charge += other.charge
            sum.cost += other.cost
            sum.unpricedCalls += other.unpricedCalls
        }
    }

    /// Columns that are not grouped by are nil; so is a name that calls did not state.
    public struct Row: Hashable, Sendable {
        public var day: Day?
        public var org: Name?
        public var model: Name?
        public var provider: Name?
        public var user: Name?
        public var service: Name?
        public var keySource: Call.KeySource?
        public var totals = Totals()

        public init() {}
    }

    public var groups: [Dimension]
    /// In order of the groups' columns; none when nothing was grouped.
    public var rows: [Row]
    public var totals: Totals

    public init(groups: [Dimension], rows: [Row], totals: Totals) {
        self.groups = groups
        self.rows = rows
        self.totals = totals
    }
}
