public import Billing
internal import Platform
public import Records
internal import SQLite

/// Explains records from the credits read model: what was taken from whom is there, and the rules that held come back
/// from the few records that make them (`controls`). On a thread of its own.
///
/// The catalog of the last question is kept: the next one, if it is about the same rules or later ones, reads only what
/// is new. A question about rules long replaced reads all records of plans, assignments and prices before it: some
/// microseconds each, whatever the number of calls between.
public actor Explainer {
    /// Questions waiting or running; past it one is refused.
    public static let pendingMax = 64

    private let executor = ThreadExecutor(name: "explain", niceness: 2)
    private let log: any RecordSource
    private nonisolated let pending = Lock(0)
    /// Of the records at `folded`.
    private var catalog = Catalog()
    private var folded: [UInt64] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(log: any RecordSource) {
        self.log = log
    }

    /// Why `record` did what `rows` say. Nil: too many ask already.
    public nonisolated func explain(_ record: Record, _ rows: ExplanationRows) async throws -> Explanation? {
        guard begin() else { return nil }
        defer { end() }
        return try await answer(record, rows)
    }

    // Not inlined: Swift 6.3.1 crashes in an optimized build while it splits an `async` function that holds both.
    @inline(never)
    private nonisolated func begin() -> Bool {
        pending.withLock { count in
            guard count < Explainer.pendingMax else { return false }
            count += 1
            return true
        }
    }

    @inline(never)
    private nonisolated func end() {
        pending.withLock { $0 -= 1 }
    }

    private func answer(_ record: Record, _ rows: ExplanationRows) throws -> Explanation {
        try fold(rows.controls)
        return try Explanation(
            of: record, by: catalog, movements: rows.movements, settlement: rows.settlement,
            corrections: rows.corrections)
    }

    /// Makes `catalog` that of the records at `positions`.
    private func fold(_ positions: [UInt64]) throws {
        if positions.count < folded.count || positions[..<folded.count] != folded[...] {
            catalog = Catalog()
            folded = []
        }
        for position in positions[folded.count...] {
            guard let record = try log.record(at: position) else {
                throw RecordFault(position: position, reason: "the log does not have it")
            }
            catalog.apply(record.event.fact, position: position, at: record.occurredAt)
            folded.append(position)
        }
    }
}

extension Explanation {
    /// - Parameter catalog: of all records before `record`.
    public init(
        of record: Record, by catalog: Catalog, movements: [Movement], settlement: Settlement?, corrections: [UInt64]
    ) throws(RecordFault) {
        var charge: ChargeExplanation?
        do {
            switch record.event.fact {
            case .call(let call): charge = try catalog.explain(call, at: record.occurredAt)
            case .usage(let call): charge = try catalog.explain(call, at: record.occurredAt, isCall: false)
            case .callAmended(let amended):
                guard let standing = amended.unwinds else {
                    throw RecordFault(position: record.position, reason: "does not say what it unwinds")
                }
                charge = try catalog.explain(amended.call, at: standing.occurredAt, isCall: standing.isCall)
            default: break
            }
        } catch let rejection as Rejection {
            throw RecordFault(position: record.position, reason: "cannot be rated: \(rejection.detail)")
        } catch let fault as RecordFault {
            throw fault
        } catch {
            preconditionFailure("\(error)")
        }
        self.init(
            position: record.position, event: record.event, occurredAt: record.occurredAt, charge: charge,
            movements: movements, settlement: settlement, corrections: corrections)
    }
}

/// What the credits read model has of one record.
public struct ExplanationRows: Hashable, Sendable {
    /// In the ledger's order.
    public var movements: [Movement] = []
    public var settlement: Settlement?
    /// Of a call: where it was corrected.
    public var corrections: [UInt64] = []
    /// Positions before the record that made the rules it was judged by.
    public var controls: [UInt64] = []
}

/// Asks for them. The record must be one that the read model has seen.
public struct ExplanationQuery: Query {
    public static let model = "credits"

    private let position: UInt64
    private let owners: [Owner]
    /// Whose owner is in the rows.
    private let lot: Name?

    public init(_ record: Record) {
        position = record.position
        var owners: [Owner] = []
        var lot: Name?
        func add(_ call: Call) { owners += [call.org.map(Owner.org), call.user.map(Owner.user)].compactMap { $0 } }
        switch record.event.fact {
        case .call(let call), .usage(let call): add(call)
        case .callAmended(let amended): add(amended.call)
        case .creditsGranted(let grant): owners.append(grant.owner)
        case .creditsAdjusted(let adjustment): owners.append(adjustment.owner)
        case .creditsVoided(let voided): lot = voided.lot
        case .creditsExpired(let expired): lot = expired.lot
        default: break
        }
        for part in record.event.fact.unwinds?.charge.parts ?? [] { owners.append(part.owner) }
        self.owners = Set(owners).sorted()
        self.lot = lot
    }

    public func answer(from reader: Reader) throws -> ExplanationRows {
        let database = reader.database
        var rows = ExplanationRows()
        var owners = owners
        if let lot {
            let sql = "\(BookRows.tables.lots.scanSQL) WHERE lots.id = ?"
            if let owner = try database.first(sql, .text(lot.text), body: { BookRows.lot($0).owner }) {
                owners.append(owner)
            }
        }
        var entries: [StatementEntry] = []
        for owner in owners {
            try database.rows(
                """
                \(Credits.movements.scanSQL)
                WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND position = ?
                """, .integer(Calls.number(of: owner)), .text(owner.name.text), .integer(Int64(position))
            ) { entries.append(StatementEntry($0)) }
        }
        rows.movements = entries.sorted { $0.sequence < $1.sequence }.map(\.movement)
        rows.settlement = try entries.lazy.compactMap(\.settlement).first
            ?? database.first("\(Credits.settlements.scanSQL) WHERE position = ?", .integer(Int64(position))) { row in
                Settlement(row, at: 1)
            }
        try database.rows(
            "SELECT position FROM corrected WHERE call = ? ORDER BY position", .integer(Int64(position))
        ) { rows.corrections.append(UInt64($0.integer(at: 0))) }
        try database.rows(
            "SELECT position FROM controls WHERE position < ? ORDER BY position", .integer(Int64(position))
        ) { rows.controls.append(UInt64($0.integer(at: 0))) }
        return rows
    }
}
