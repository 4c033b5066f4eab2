internal import Billing
internal import Records
internal import SQLite

/// A book and the rows it comes back from: what the read models share that fold charges. Its tables are those of
/// book.sql, and alike in each of them, so that a refold of several can fold one book for all.
final class BookRows {
    /// The tables, as one read model's digest knows them.
    struct Tables {
        let accounts: Table
        let lots: Table
        let allocations: Table
        let drawn: Table
        let controls: Table
        let holds: Table

        fileprivate init() {
            accounts = Table(
                "accounts", tag: 1, kind: .rows, keys: [.integer("owner_kind"), .name("owner")],
                values: [
                    .integer("granted"), .integer("adjusted"), .integer("spent"), .integer("invoiced"),
                    .integer("expired"), .integer("voided"), .integer("overage"), .integer("remaining"),
                    .integer("held"),
                ])
            lots = Table(
                "lots", tag: 2, kind: .rows, keys: [.text("id")],
                values: [
                    .integer("owner_kind"), .name("owner"), .integer("category"), .integer("priority"),
                    .integer("effective_at"), .integer("expires_at"), .integer("position"), .integer("granted"),
                    .integer("remaining"), .integer("spent"), .integer("expired"), .integer("voided"),
                ])
            allocations = Table(
                "allocations", tag: 3, kind: .rows, keys: [.name("org"), .name("user")],
                values: [.integer("mode"), .integer("credits"), .integer("period"), .integer("position")])
            drawn = Table(
                "drawn", tag: 4, kind: .rows, keys: [.name("org"), .name("user"), .integer("day")],
                values: [.integer("amount")])
            controls = Controls.table(tag: 5)
            holds = Table(
                "holds", tag: 20, kind: .rows, keys: [.integer("owner_kind"), .name("owner"), .text("id")],
                values: [
                    .name("org"), .name("user"), .integer("key_source"), .integer("first"), .integer("wallet"),
                    .integer("is_allocated"), .integer("is_wallet_alone"), .integer("expires_at"),
                    .integer("position"),
                ])
        }

        var all: [Table] { [accounts, lots, allocations, drawn, controls, holds] }
    }

    /// Tags 1 to 5, and 20.
    static let tables = Tables()

    var book = Book(tracksChanges: true)
    private var controls = Controls(table: BookRows.tables.controls, keepsPrices: true)

    func load(from database: Database, log: any RecordSource) throws {
        try controls.load(from: database, log: log)
        var state = LedgerState()
        try database.rows(BookRows.tables.accounts.scanSQL) { state.accounts.append(BookRows.account($0)) }
        try database.rows(BookRows.tables.lots.scanSQL) { state.lots.append(BookRows.lot($0)) }
        try database.rows(BookRows.tables.allocations.scanSQL) { state.allocations.append(BookRows.allocation($0)) }
        try database.rows(BookRows.tables.drawn.scanSQL) { row in
            state.drawn.append(
                Drawn(
                    org: BookRows.name(row, 0), user: BookRows.name(row, 1),
                    day: Day(number: Int32(row.integer(at: 2))),
                    amount: BookRows.money(row, 3)))
        }
        try database.rows(BookRows.tables.holds.scanSQL) { state.holds.append(BookRows.hold($0)) }
        book = Book(catalog: controls.catalog, ledger: Ledger(restoring: state, tracksChanges: true))
        controls.catalog = Catalog()
    }

    /// The catalog as it was when the record at `position` was folded.
    func catalog(at position: UInt64) -> Catalog {
        controls.catalog(at: position, current: book.catalog)
    }

    /// What the record does to the book. Throws what admission would have refused: the log holds no such record unless
    /// by a bug, and then the projector stops.
    func apply(_ record: Record) throws(RecordFault) -> Outcome {
        let outcome: Outcome
        do {
            outcome = try take(record)
        } catch {
            throw RecordFault(
                position: record.position,
                reason: "\(record.event.fact.type) cannot be applied: \(error.field): \(error.detail) (\(error.code))")
        }
        if book.ledger.isFaulty { try check(at: record.position) }
        return outcome
    }

    private func take(_ record: Record) throws(Rejection) -> Outcome {
        switch record.event.fact {
        case .planDefined, .planAssigned, .pricesPublished:
            try book.admit(record.event, at: record.occurredAt)
            controls.apply(record, to: &book.catalog)
            return Outcome()
        default:
            return try book.take(record.event, position: record.position, at: record.occurredAt)
        }
    }

