public import Billing
public import Records
internal import SQLite

/// An owner's movements of a period, oldest first, a piece at a time: how a statement of any length is streamed in
/// constant memory and without a transaction that stays open. Movements are only ever appended, so that pieces read one
/// after the other, through one position, are one state.
public struct StatementScanQuery: Query {
    public static let model = "credits"
    /// Rows that one piece looks at, in the period or not.
    public static let rowsMax = 20_000
    /// Lines that one piece gives.
    public static let linesMax = 500

    public var owner: Owner
    public var period: StatementPeriod
    /// Later records do not count.
    public var through: UInt64
    /// Where the piece before ended; nil: at the first movement.
    public var after: StatementCursor?

    public init(owner: Owner, period: StatementPeriod, through: UInt64, after: StatementCursor? = nil) {
        self.owner = owner
        self.period = period
        self.through = through
        self.after = after
    }

    public func answer(from reader: Reader) throws -> StatementPiece {
        guard reader.position >= through else { throw QueryError.unavailable(model: Self.model) }
        var piece = StatementPiece()
        var looked = 0
        let after = after ?? StatementCursor(position: 0, sequence: 0)
        let statement = try reader.database.statement(
            """
            \(Credits.movements.scanSQL)
            WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND (position, seq) > (?, ?)
                AND position <= ?
            ORDER BY position, seq LIMIT ?
            """)
        try statement.bind([
            .integer(Calls.number(of: owner)), .text(owner.name.text), .integer(Int64(after.position)),
            .integer(self.after == nil ? -1 : Int64(after.sequence)), .integer(Int64(through)),
            .integer(Int64(Self.rowsMax)),
        ])
        defer { if statement.isRunning { statement.reset() } }
        while piece.entries.count < Self.linesMax, try statement.step() {
            looked += 1
            piece.reached = StatementCursor(
                position: UInt64(statement.integer(at: 2)), sequence: UInt32(statement.integer(at: 3)))
            if period.contains(Timestamp(microseconds: statement.integer(at: 4))) {
                piece.entries.append(StatementEntry(statement))
            }
        }
        piece.isLast = looked < Self.rowsMax && piece.entries.count < Self.linesMax
        return piece
    }
}

/// Some lines of a statement, and where to go on.
public struct StatementPiece: Hashable, Sendable {
    public var entries: [StatementEntry] = []
    /// The last movement that was looked at; nil when there was none.
    public var reached: StatementCursor?
    public var isLast = false
}

/// Sums of a statement, over some of the movements.
public struct StatementTotalsQuery: Query {
    public static let model = "credits"
    /// Movements that one query adds up.
    public static let rowsMax = 100_000

    public var owner: Owner
    public var period: StatementPeriod
    /// Later records do not count; nil: all that the read model has seen.
    public var through: UInt64?
    public var after: StatementCursor?

    public init(owner: Owner, period: StatementPeriod, through: UInt64? = nil, after: StatementCursor? = nil) {
        self.owner = owner
        self.period = period
        self.through = through
        self.after = after
    }

    public func answer(from reader: Reader) throws -> StatementSums {
        let through = through ?? reader.position
        guard reader.position >= through else { throw QueryError.unavailable(model: Self.model) }
        var sums = StatementSums()
        var looked = 0
        try reader.database.rows(
            """
            SELECT position, seq, at, kind, amount, invoiced FROM movements
            WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND (position, seq) > (?, ?)
                AND position <= ?
            ORDER BY position, seq LIMIT ?
            """, .integer(Calls.number(of: owner)), .text(owner.name.text), .integer(Int64(after?.position ?? 0)),
            .integer(after.map { Int64($0.sequence) } ?? -1), .integer(Int64(through)), .integer(Int64(Self.rowsMax))
        ) { row in
            looked += 1
            sums.reached = StatementCursor(position: UInt64(row.integer(at: 0)), sequence: UInt32(row.integer(at: 1)))
            guard let kind = Movement.Kind(rawValue: UInt8(row.integer(at: 3))) else {
                preconditionFailure("movement of kind \(row.integer(at: 3))")
            }
            sums.totals.add(
                kind, amount: BookRows.money(row, 4), invoiced: BookRows.money(row, 5),
                at: Timestamp(microseconds: row.integer(at: 2)), in: period)
        }
        sums.isLast = looked < Self.rowsMax
        return sums
    }
}

/// What some movements add up to, and where to go on.
public struct StatementSums: Hashable, Sendable {
    public var totals = StatementTotals()
    public var reached: StatementCursor?
    public var isLast = false
}

/// An owner's movements from the log alone, record by record, with balances checked on the way.
public struct StatementFold {
    private let owner: Owner
    private let log: any RecordSource
    private var fold: PastFold
    /// Of all movements so far, whatever their times.
    private var balance = Money.zero

    public init(of owner: Owner, log: any RecordSource) throws {
        self.owner = owner
        self.log = log
        fold = try PastFold(Past(known: 0), log: log)
    }

    /// The ledger's own balance: what all movements must have led to.
    public var ledgerBalance: Money { fold.book.ledger.account(owner)?.balance ?? .zero }

    /// What the owner has, as judged at `time`; nil for one that the ledger never heard of.
    public func summary(at time: Timestamp) -> CreditSummary? { fold.book.ledger.summary(of: owner, at: time) }

    /// Whether the ledger has heard of the owner.
    public var knowsOwner: Bool { fold.book.ledger.account(owner) != nil }

    /// What the next record of the log moved on the owner's account.
    /// - Throws: `RecordFault`, also when a movement's balance is not the sum of all before it.
    public mutating func entries(of record: Record) throws -> [StatementEntry] {
        guard let step = try fold.take(record) else { return [] }
        var entries: [StatementEntry] = []
        for (sequence, movement) in step.outcome.movements.enumerated() where movement.owner == owner {
            guard let sum = balance.adding(movement.effect), sum == movement.balanceAfter else {
                throw RecordFault(
                    position: record.position,
                    reason: "the balance after it is \(movement.balanceAfter.credits), not the sum of all movements")
            }
            balance = sum
            entries.append(
                StatementEntry(
                    position: record.position, sequence: UInt32(sequence), time: record.occurredAt,
                    model: try model(of: movement, record), movement: movement,
                    settlement: movement.kind == .charge ? step.outcome.settlement : nil))
        }
        return entries
    }

    private func model(of movement: Movement, _ record: Record) throws -> Name? {
        switch (movement.kind, record.event.fact) {
        case (.charge, .call(let call)), (.charge, .usage(let call)): call.model
        case (.charge, .callAmended(let amended)): amended.call.model
        case (.refund, let fact): try fact.unwinds?.call(in: log).model
        default: nil
        }
    }
}

extension StatementPeriod {
    /// What an end of a period may be: a day "2025-11-03", which stands for its start, or an RFC 3339 time.
    public static func time(_ text: String) -> Timestamp? {
        if case .day(let day) = CallsQuery.Span(text) { return day.start }
        return Timestamp(rfc3339: text)
    }
}
