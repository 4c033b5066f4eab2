public import Billing
internal import Records
internal import SQLite

/// Batches in the order of their ids, a page at a time.
public struct LagoBatchesQuery: Query {
    public static let model = "lago"
    public static let limitMax = 1000

    /// Nil: of any state.
    public var state: LagoBatch.State?
    /// Batches after this one.
    public var after: LagoBatchID?
    public var limit: Int

    /// `limit` in 1...`limitMax`.
    public init(state: LagoBatch.State? = nil, after: LagoBatchID? = nil, limit: Int = 100) {
        precondition((1...LagoBatchesQuery.limitMax).contains(limit), "limit \(limit)")
        self.state = state
        self.after = after
        self.limit = limit
    }

    public func answer(from reader: Reader) throws -> [LagoBatch] {
        var batches: [LagoBatch] = []
        let after = after ?? LagoBatchID(position: 0, number: 0)
        let place: [Value] = [.integer(Int64(after.position)), .integer(after.number), .integer(Int64(limit))]
        let order = "(position, number) > (?, ?) ORDER BY position, number LIMIT ?"
        if let state {
            try reader.database.rows(
                "\(Lago.batches.scanSQL) WHERE state = ? AND \(order)", .integer(Int64(state.rawValue)), place[0],
                place[1], place[2]
            ) { batches.append(LagoColumns.batch($0)) }
        } else {
            try reader.database.rows("\(Lago.batches.scanSQL) WHERE \(order)", place[0], place[1], place[2]) {
                batches.append(LagoColumns.batch($0))
            }
        }
        return batches
    }
}

/// One batch with its lines; nil when there is none.
public struct LagoBatchQuery: Query {
    public static let model = "lago"

    public var id: LagoBatchID

    public init(id: LagoBatchID) {
        self.id = id
    }

    public func answer(from reader: Reader) throws -> LagoBatchContent? {
        let position = Value.integer(Int64(id.position))
        let batch = try reader.database.first(
            "\(Lago.batches.scanSQL) WHERE position = ? AND number = ?", position, .integer(id.number)
        ) { LagoColumns.batch($0) }
        guard let batch else { return nil }
        var lines: [LagoLine] = []
        try reader.database.rows(
            "\(Lago.lines.scanSQL) WHERE position = ? AND batch = ? ORDER BY number", position, .integer(id.number)
        ) { lines.append(LagoColumns.line($0)) }
        guard let closing = try reader.log.record(at: id.position) else {
            throw RecordFault(position: id.position, reason: "the log does not have it")
        }
        return LagoBatchContent(batch: batch, lines: lines, closedAt: closing.recordedAt)
    }
}

/// One sealed line; nil when there is none.
public struct LagoLineQuery: Query {
    public static let model = "lago"

    public var id: LagoLineID

    public init(id: LagoLineID) {
        self.id = id
    }

    public func answer(from reader: Reader) throws -> LagoLine? {
        try reader.database.first(
            "\(Lago.lines.scanSQL) WHERE position = ? AND number = ?", .integer(Int64(id.position)),
            .integer(id.number)
        ) { LagoColumns.line($0) }
    }
}

public struct LagoBatchContent: Hashable, Sendable {
    public var batch: LagoBatch
    /// In the order of their numbers.
    public var lines: [LagoLine]
    /// When its window was closed.
    public var closedAt: Timestamp

    /// The body for Lago's batch endpoint.
    public var body: [UInt8] { LagoBatchBody.bytes(lines, batch: batch.id, closedAt: closedAt) }
}

/// The positions of the records that came in by Lago's door with a transaction id, each under a subscription of its
/// own: the first `positionsMax`, in order.
public struct LagoReceivedQuery: Query {
    public static let model = "lago"

    public static let positionsMax = 100

    public var transactionID: String
    /// Whose alone; nil: anybody's.
    public var org: Name?

    public init(transactionID: String, org: Name?) {
        self.transactionID = transactionID
        self.org = org
    }

    public func answer(from reader: Reader) throws -> [UInt64] {
        var positions: [UInt64] = []
        try reader.database.rows(
            """
            SELECT position FROM received WHERE transaction_id = ?1 AND (?2 IS NULL OR org = ?2)
            ORDER BY position LIMIT ?3
            """,
            .text(transactionID), org.map { .text($0.text) } ?? .null, .integer(Int64(Self.positionsMax))
        ) { positions.append(UInt64($0.integer(at: 0))) }
        return positions
    }
}

/// Whether there is anything to close: what the daemon asks before it writes a `lago.window.closed`.
public struct LagoOpenQuery: Query {
    public static let model = "lago"

    public init() {}

    public func answer(from reader: Reader) throws -> LagoOpen {
        let database = reader.database
        return LagoOpen(
            lines: try database.integer("SELECT count(*) FROM open_lines") ?? 0,
            firstEnd: try database.first("SELECT window_start + window_seconds FROM open_lines ORDER BY 1 LIMIT 1") {
                $0.integer(at: 0)
            })
    }
}

/// Lines still open.
public struct LagoOpen: Hashable, Sendable {
    public var lines: Int64
    /// When the first of their windows ends, in seconds since 1970; nil when there is none.
    public var firstEnd: Int64?
}