    /// Throws when some credit is not accounted for, with the lot or account named (I6). What a record moved is checked
    /// with it; this looks at all there is.
    func check(at position: UInt64) throws(RecordFault) {
        if let fault = book.ledger.fault {
            throw RecordFault(position: position, reason: "credits are not conserved: \(fault)")
        }
    }

    func flush(into sink: any RowSink) throws {
        let changes = book.ledger.takeChanges()
        try sink.put(changes.accounts.count, in: BookRows.tables.accounts) { index, cells in
            let account = changes.accounts[index]
            BookRows.fill(&cells, account.owner)
            cells.integer(account.granted.nanos)
            cells.integer(account.adjusted.nanos)
            cells.integer(account.spent.nanos)
            cells.integer(account.invoiced.nanos)
            cells.integer(account.expired.nanos)
            cells.integer(account.voided.nanos)
            cells.integer(account.overage.nanos)
            cells.integer(account.left.nanos)
            cells.integer(account.held.nanos)
        }
        try sink.put(changes.lots.count, in: BookRows.tables.lots) { index, cells in
            let lot = changes.lots[index]
            cells.text(lot.id.text)
            BookRows.fill(&cells, lot.owner)
            cells.integer(Int64(lot.category.rawValue))
            cells.integer(Int64(lot.priority))
            cells.integer(lot.effectiveAt.microseconds)
            if let expiresAt = lot.expiresAt { cells.integer(expiresAt.microseconds) } else { cells.null() }
            cells.integer(Int64(lot.position))
            cells.integer(lot.granted.nanos)
            cells.integer(lot.left.nanos)
            cells.integer(lot.spent.nanos)
            cells.integer(lot.expired.nanos)
            cells.integer(lot.voided.nanos)
        }
        for item in changes.allocations {
            let allocation = item.allocation
            try sink.put(
                [
                    .integer(Int64(allocation.mode.rawValue)), .integer(allocation.credits.nanos),
                    .integer(Int64(allocation.period.rawValue)), .integer(Int64(item.position)),
                ], key: [.text(allocation.org.text), .text(allocation.user.text)], in: BookRows.tables.allocations)
        }
        try sink.put(changes.drawn.count, in: BookRows.tables.drawn) { index, cells in
            let drawn = changes.drawn[index]
            cells.text(drawn.org.text)
            cells.text(drawn.user.text)
            cells.integer(Int64(drawn.day.number))
            cells.integer(drawn.amount.nanos)
        }
        for hold in changes.holds {
            let values: [Value] = [
                hold.org.map { .text($0.text) } ?? .null, hold.user.map { .text($0.text) } ?? .null,
                .integer(Int64(hold.keySource.rawValue)), .integer(hold.first.nanos), .integer(hold.wallet.nanos),
                .integer(hold.isAllocated ? 1 : 0), .integer(hold.isWalletAlone ? 1 : 0),
                .integer(hold.expiresAt.microseconds), .integer(Int64(hold.position)),
            ]
            try sink.put(values, key: BookRows.cells(hold.key), in: BookRows.tables.holds)
        }
        for key in changes.endedHolds { try sink.remove(key: BookRows.cells(key), from: BookRows.tables.holds) }
        try controls.flush(into: sink)
    }

    // MARK: - Rows to values

    private static func fill(_ cells: inout RowCells, _ owner: Owner) {
        cells.integer(Calls.number(of: owner))
        cells.text(owner.name.text)
    }

    /// Names were checked before they were stored.
    static func name(_ row: Statement, _ index: Int) -> Name { Name(checked: row.text(at: index)) }

    static func optionalName(_ row: Statement, _ index: Int) -> Name? {
        row.isNull(at: index) ? nil : name(row, index)
    }

    static func money(_ row: Statement, _ index: Int) -> Money { Money(nanos: row.integer(at: index)) }

    /// The kind is at `index`, the name after it.
    static func owner(_ row: Statement, _ index: Int) -> Owner {
        row.integer(at: index) == 0 ? .org(name(row, index + 1)) : .user(name(row, index + 1))
    }

    static func account(_ row: Statement) -> Account {
        Account(
            owner: owner(row, 0), granted: money(row, 2), adjusted: money(row, 3), spent: money(row, 4),
            invoiced: money(row, 5), expired: money(row, 6), voided: money(row, 7), overage: money(row, 8),
            left: money(row, 9), held: money(row, 10))
    }

