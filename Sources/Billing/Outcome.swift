/// What a call costs before anyone pays: a pure function of the call, its time and the catalog.
public struct Rating: Hashable, Sendable {
    /// Why no price applied; the charge is then 0 and the call is reported as unpriced.
    public enum Unpriced: UInt8, CaseIterable, Sendable {
        /// No list was in force at the call's time.
        case noList = 1
        /// No rule of the list matches.
        case noRule = 2
        /// The rule takes the reported cost, and none was reported.
        case noCost = 3
        /// The rule prices what was used, and the call does not say what was used.
        case noUsage = 4

        /// "no_list"
        public var name: String {
            switch self {
            case .noList: "no_list"
            case .noRule: "no_rule"
            case .noCost: "no_cost"
            case .noUsage: "no_usage"
            }
        }
    }

    /// What the owner is charged.
    public var charge: Money
    /// What it would have been on the platform's key: equals `charge` unless byok, a failure or a cache hit made it
    /// less.
    public var notional: Money
    public var unpriced: Unpriced?
    /// The position of the `prices.published` record, and the index of its rule.
    public var list: UInt64?
    public var rule: Int?
    /// Factors applied, in order, for the explanation.
    public var multipliers: [Factor]
    public var markup: Decimal

    public struct Factor: Hashable, Sendable {
        public var name: String
        public var value: Decimal

        public init(name: String, value: Decimal) {
            self.name = name
            self.value = value
        }
    }

    public init(
        charge: Money, notional: Money, unpriced: Unpriced? = nil, list: UInt64? = nil, rule: Int? = nil,
        multipliers: [Factor] = [], markup: Decimal = .zero
    ) {
        self.charge = charge
        self.notional = notional
        self.unpriced = unpriced
        self.list = list
        self.rule = rule
        self.multipliers = multipliers
        self.markup = markup
    }
}

/// Part of a movement that one lot paid or received. Positive: taken out of the lot.
public struct Slice: Hashable, Sendable {
    public var lot: Name
    public var amount: Money

    public init(lot: Name, amount: Money) {
        self.lot = lot
        self.amount = amount
    }
}

/// One change of one owner's balance: a line of his statement.
public struct Movement: Hashable, Sendable {
    public enum Kind: UInt8, CaseIterable, Sendable {
        case charge, grant, adjustment, expiry, lotVoid, refund
        public var name: String {
            switch self {
            case .lotVoid: "void"
            default: String(describing: self)
            }
        }
    }
    public var kind: Kind
    public var owner: Owner
    /// The user who caused a charge to an org's pool, when known.
    public var user: Name?
    /// Signed: a charge is negative.
    public var amount: Money
    public var balanceAfter: Money
    public var slices: [Slice]
    /// Part of a charge that no lot covered.
    public var overage: Money
    /// Part of `overage` that the plan's policy turns into an invoice line.
    public var invoiced: Money

    public init(
        kind: Kind, owner: Owner, user: Name? = nil, amount: Money, balanceAfter: Money, slices: [Slice] = [],
        overage: Money = .zero, invoiced: Money = .zero
    ) {
        self.kind = kind
        self.owner = owner
        self.user = user
        self.amount = amount
        self.balanceAfter = balanceAfter
        self.slices = slices
        self.overage = overage
        self.invoiced = invoiced
    }
}

/// All that one fact did to the book.
public struct Outcome: Hashable, Sendable {
    /// For calls and usage.
    public var rating: Rating?
    /// None for facts that move no money. A charge of 0 makes no movement.
    public var movements: [Movement]
    /// What a charge among them counts against the user's allocation.
    public var drawn: Money
    /// Where the usage of what was rated goes: the Lago subscription of the plan that governs it, if that has one.
    public var subscription: Name?
    /// For a call that names an authorization.
    public var settlement: Settlement?

    public init(
        rating: Rating? = nil, movements: [Movement] = [], drawn: Money = .zero, subscription: Name? = nil,
        settlement: Settlement? = nil
    ) {
        self.rating = rating
        self.movements = movements
        self.drawn = drawn
        self.subscription = subscription
        self.settlement = settlement
    }

    /// What it charged, for a correction that may come; nil when nothing.
    public var charge: ChargeRecord? {
        guard rating != nil else { return nil }
        var record = ChargeRecord(drawn: drawn)
        for movement in movements where movement.kind == .charge {
            record.parts.append(
                ChargeRecord.Part(
                    owner: movement.owner, slices: movement.slices, overage: movement.overage,
                    invoiced: movement.invoiced))
        }
        return record.parts.isEmpty ? nil : record
    }
}

/// Why admission refuses an event that is well formed. `code` goes to the client as it is.
public struct Rejection: Error, Hashable, Sendable {
    public var code: String
    /// Dotted path of the member at fault: "data.plan".
    public var field: String
    public var detail: String
    /// Owner of what stands in the way, where names are shared by all: who may know nothing of him is not told.
    public var holder: Owner?

    public init(code: String, field: String, detail: String, holder: Owner? = nil) {
        self.code = code
        self.field = field
        self.detail = detail
        self.holder = holder
    }
}
