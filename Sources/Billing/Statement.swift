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

/// Sums of a statement: the opening balance, what each kind of movement did, the closing balance.
public struct StatementTotals: Hashable, Sendable {
    public struct KindSum: Hashable, Sendable {
        public var count: Int64 = 0
        public var amount = Money.zero
    }

    /// All movements of times before the period.
    public private(set) var opening = Money.zero
    /// By kind, in the order of `Movement.Kind.allCases`.
    public private(set) var kinds = [KindSum](repeating: KindSum(), count: Movement.Kind.allCases.count)
    /// Part of the charges that went onto invoices (less what was refunded of them): not in the balance.
    public private(set) var invoiced = Money.zero
    public private(set) var closing = Money.zero
    /// How many decimals of a credit its amounts need: 0...6.
    public private(set) var decimals = 0

    public init() {}

    public var lines: Int64 { kinds.reduce(0) { $0 + $1.count } }

    public subscript(kind: Movement.Kind) -> KindSum { kinds[Int(kind.rawValue)] }

    /// Opening balance + all movements = closing balance.
    public var addsUp: Bool {
        kinds.reduce(Int128(opening.nanos)) { $0 + Int128($1.amount.nanos) } + Int128(invoiced.nanos)
            == Int128(closing.nanos)
    }

    /// Takes one movement in, in any order. False when a sum does not fit in 64 bits; then the totals are void.
    public mutating func add(
        _ kind: Movement.Kind, amount: Money, invoiced: Money, at time: Timestamp, in period: StatementPeriod
    ) -> Bool {
        let isBefore = period.isBefore(time)
        guard isBefore || period.contains(time) else { return true }
        guard let effect = amount.adding(invoiced), let closing = self.closing.adding(effect) else { return false }
        self.closing = closing
        decimals = max(decimals, amount.creditDecimals, invoiced.creditDecimals)
        if isBefore {
            guard let opening = opening.adding(effect) else { return false }
            self.opening = opening
            return true
        }
        let place = Int(kind.rawValue)
        guard let sum = kinds[place].amount.adding(amount), let allInvoiced = self.invoiced.adding(invoiced) else {
            return false
        }
        kinds[place].amount = sum
        kinds[place].count += 1
        self.invoiced = allInvoiced
        return true
    }

    /// Adds the totals of movements of the same period that come after these.
    public mutating func add(_ later: StatementTotals) -> Bool {
        guard let opening = opening.adding(later.opening), let invoiced = invoiced.adding(later.invoiced),
            let closing = closing.adding(later.closing)
        else { return false }
        self.opening = opening
        self.invoiced = invoiced
        self.closing = closing
        decimals = max(decimals, later.decimals)
        for place in kinds.indices {
            guard let amount = kinds[place].amount.adding(later.kinds[place].amount) else { return false }
            kinds[place].amount = amount
            kinds[place].count += later.kinds[place].count
        }
        return true
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
