/// What a gateway asks before it spends (contract 5).
public struct AuthorizationRequest: Hashable, Sendable {
    /// Names what is asked for, among those of one owner.
    public var id: Name
    public var org: Name?
    public var user: Name?
    public var provider: Name
    public var model: Name
    public var operation: Call.Operation
    public var keySource: Call.KeySource
    /// What the call may use at most: rated as a call would be. Ignored when `credits` are given.
    public var inputTokens: Int64?
    public var maxOutputTokens: Int64?
    /// What is to be held, when the gateway knows better. Not negative.
    public var credits: Money?
    /// Those that prices may look at; in byte order of their names.
    public var attributes: [Attribute]

    public init(
        id: Name, org: Name? = nil, user: Name? = nil, provider: Name, model: Name,
        operation: Call.Operation = .chat, keySource: Call.KeySource = .platform, inputTokens: Int64? = nil,
        maxOutputTokens: Int64? = nil, credits: Money? = nil, attributes: [Attribute] = []
    ) {
        self.id = id
        self.org = org
        self.user = user
        self.provider = provider
        self.model = model
        self.operation = operation
        self.keySource = keySource
        self.inputTokens = inputTokens
        self.maxOutputTokens = maxOutputTokens
        self.credits = credits
        self.attributes = attributes
    }

    /// The call that may come of it.
    var call: Call {
        Call(
            org: org, user: user, provider: provider, model: model, operation: operation, keySource: keySource,
            status: .success, usage: Usage(inputTokens: inputTokens, outputTokens: maxOutputTokens),
            attributes: attributes)
    }
}

/// Where one call limit of one owner's plan stands, running holds included.
public struct CallsStanding: Hashable, Sendable {
    /// Whose plan it is of.
    public var owner: Owner
    /// `used` are recorded calls; `remaining` is what those and the running ones leave.
    public var status: Quota.Status
    /// Holds that will count when they settle.
    public var running: Int64

    public init(owner: Owner, status: Quota.Status, running: Int64) {
        self.owner = owner
        self.status = status
        self.running = running
    }
}

/// What was decided, and the numbers that were seen.
public struct AuthorizationDecision: Hashable, Sendable {
    /// Nil: allowed.
    public var refusal: Refusal?
    /// What is, or would have been, held.
    public var requested: Money
    /// The most that could have been held: credits of whoever pays, and what the plan's overage policy adds up to a
    /// limit. A policy without a limit adds nothing here and refuses nothing.
    public var available: Money
    /// Every limit of the org's and the user's plan.
    public var calls: [CallsStanding]
    /// Of a refusal that time alone may lift: when the limits that refuse, or the user's allocation, start afresh.
    public var retryAt: Timestamp?

    /// The limit that a client has to heed first. Of those that refuse: the one that does so longest; else the hard one
    /// with the fewest calls left; a soft one only where there is no hard one. Nil without limits.
    public var tightest: CallsStanding? {
        let refusing = calls.filter { !$0.status.allowsOneMore }
        if !refusing.isEmpty {
            return refusing.max { $0.status.resetsAt ?? .never < $1.status.resetsAt ?? .never }
        }
        let hard = calls.filter { $0.status.limit.enforce == .hard }
        return (hard.isEmpty ? calls : hard).min { $0.status.remaining < $1.status.remaining }
    }

    public init(refusal: Refusal?, requested: Money, available: Money, calls: [CallsStanding]) {
        self.refusal = refusal
        self.requested = requested
        self.available = available
        self.calls = calls
    }

    /// The event to write: a grant that ends at `expiresAt`, or a denial.
    public func fact(for request: AuthorizationRequest, expiresAt: Timestamp) -> Fact {
        let asked = AuthorizationSubject(request)
        if let refusal { return .authorizationDenied(Denial(subject: asked, refusal: refusal)) }
        return .authorizationGranted(Authorization(subject: asked, held: requested, expiresAt: expiresAt))
    }
}

/// The rule that refused, and what it saw.
public struct Refusal: Hashable, Sendable {
    /// The raw values are stored.
    public enum Rule: UInt8, CaseIterable, Sendable {
        case credits = 0
        case allocation = 1
        case calls = 2

        /// What the client gets as `code`.
        public var name: String {
            switch self {
            case .credits: "credits_exhausted"
            case .allocation: "allocation_exhausted"
            case .calls: "calls_exhausted"
            }
        }
    }
    /// Of a call limit.
    public struct Calls: Hashable, Sendable {
        public var per: Plan.CallLimit.Per
        public var limit: Int64
        public var used: Int64
        public var running: Int64
        public var resetsAt: Timestamp?

        public init(per: Plan.CallLimit.Per, limit: Int64, used: Int64, running: Int64, resetsAt: Timestamp?) {
            self.per = per
            self.limit = limit
            self.used = used
            self.running = running
            self.resetsAt = resetsAt
        }
    }

    public var rule: Rule
    /// Whose credits, allocation or plan.
    public var owner: Owner
    public var requested: Money
    public var available: Money
    /// Of the rule `calls`, and only of it.
    public var calls: Calls?

