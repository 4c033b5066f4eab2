public import Billing
internal import SQLite

/// Calls that were charged 0 for want of a price, in order of position, a page at a time.
public struct UnpricedQuery: Query {
    public static let model = "tokens"
    public static let limitMax = 1000

    /// Nil: all orgs, and calls without one.
    public var org: Name?
    /// Calls at positions beyond this one.
    public var after: UInt64
    public var limit: Int

    /// `limit` in 1...`limitMax`.
    public init(org: Name? = nil, after: UInt64 = 0, limit: Int = 100) {
        precondition((1...UnpricedQuery.limitMax).contains(limit), "limit \(limit)")
        self.org = org
        self.after = after
        self.limit = limit
    }

    public func answer(from reader: Reader) throws -> UnpricedPage {
        var page = UnpricedPage(calls: [], next: nil)
        var sql = Tokens.unpriced.scanSQL + " WHERE position > ?1"
        if org != nil { sql += " AND org = (SELECT id FROM names WHERE text = ?3)" }
        sql += " ORDER BY position LIMIT ?2"
        let statement = try reader.database.statement(sql)
        try statement.bind(Int64(clamping: after), at: 0)
        try statement.bind(Int64(limit + 1), at: 1)
        if let org { try statement.bind(org.text, at: 2) }
        defer { if statement.isRunning { statement.reset() } }
        while try statement.step() {
            if page.calls.count == limit {
                page.next = page.calls.last?.position
                break
            }
            guard let operation = Call.Operation(rawValue: UInt8(statement.integer(at: 6))),
                let reason = Rating.Unpriced(rawValue: UInt8(statement.integer(at: 7)))
            else { preconditionFailure("row \(statement.integer(at: 0)) of \(Tokens.unpriced.name)") }
            page.calls.append(
                UnpricedCall(
                    position: UInt64(statement.integer(at: 0)),
                    time: Timestamp(microseconds: statement.integer(at: 1)),
                    org: BookRows.optionalName(statement, 2), user: BookRows.optionalName(statement, 3),
                    provider: BookRows.name(statement, 4), model: BookRows.name(statement, 5), operation: operation,
                    reason: reason))
        }
        return page
    }
}

/// A page of unpriced calls; `next` is where to go on after, nil at the end.
public struct UnpricedPage: Hashable, Sendable {
    public var calls: [UnpricedCall]
    public var next: UInt64?
}

/// A call that was charged 0 for want of a price.
public struct UnpricedCall: Hashable, Sendable {
    /// Of the record that states it: the call's, or that of the amendment that stands for it.
    public var position: UInt64
    /// The call's own time.
    public var time: Timestamp
    public var org: Name?
    public var user: Name?
    public var provider: Name
    public var model: Name
    public var operation: Call.Operation
    public var reason: Rating.Unpriced
}
