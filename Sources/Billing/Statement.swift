/// One movement of an owner's credits, as it stands in a statement.
public struct StatementEntry: Hashable, Sendable {
    /// Of the record that moved it.
    public var position: UInt64
    /// Among the movements of that record.
    public var sequence: UInt32
    /// The event's own time: of a correction, when it was made.
    public var time: Timestamp
    /// Of a charge or a refund.
    public var model: Name?
    public var movement: Movement
    /// Of a charge whose call named an authorization.
    public var settlement: Settlement?

    public init(
        position: UInt64, sequence: UInt32, time: Timestamp, model: Name?, movement: Movement,
        settlement: Settlement? = nil
    ) {
        self.position = position
        self.sequence = sequence
        self.time = time
        self.model = model
        self.movement = movement
        self.settlement = settlement
    }
}

extension Movement {
    /// What it does to the balance: overage that goes onto an invoice leaves it.
    public var effect: Money { amount + invoiced }
}

/// The times `[from, to)` that a statement is about: movements by their events' own times.
public struct StatementPeriod: Hashable, Sendable {
    /// Nil: from the first.
    public var from: Timestamp?
    /// Nil: to the last.
    public var to: Timestamp?

    public init(from: Timestamp? = nil, to: Timestamp? = nil) {
        self.from = from
        self.to = to
    }

    public init(_ days: Range<Day>) {
        self.init(from: days.lowerBound.start, to: days.upperBound.start)
    }

    public var isEverything: Bool { from == nil && to == nil }

    public func contains(_ time: Timestamp) -> Bool { !isBefore(time) && to.map { time < $0 } ?? true }

    /// Whether a movement of `time` is in the opening balance.
    public func isBefore(_ time: Timestamp) -> Bool { from.map { time < $0 } ?? false }
}

/// Sums of a statement: the opening balance, what each kind of movement did, the closing balance. Wider than a balance:
/// what was charged and given back again counts in two kinds, and a period may hold one of the two alone.
public struct StatementTotals: Hashable, Sendable {
    public struct KindSum: Hashable, Sendable {
        public var count: Int64 = 0
        public var amount = MoneySum.zero
    }

    /// All movements of times before the period.
    public private(set) var opening = MoneySum.zero
    /// By kind, in the order of `Movement.Kind.allCases`.
    public private(set) var kinds = [KindSum](repeating: KindSum(), count: Movement.Kind.allCases.count)
    /// Part of the charges that went onto invoices (less what was refunded of them): not in the balance.
    public private(set) var invoiced = MoneySum.zero
    public private(set) var closing = MoneySum.zero
    /// How many decimals of a credit its amounts need: 0...6.
    public private(set) var decimals = 0

    public init() {}

    public var lines: Int64 { kinds.reduce(0) { $0 + $1.count } }

    public subscript(kind: Movement.Kind) -> KindSum { kinds[Int(kind.rawValue)] }

    /// Opening balance + all movements = closing balance.
    public var addsUp: Bool {
        kinds.reduce(opening + invoiced) { $0 + $1.amount } == closing
    }

    /// Takes one movement in, in any order.
    public mutating func add(
        _ kind: Movement.Kind, amount: Money, invoiced: Money, at time: Timestamp, in period: StatementPeriod
    ) {
        let isBefore = period.isBefore(time)
        guard isBefore || period.contains(time) else { return }
        let effect = MoneySum(amount) + MoneySum(invoiced)
        closing += effect
        decimals = max(decimals, amount.creditDecimals, invoiced.creditDecimals)
        if isBefore {
            opening += effect
            return
        }
        let place = Int(kind.rawValue)
        kinds[place].amount += amount
        kinds[place].count += 1
        self.invoiced += invoiced
    }

    /// Adds the totals of movements of the same period that come after these.
    public mutating func add(_ later: StatementTotals) {
        opening += later.opening
        invoiced += later.invoiced
        closing += later.closing
        decimals = max(decimals, later.decimals)
        for place in kinds.indices {
            kinds[place].amount += later.kinds[place].amount
            kinds[place].count += later.kinds[place].count
        }
    }
}

extension Money {
    /// Decimals that this many credits are written with: 0...6.
    public var creditDecimals: Int {
        var (rest, decimals) = (nanos, 6)
        if rest == 0 { return 0 }
        while decimals > 0 && rest % 10 == 0 {
            rest /= 10
            decimals -= 1
        }
        return decimals
    }
}

/// What stands above and below a statement's lines.
public struct StatementHead: Hashable, Sendable {
    public var owner: Owner
    public var period: StatementPeriod
    /// The last record that is known to it.
    public var position: UInt64
    /// When that record was stored, and its hash in hexadecimal; nil where the log is empty.
    public var recordedAt: Timestamp?
    public var recordHash: String?
    public var totals: StatementTotals

    public init(
        owner: Owner, period: StatementPeriod, position: UInt64, recordedAt: Timestamp?, recordHash: String?,
        totals: StatementTotals
    ) {
        self.owner = owner
        self.period = period
        self.position = position
        self.recordedAt = recordedAt
        self.recordHash = recordHash
        self.totals = totals
    }
}
