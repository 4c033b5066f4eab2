/// A threshold on what an owner has or uses: `alert.defined`. It fires when it is crossed, once, and may fire again
/// after it was crossed back. A later definition of the same name takes its place.
public struct Alert: Hashable, Sendable {
    /// What is watched. The spellings are the members of `data`.
    public enum Condition: Hashable, Sendable {
        /// `balance_below_credits`: the owner's balance is less. May be negative.
        case balanceBelow(Money)
        /// `calls_percent`, 1...100: calls reached this share of the tightest limit of a window of the plan.
        case callsPercent(Int64)
        /// `spend_credits` and `per`: charges within the period reached this, which is over zero.
        case spend(Money, per: Per)
        /// `days_left`, 1...`daysMax`: at the pace of the last 7 days the balance lasts less long.
        case daysLeft(Int64)
    }

    /// How often a sum starts afresh.
    public enum Per: UInt8, CaseIterable, Sendable {
        case day, week, month, ever
        public var name: String { String(describing: self) }

        /// The days `[start, end)` of the period that `day` is in, in UTC; weeks start on Monday, months on
        /// `anchorDay`. Nil for `ever`.
        public func bounds(containing day: Day, anchorDay: Int = 1) -> Range<Day>? {
            switch self {
            case .day: Period.day.bounds(containing: day)
            case .week: Period.week.bounds(containing: day)
            case .month: Period.month.bounds(containing: day, anchorDay: anchorDay)
            case .ever: nil
            }
        }

        public init(_ per: Plan.CallLimit.Per) {
            self =
                switch per {
                case .day: .day
                case .month: .month
                case .ever: .ever
                }
        }
    }

    public static let daysMax: Int64 = 3650
    /// Alerts of one owner that have not ended. Each costs something on every record of that owner.
    public static let perOwnerMax = 100

    /// One alert in the whole log has it.
    public var name: Name
    public var owner: Owner
    public var condition: Condition
    /// False: it has ended.
    public var isEnabled: Bool

    public init(name: Name, owner: Owner, condition: Condition, isEnabled: Bool = true) {
        self.name = name
        self.owner = owner
        self.condition = condition
        self.isEnabled = isEnabled
    }
}

/// What an alert's condition found.
public struct AlertReading: Hashable, Sendable {
    public var isCrossed: Bool
    /// Balance or charges in nano-dollars, calls, or whole days; nil where there is no number (a balance that nothing
    /// is spent of lasts for ever).
    public var value: Int64?
    /// The limit that calls were measured against.
    public var limit: Int64?

    public init(isCrossed: Bool, value: Int64?, limit: Int64? = nil) {
        self.isCrossed = isCrossed
        self.value = value
        self.limit = limit
    }

    /// The days whose charges make the pace: the day itself and the six before it.
    public static let paceDays: Int32 = 7

    public static func balance(_ balance: Money, below threshold: Money) -> AlertReading {
        AlertReading(isCrossed: balance < threshold, value: balance.nanos)
    }

    public static func spend(_ spent: Money, threshold: Money) -> AlertReading {
        AlertReading(isCrossed: spent >= threshold, value: spent.nanos)
    }

    /// A limit of 0 is reached with the first call, not before.
    public static func calls(_ used: Int64, of limit: Int64, percent: Int64) -> AlertReading {
        AlertReading(
            isCrossed: used > 0 && Int128(used) * 100 >= Int128(limit) * Int128(percent), value: used, limit: limit)
    }

    /// How many whole days `balance` lasts when each costs a seventh of `spent`, what the last 7 days cost.
    public static func daysLeft(_ balance: Money, spent: Money, threshold: Int64) -> AlertReading {
        guard spent > .zero else { return AlertReading(isCrossed: false, value: nil) }
        let (quotient, remainder) = (Int128(balance.nanos) * Int128(paceDays))
            .quotientAndRemainder(dividingBy: Int128(spent.nanos))
        // Rounded down, also below zero: fewer days than a whole number of them is what its floor says.
        let days = remainder < 0 ? quotient - 1 : quotient
        return AlertReading(isCrossed: days < Int128(threshold), value: Int64(clamping: days))
    }
}

extension Plan {
    /// Of each window that the plan limits calls in, the tightest limit: what a share of calls is measured against.
    public var tightestLimits: [CallLimit] {
        CallLimit.Per.allCases.compactMap { per in
            calls.filter { $0.per == per }.min { $0.limit < $1.limit }
        }
    }
}
