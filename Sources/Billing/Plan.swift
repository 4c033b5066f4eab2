/// A plan that owners can be assigned to.
public struct Plan: Hashable, Sendable {
    public struct CallLimit: Hashable, Sendable {
        public enum Per: UInt8, CaseIterable, Sendable {
            case day, month, ever
            public var name: String { String(describing: self) }
        }
        public enum Enforce: UInt8, CaseIterable, Sendable {
            case hard, soft
            public var name: String { String(describing: self) }
        }
        /// 0...10^12.
        public var limit: Int64
        public var per: Per
        public var enforce: Enforce

        public init(limit: Int64, per: Per, enforce: Enforce) {
            self.limit = limit
            self.per = per
            self.enforce = enforce
        }
    }
    public enum Interval: UInt8, CaseIterable, Sendable {
        case day, week, month, year
        public var name: String { String(describing: self) }
    }
    public enum OveragePolicy: UInt8, CaseIterable, Sendable {
        case block, allow, invoice
        public var name: String { String(describing: self) }
    }

    public static let callLimitsMax = 8

    public var name: Name
    /// Empty: unlimited.
    public var calls: [CallLimit]
    /// 0.6 = +60 %. From -1 to 1000, at most 6 decimals.
    public var markup: Decimal
    public var price: Money?
    public var interval: Interval?
    public var byokCountsCalls: Bool
    public var overage: OveragePolicy
    public var overageLimit: Money?
    public var lagoPlanCode: Name?

    /// What becomes of overage for an owner with this assignment: an invoice needs a subscription to be sent to, and
    /// without one the overage stays his debt, as if it were allowed.
    func overage(under assignment: Assignment) -> OveragePolicy {
        overage == .invoice && assignment.lago == nil ? .allow : overage
    }

    public init(
        name: Name, calls: [CallLimit], markup: Decimal, price: Money? = nil, interval: Interval? = nil,
        byokCountsCalls: Bool = true, overage: OveragePolicy = .block, overageLimit: Money? = nil,
        lagoPlanCode: Name? = nil
    ) {
        self.name = name
        self.calls = calls
        self.markup = markup
        self.price = price
        self.interval = interval
        self.byokCountsCalls = byokCountsCalls
        self.overage = overage
        self.overageLimit = overageLimit
        self.lagoPlanCode = lagoPlanCode
    }
}

/// An owner gets a plan, from a time on.
public struct Assignment: Hashable, Sendable {
    public enum Funding: UInt8, CaseIterable, Sendable {
        case org, user, orgThenUser
        public var name: String {
            switch self {
            case .org: "org"
            case .user: "user"
            case .orgThenUser: "org_then_user"
            }
        }
    }
    public struct Lago: Hashable, Sendable {
        public var externalCustomerID: Name
        public var externalSubscriptionID: Name

        public init(externalCustomerID: Name, externalSubscriptionID: Name) {
            self.externalCustomerID = externalCustomerID
            self.externalSubscriptionID = externalSubscriptionID
        }
    }

    public var owner: Owner
    public var plan: Name
    /// Nil: the event's own time.
    public var effectiveAt: Timestamp?
    /// 1...28: month windows start there.
    public var anchorDay: Int
    public var funding: Funding
    public var lago: Lago?

    public init(
        owner: Owner, plan: Name, effectiveAt: Timestamp? = nil, anchorDay: Int = 1, funding: Funding = .org,
        lago: Lago? = nil
    ) {
        self.owner = owner
        self.plan = plan
        self.effectiveAt = effectiveAt
        self.anchorDay = anchorDay
        self.funding = funding
        self.lago = lago
    }
}
