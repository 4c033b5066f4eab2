public import Billing
internal import SQLite

/// What an owner has: his lots, sums and, for an org, allocations.
public struct CreditsQuery: Query {
    public static let model = "credits"

    public var owner: Owner
    public var now: Timestamp

    public init(owner: Owner, now: Timestamp) {
        self.owner = owner
        self.now = now
    }

    /// Nil for an owner without any movement or allocation.
    public func answer(from reader: Reader) throws -> CreditSummary? {
        try BookRows.ledger(of: owner, on: now.day, in: reader.database)?
            .summary(of: owner, at: now)
    }
}

/// What a user has of an org's pool.
public struct UserCreditsQuery: Query {
    public static let model = "credits"

    public var org: Name
    public var user: Name
    public var now: Timestamp

    public init(org: Name, user: Name, now: Timestamp) {
        self.org = org
        self.user = user
        self.now = now
    }

    /// Nil for an org without any movement or allocation.
    public func answer(from reader: Reader) throws -> UserCredits? {
        let ledger = try BookRows.ledger(of: .org(org), on: now.day, in: reader.database)
        guard let ledger, let pool = ledger.summary(of: .org(org), at: now),
            let available = ledger.available(org: org, user: user, at: now)
        else { return nil }
        let spent = try reader.database.first(
            """
            SELECT charged, overage FROM spending
            WHERE org = (SELECT id FROM names WHERE text = ?) AND user = (SELECT id FROM names WHERE text = ?)
            """, .text(org.text), .text(user.text)
        ) { (charged: BookRows.money($0, 0), overage: BookRows.money($0, 1)) }
        return UserCredits(
            pool: pool, available: available, spent: spent?.charged ?? .zero, overage: spent?.overage ?? .zero,
            allocation: pool.allocations.first { $0.allocation.user == user })
    }
}

/// Where a user stands with an org's pool.
public struct UserCredits: Hashable, Sendable {
    public var pool: CreditSummary
    /// What he may draw now, by his allocation and what is there.
    public var available: Money
    /// His charges to the pool: what lots paid and what they did not.
    public var spent: Money
    /// Part of `spent` that no lot covered.
    public var overage: Money
    public var allocation: AllocationStatus?

    public init(
        pool: CreditSummary, available: Money, spent: Money, overage: Money, allocation: AllocationStatus?
    ) {
        self.pool = pool
        self.available = available
        self.spent = spent
        self.overage = overage
        self.allocation = allocation
    }
}

/// An owner's movements, newest first, a page at a time.
public struct StatementQuery: Query {
    public static let model = "credits"
    public static let limitMax = 1000

    public var owner: Owner
    /// Movements before this one; nil: from the newest.
    public var before: StatementCursor?
    public var limit: Int
    /// Whose movements' times are in it.
    public var period: StatementPeriod

    /// `limit` in 1...`limitMax`.
    public init(
        owner: Owner, before: StatementCursor? = nil, limit: Int = 100, period: StatementPeriod = StatementPeriod()
    ) {
        precondition((1...StatementQuery.limitMax).contains(limit), "limit \(limit)")
        self.owner = owner
        self.before = before
        self.limit = limit
        self.period = period
    }

    public func answer(from reader: Reader) throws -> StatementPage {
        var page = StatementPage(entries: [], next: nil)
        let before = before ?? StatementCursor(position: UInt64(Int64.max), sequence: 0)
        try reader.database.rows(
            """
            \(Credits.movements.scanSQL)
            WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND (position, seq) < (?, ?)
                AND at >= ? AND at < ?
            ORDER BY position DESC, seq DESC LIMIT ?
            """, .integer(Calls.number(of: owner)), .text(owner.name.text), .integer(Int64(before.position)),
            .integer(Int64(before.sequence)), .integer(period.from?.microseconds ?? .min),
            .integer(period.to?.microseconds ?? .max), .integer(Int64(limit + 1))
        ) { row in
            if page.entries.count == limit {
                page.next = page.entries.last.map { StatementCursor(position: $0.position, sequence: $0.sequence) }
                return
            }
            page.entries.append(StatementEntry(row))
        }
        return page
    }
}

/// A page of a statement; `next` continues it, nil at its end.
public struct StatementPage: Hashable, Sendable {
    public var entries: [StatementEntry]
    public var next: StatementCursor?
}

/// A place in a statement: movements of smaller (position, sequence) come after it, since newest is first.
public struct StatementCursor: Hashable, Sendable {
    public var position: UInt64
    public var sequence: UInt32

    public init(position: UInt64, sequence: UInt32) {
        self.position = position
        self.sequence = sequence
    }

    /// "41-0"; nil for anything else.
    public init?(_ text: String) {
        guard let parts = NumberPair(text, prefix: ""), let sequence = UInt32(exactly: parts.second) else { return nil }
        self.init(position: parts.first, sequence: sequence)
    }

    public var text: String { "\(position)-\(sequence)" }
}

extension StatementEntry {
    /// From a row of `Credits.movements.scanSQL`.
    init(_ row: Statement) {
        guard let kind = Movement.Kind(rawValue: UInt8(row.integer(at: 5))) else {
            preconditionFailure("movement of kind \(row.integer(at: 5))")
        }
        self.init(
            position: UInt64(row.integer(at: 2)), sequence: UInt32(row.integer(at: 3)),
            time: Timestamp(microseconds: row.integer(at: 4)), model: BookRows.optionalName(row, 9),
            movement: Movement(
                kind: kind, owner: BookRows.owner(row, 0), user: BookRows.optionalName(row, 8),
                amount: BookRows.money(row, 6), balanceAfter: BookRows.money(row, 7),
                slices: SliceText.read(row.text(at: 12)), overage: BookRows.money(row, 10),
                invoiced: BookRows.money(row, 11)),
            settlement: row.isNull(at: 13) ? nil : Settlement(row, at: 13))
    }
}

extension Settlement {
    /// From the columns authorization, kind and held of a row, of which `column` is the first.
    init(_ row: Statement, at column: Int) {
        guard let kind = Kind(rawValue: UInt8(row.integer(at: column + 1))) else {
            preconditionFailure("settlement of kind \(row.integer(at: column + 1))")
        }
        self.init(authorization: BookRows.name(row, column), kind: kind, held: BookRows.money(row, column + 2))
    }
}

/// "<prefix>12-3": two numbers as we write them, and in no other way.
struct NumberPair {
    var first: UInt64
    var second: UInt64

    init?(_ text: String, prefix: String) {
        guard text.utf8.starts(with: prefix.utf8) else { return nil }
        let parts = text.utf8.dropFirst(prefix.utf8.count).split(separator: 0x2D, omittingEmptySubsequences: false)
        guard parts.count == 2, let first = NumberPair.number(parts[0]), let second = NumberPair.number(parts[1]) else {
            return nil
        }
        self.first = first
        self.second = second
    }

    /// Within what SQLite holds; no sign, no leading zero.
    private static func number(_ digits: Substring.UTF8View) -> UInt64? {
        guard let first = digits.first, first != 0x30 || digits.count == 1 else { return nil }
        var value: Int64 = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowSum) = tens.addingReportingOverflow(Int64(digit - 0x30))
            if overflow || overflowSum { return nil }
            value = sum
        }
        return UInt64(value)
    }
}