    static func lot(_ row: Statement) -> Lot {
        guard let category = Lot.Category(rawValue: UInt8(row.integer(at: 3))) else {
            preconditionFailure("lot of category \(row.integer(at: 3))")
        }
        return Lot(
            id: name(row, 0), owner: owner(row, 1), category: category, priority: UInt8(row.integer(at: 4)),
            effectiveAt: Timestamp(microseconds: row.integer(at: 5)),
            expiresAt: row.isNull(at: 6) ? nil : Timestamp(microseconds: row.integer(at: 6)),
            position: UInt64(row.integer(at: 7)), granted: money(row, 8), left: money(row, 9), spent: money(row, 10),
            expired: money(row, 11), voided: money(row, 12))
    }

    private static func cells(_ key: HoldKey) -> [Value] {
        [.integer(Calls.number(of: key.owner)), .text(key.owner.name.text), .text(key.id.text)]
    }

    static func hold(_ row: Statement) -> Hold {
        guard let keySource = Call.KeySource(rawValue: UInt8(row.integer(at: 5))) else {
            preconditionFailure("a hold of no key source")
        }
        return Hold(
            key: HoldKey(owner: owner(row, 0), id: name(row, 2)), org: optionalName(row, 3), user: optionalName(row, 4),
            keySource: keySource, first: money(row, 6), wallet: money(row, 7), isAllocated: row.integer(at: 8) != 0,
            isWalletAlone: row.integer(at: 9) != 0, expiresAt: Timestamp(microseconds: row.integer(at: 10)),
            position: UInt64(row.integer(at: 11)))
    }

    static func allocation(_ row: Statement) -> UserAllocation {
        guard let mode = Allocation.Mode(rawValue: UInt8(row.integer(at: 2))),
            let period = Period(rawValue: UInt8(row.integer(at: 4)))
        else { preconditionFailure("allocation of no mode or period") }
        return UserAllocation(
            allocation: Allocation(
                org: name(row, 0), user: name(row, 1), mode: mode, credits: money(row, 3), period: period),
            position: UInt64(row.integer(at: 5)))
    }

    /// A ledger of one owner alone, as it stands in the rows, to be asked about the period that `day` is in. Nil when
    /// there is no such owner.
    static func ledger(of owner: Owner, on day: Day, in database: Database) throws -> Ledger? {
        let kind = Value.integer(Calls.number(of: owner))
        let text = Value.text(owner.name.text)
        let isOwner = "owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?)"
        var state = LedgerState()
        try database.rows("\(BookRows.tables.accounts.scanSQL) WHERE \(isOwner)", kind, text) {
            state.accounts.append(account($0))
        }
        if state.accounts.isEmpty { return nil }
        try database.rows("\(BookRows.tables.lots.scanSQL) WHERE \(isOwner)", kind, text) { state.lots.append(lot($0)) }
        guard case .org(let org) = owner else { return Ledger(restoring: state) }
        try database.rows(
            "\(BookRows.tables.allocations.scanSQL) WHERE org = (SELECT id FROM names WHERE text = ?)", text
        ) {
            state.allocations.append(allocation($0))
        }
        if !state.allocations.isEmpty {
            // What is held counts against allocations; those of the org alone are looked at.
            try database.rows("\(BookRows.tables.holds.scanSQL) WHERE \(isOwner)", kind, text) {
                state.holds.append(hold($0))
            }
        }
        for item in state.allocations {
            let days = item.allocation.period.bounds(containing: day)
            let amount = try database.integer(
                """
                SELECT coalesce(sum(amount), 0) FROM drawn
                WHERE org = (SELECT id FROM names WHERE text = ?) AND user = (SELECT id FROM names WHERE text = ?)
                    AND day >= ? AND day < ?
                """, text, .text(item.allocation.user.text),
                .integer(days.map { Int64($0.lowerBound.number) } ?? .min),
                .integer(days.map { Int64($0.upperBound.number) } ?? .max))
            guard let amount, amount > 0 else { continue }
            // One entry stands for the whole period.
            state.drawn.append(
                Drawn(org: org, user: item.allocation.user, day: day, amount: Money(nanos: amount)))
        }
        return Ledger(restoring: state)
    }
}
