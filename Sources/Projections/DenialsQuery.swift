public import Billing
internal import SQLite

/// Where in the log an org was denied an authorization, in order of position, a page at a time.
public struct DenialsQuery: Query {
    public static let model = "credits"

    public var org: Name
    /// Denials at positions beyond this one.
    public var after: UInt64
    /// From 1.
    public var limit: Int

    public init(org: Name, after: UInt64 = 0, limit: Int) {
        precondition(limit > 0, "limit \(limit)")
        self.org = org
        self.after = after
        self.limit = limit
    }

    /// Positions of `authorization.denied` records, `limit` of them at most.
    public func answer(from reader: Reader) throws -> [UInt64] {
        var positions: [UInt64] = []
        try reader.database.rows(
            """
            SELECT position FROM denials WHERE org = (SELECT id FROM names WHERE text = ?1) AND position > ?2
            ORDER BY position LIMIT ?3
            """, .text(org.text), .integer(Int64(clamping: after)), .integer(Int64(limit))
        ) { row in
            positions.append(UInt64(row.integer(at: 0)))
        }
        return positions
    }
}