    public init(rule: Rule, owner: Owner, requested: Money, available: Money, calls: Calls? = nil) {
        self.rule = rule
        self.owner = owner
        self.requested = requested
        self.available = available
        self.calls = calls
    }
}

/// Who asked for what, as the events of an authorization say it.
public struct AuthorizationSubject: Hashable, Sendable {
    public var id: Name
    public var org: Name?
    public var user: Name?
    public var provider: Name
    public var model: Name
    public var operation: Call.Operation
    public var keySource: Call.KeySource

    public init(
        id: Name, org: Name?, user: Name?, provider: Name, model: Name, operation: Call.Operation,
        keySource: Call.KeySource
    ) {
        self.id = id
        self.org = org
        self.user = user
        self.provider = provider
        self.model = model
        self.operation = operation
        self.keySource = keySource
    }

    public init(_ request: AuthorizationRequest) {
        self.init(
            id: request.id, org: request.org, user: request.user, provider: request.provider, model: request.model,
            operation: request.operation, keySource: request.keySource)
    }
}

/// `authorization.granted`: credits are set aside until the call comes, or `expiresAt`.
public struct Authorization: Hashable, Sendable {
    public var subject: AuthorizationSubject
    public var held: Money
    public var expiresAt: Timestamp

    public init(subject: AuthorizationSubject, held: Money, expiresAt: Timestamp) {
        self.subject = subject
        self.held = held
        self.expiresAt = expiresAt
    }
}

/// `authorization.denied`.
public struct Denial: Hashable, Sendable {
    public var subject: AuthorizationSubject
    public var refusal: Refusal

    public init(subject: AuthorizationSubject, refusal: Refusal) {
        self.subject = subject
        self.refusal = refusal
    }
}

/// `authorization.released` and `.expired`: what was held is free again.
public struct AuthorizationEnded: Hashable, Sendable {
    public var id: Name
    public var org: Name?
    public var user: Name?
    /// What was held.
    public var credits: Money

    public init(id: Name, org: Name?, user: Name?, credits: Money) {
        self.id = id
        self.org = org
        self.user = user
        self.credits = credits
    }
}

/// Whose authorization: ids of different owners are different authorizations.
public struct HoldKey: Hashable, Sendable, Comparable {
    /// The org, or the user where there is none.
    public var owner: Owner
    public var id: Name

    public init(owner: Owner, id: Name) {
        self.owner = owner
        self.id = id
    }

    /// Nil when there is neither.
    public init?(org: Name?, user: Name?, id: Name) {
        guard let owner = org.map(Owner.org) ?? user.map(Owner.user) else { return nil }
        self.init(owner: owner, id: id)
    }

    public static func < (left: HoldKey, right: HoldKey) -> Bool {
        left.owner == right.owner ? left.id < right.id : left.owner < right.owner
    }
}

/// A running hold.
public struct Hold: Hashable, Sendable {
    public var key: HoldKey
    public var org: Name?
    public var user: Name?
    /// Whose provider key the call will use: whether it will count is the plan's to say.
    public var keySource: Call.KeySource
    /// Part on the account that pays first: the org's pool, or the user's wallet where that pays alone.
    public var first: Money
    /// Part on the user's wallet behind an org's pool.
    public var wallet: Money
    /// Whether `first` counts against the user's allocation.
    public var isAllocated: Bool
    /// Whether the user's wallet pays alone.
    public var isWalletAlone: Bool
    public var expiresAt: Timestamp
    /// Of the granting record.
    public var position: UInt64

    public init(
        key: HoldKey, org: Name?, user: Name?, keySource: Call.KeySource, first: Money, wallet: Money,
        isAllocated: Bool, isWalletAlone: Bool, expiresAt: Timestamp, position: UInt64
    ) {
        self.key = key
        self.org = org
        self.user = user
        self.keySource = keySource
        self.first = first
        self.wallet = wallet
        self.isAllocated = isAllocated
        self.isWalletAlone = isWalletAlone
        self.expiresAt = expiresAt
        self.position = position
    }

    public var amount: Money { first + wallet }

    /// Whose account `first` is on.
    public var payer: Owner? { isWalletAlone ? user.map(Owner.user) : org.map(Owner.org) }
}

/// What a call that names an authorization did to it.
public struct Settlement: Hashable, Sendable {
    /// The raw values are stored in read models.
    public enum Kind: UInt8, CaseIterable, Sendable {
        /// Charged no more than was held; the rest is free again.
        case covered = 0
        /// Charged more than was held: all of it is charged, and this says so.
        case exceeded = 1
        /// Nothing runs under that id: released, expired, settled before, or never granted. Charged all the same.
        case late = 2
        public var name: String { String(describing: self) }
    }
    public var authorization: Name
    public var kind: Kind
    public var held: Money

    public init(authorization: Name, kind: Kind, held: Money) {
        self.authorization = authorization
        self.kind = kind
        self.held = held
    }
}
