/// Credits granted together, and what became of them.
public struct Lot: Hashable, Sendable {
    /// The raw values are stored, and are the burn order among lots that are otherwise alike: what was given burns
    /// before what was paid for.
    public enum Category: UInt8, CaseIterable, Sendable {
        case promo = 0
        case plan = 1
        case refund = 2
        /// A positive `credits.adjusted`.
        case adjustment = 3
        case paid = 4
        public var name: String { String(describing: self) }

        public init(_ category: Grant.Category) {
            switch category {
            case .promo: self = .promo
            case .plan: self = .plan
            case .refund: self = .refund
            case .paid: self = .paid
            }
        }
    }

    /// Beginning of the ids of lots that the daemon itself makes.
    public static let prefixOfOwn = "tallystick/"

    /// The id of the event that granted it. Unique over all owners.
    public let id: Name
    public let owner: Owner
    public let category: Category
    /// 0 burns first.
    public let priority: UInt8
    /// The lot takes part in what happens in `[effectiveAt, expiresAt)`.
    public let effectiveAt: Timestamp
    public let expiresAt: Timestamp?
    /// Position of the granting record.
    public let position: UInt64
    /// granted = left + spent + expired + voided, after every event (I6). A hold leaves its credits in `left`.
    public let granted: Money
    public internal(set) var left: Money
    public internal(set) var spent: Money
    public internal(set) var expired: Money
    public internal(set) var voided: Money

    public init(
        id: Name, owner: Owner, category: Category, priority: UInt8, effectiveAt: Timestamp, expiresAt: Timestamp?,
        position: UInt64, granted: Money, left: Money? = nil, spent: Money = .zero, expired: Money = .zero,
        voided: Money = .zero
    ) {
        self.id = id
        self.owner = owner
        self.category = category
        self.priority = priority
        self.effectiveAt = effectiveAt
        self.expiresAt = expiresAt
        self.position = position
        self.granted = granted
        self.left = left ?? granted
        self.spent = spent
        self.expired = expired
        self.voided = voided
    }

    /// Whether a charge of `time` may draw on it, credits aside.
    public func takesPart(at time: Timestamp) -> Bool {
        guard effectiveAt <= time else { return false }
        guard let expiresAt else { return true }
        return time < expiresAt
    }

    /// Whether every granted credit is accounted for.
    public var isConserved: Bool {
        guard left >= .zero, spent >= .zero, expired >= .zero, voided >= .zero else { return false }
        let parts = Int128(left.nanos) + Int128(spent.nanos) + Int128(expired.nanos) + Int128(voided.nanos)
        return parts == Int128(granted.nanos)
    }

    /// For one that is not conserved.
    var fault: String {
        "lot \(id): granted \(granted.credits) is not left \(left.credits) + spent \(spent.credits) + expired "
            + "\(expired.credits) + voided \(voided.credits)"
    }

    /// Burn order: priority, then expiry (none last), then category, then effective time, then the bytes of the id.
    public func burns(before other: Lot) -> Bool {
        if priority != other.priority { return priority < other.priority }
        let (end, otherEnd) = (expiresAt ?? .never, other.expiresAt ?? .never)
        if end != otherEnd { return end < otherEnd }
        if category != other.category { return category.rawValue < other.category.rawValue }
        if effectiveAt != other.effectiveAt { return effectiveAt < other.effectiveAt }
        return id < other.id
    }
}

extension Timestamp {
    /// After every instant there is: the end of what does not end.
    static let never = Timestamp(microseconds: .max)
}
