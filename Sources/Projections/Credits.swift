internal import Billing
internal import Records
internal import SQLite
internal import Schemas

/// Balances, lots and allocations as they stand, and every movement that led there.
public struct Credits: BookProjection {
    public static let name = "credits"
    public static let schemaVersion = 5
    public static var schema: [UInt8] { Schema.book + Schema.credits }
    static let ownTables = [movements, spending, corrected, settlements, denials]

    static let movements = Table(
        "movements", tag: 6, kind: .appended,
        keys: [.integer("owner_kind"), .name("owner"), .integer("position"), .integer("seq")],
        values: [
            .integer("at"), .integer("kind"), .integer("amount"), .integer("balance_after"), .name("user"),
            .name("model"), .integer("overage"), .integer("invoiced"), .text("slices"), .text("authorization"),
            .integer("settlement"), .integer("held"),
        ])
    static let spending = Table(
        "spending", tag: 7, kind: .sums, keys: [.name("org"), .name("user")],
        values: [.integer("charged"), .integer("overage")])
    static let corrected = Table(
        "corrected", tag: 8, kind: .appended, keys: [.integer("call"), .integer("position")])
    static let settlements = Table(
        "settlements", tag: 9, kind: .appended, keys: [.integer("position")],
        values: [.text("authorization"), .integer("kind"), .integer("held")])
    static let denials = Table("denials", tag: 10, kind: .appended, keys: [.name("org"), .integer("position")])

    /// A movement with names as numbers: a million of them may be gathered before a flush.
    private struct Pending {
        var owner: UInt32
        var user: UInt32
        var model: UInt32
        var isUser: Bool
        var kind: Movement.Kind
        var seq: UInt32
        var position: UInt64
        var at: Timestamp
        var amount: Money
        var balanceAfter: Money
        var overage: Money
        var invoiced: Money
        var slices: [Slice]
        var settlement: Settlement?

        func fill(_ cells: inout RowCells, names: borrowing NamePool) {
            cells.integer(isUser ? 1 : 0)
            cells.name(owner, of: names)
            cells.integer(Int64(position))
            cells.integer(Int64(seq))
            cells.integer(at.microseconds)
            cells.integer(Int64(kind.rawValue))
            cells.integer(amount.nanos)
            cells.integer(balanceAfter.nanos)
            cells.name(user, of: names)
            cells.name(model, of: names)
            cells.integer(overage.nanos)
            cells.integer(invoiced.nanos)
            SliceText.write(slices, to: &cells)
            guard let settlement else {
                for _ in 0..<3 { cells.null() }
                return
            }
            cells.text(settlement.authorization.text)
            cells.integer(Int64(settlement.kind.rawValue))
            cells.integer(settlement.held.nanos)
        }
    }
    private struct Spender: Hashable {
        var org: UInt32
        var user: UInt32
    }
    private struct Spent {
        var charged: Int64 = 0
        var overage: Int64 = 0
    }
    private struct Place {
        var flushes: UInt64
        var place: Int
    }

    var rows = BookRows()
    private var names = NamePool()
    private var pending: [Pending] = []
    private var spent = Gathered<Spender, Spent>()
    /// Where the last call of a shape was added.
    private var lastPlaces = ShapeMemory<Place>()
    private var flushes: UInt64 = 0
    private var corrected: [(call: UInt64, position: UInt64)] = []
    private var settled: [(position: UInt64, settlement: Settlement)] = []
    private var denied: [(org: UInt32, position: UInt64)] = []

    public init() {}

    mutating func loadOwn(from database: Database, at position: UInt64, log: any RecordSource) throws {}

    mutating func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws {
        if let settlement = outcome.settlement, !outcome.movements.contains(where: { $0.kind == .charge }) {
            settled.append((record.position, settlement))
        }
        if case .authorizationDenied(let denial) = record.event.fact, let org = denial.subject.org {
            denied.append((names.number(of: org), record.position))
        }
        if let standing = record.event.fact.unwinds { corrected.append((standing.original, record.position)) }
        if outcome.movements.isEmpty { return }
        let stated = chargedCall(record)
        let call = stated.map { names.numbers(of: $0) }
        let (chargedModel, refundedModel) = try models(record, call: call, log: log)
        var seq: UInt32 = 0
        for movement in outcome.movements {
            var isUser = false
            if case .user = movement.owner { isUser = true }
            // A call is charged to its own org or user.
            let charged = movement.kind == .charge ? call : nil
            let owner = charged.map { isUser ? $0.user : $0.org } ?? names.number(of: movement.owner.name)
            let user = charged?.user ?? names.number(of: movement.user)
            let model = movement.kind == .charge ? chargedModel : movement.kind == .refund ? refundedModel : 0
            pending.append(
                Pending(
                    owner: owner, user: user, model: model, isUser: isUser, kind: movement.kind, seq: seq,
                    position: record.position, at: record.occurredAt, amount: movement.amount,
                    balanceAfter: movement.balanceAfter, overage: movement.overage, invoiced: movement.invoiced,
                    slices: movement.slices, settlement: movement.kind == .charge ? outcome.settlement : nil))
            seq += 1
            guard !isUser, user != 0, movement.kind == .charge || movement.kind == .refund else { continue }
            // Sums of parts of the account's own sums, which admission keeps within 64 bits.
            let place = spentPlace(of: Spender(org: owner, user: user), stated?.shape)
            spent[place].charged -= movement.amount.nanos
            if movement.overage != .zero { spent[place].overage += movement.overage.nanos }
        }
    }

    /// Where a spender's sums are gathered; `shape` is that of a call that names the org and the user.
    private mutating func spentPlace(of spender: Spender, _ shape: CallShape?) -> Int {
        guard let shape else { return spent.place(of: spender, new: Spent()) }
        if let known = lastPlaces[shape], known.flushes == flushes { return known.place }
        let place = spent.place(of: spender, new: Spent())
        lastPlaces[shape] = Place(flushes: flushes, place: place)
        return place
    }

    private func chargedCall(_ record: Record) -> Call? {
        switch record.event.fact {
        case .call(let call), .usage(let call): call
        default: nil
        }
    }

    /// Of what a record charges, and of what it gives back.
    private mutating func models(
        _ record: Record, call: CallNames?, log: any RecordSource
    ) throws -> (charged: UInt32, refunded: UInt32) {
        if let call { return (call.model, 0) }
        switch record.event.fact {
        case .callVoided(let voided):
            return (0, names.number(of: try voided.unwinds.map { try $0.call(in: log) }?.model))
        case .callAmended(let amended):
            let old = try amended.unwinds.map { try $0.call(in: log) }
            return (names.number(of: amended.call.model), names.number(of: old?.model))
        default:
            return (0, 0)
        }
    }

    mutating func drain(into sink: any RowSink) throws {
        let order = sink.prefersKeyOrder ? orderByOwner() : nil
        let names = names
        try pending.withUnsafeBufferPointer { pending in
            try sink.append(pending.count, to: Credits.movements) { index, cells in
                guard let start = pending.baseAddress else { return }
                start[order?[index] ?? index].fill(&cells, names: names)
            }
        }
        pending.removeAll(keepingCapacity: true)
    }

    mutating func flushOwn(into sink: any RowSink) throws {
        try drain(into: sink)
        let names = names
        let spenders = spent.rows
        try sink.add(spenders.count, to: Credits.spending) { index, cells in
            cells.name(spenders[index].key.org, of: names)
            cells.name(spenders[index].key.user, of: names)
            cells.integer(spenders[index].sums.charged)
            cells.integer(spenders[index].sums.overage)
        }
        spent.removeAll()
        flushes &+= 1
        for item in corrected {
            try sink.append(
                [], key: [.integer(Int64(item.call)), .integer(Int64(item.position))], to: Credits.corrected)
        }
        corrected.removeAll(keepingCapacity: true)
        try sink.append(settled.count, to: Credits.settlements) { [settled] index, cells in
            let (position, settlement) = settled[index]
            cells.integer(Int64(position))
            cells.text(settlement.authorization.text)
            cells.integer(Int64(settlement.kind.rawValue))
            cells.integer(settlement.held.nanos)
        }
        settled.removeAll(keepingCapacity: true)
        try sink.append(denied.count, to: Credits.denials) { [denied] index, cells in
            cells.name(denied[index].org, of: names)
            cells.integer(Int64(denied[index].position))
        }
        denied.removeAll(keepingCapacity: true)
        self.names.trim()
    }

    /// Indexes of `pending`, an owner's movements one after the other: neighbours in the table's B-tree.
    private func orderByOwner() -> [Int] {
        // Field by field: a copy of a movement would count references to its slices.
        func place(_ index: Int) -> Int { Int(pending[index].owner) * 2 + (pending[index].isUser ? 1 : 0) }
        var starts: [Int] = []
        for index in pending.indices {
            let place = place(index)
            while starts.count <= place + 1 { starts.append(0) }
            starts[place + 1] += 1
        }
        for place in starts.indices.dropFirst() { starts[place] += starts[place - 1] }
        var order = [Int](repeating: 0, count: pending.count)
        for index in pending.indices {
            let place = place(index)
            order[starts[place]] = index
            starts[place] += 1
        }
        return order
    }
}

/// Slices as text: "amount lot" a line. Names hold no control characters, so a line feed ends one.
enum SliceText {
    static func write(_ slices: [Slice], to cells: inout RowCells) {
        cells.beginText()
        var isFirst = true
        for slice in slices {
            if !isFirst { cells.piece(byte: 0x0A) }
            isFirst = false
            cells.piece(decimal: slice.amount.nanos)
            cells.piece(byte: 0x20)
            cells.piece(slice.lot.text)
        }
        cells.endText()
    }

    /// Traps on what `write` never made.
    static func read(_ text: String) -> [Slice] {
        text.utf8.split(separator: 0x0A).map { line in
            guard let space = line.firstIndex(of: 0x20), let nanos = Int64(String(line[..<space]) ?? ""),
                let lot = Name(bytes: line[line.index(after: space)...])
            else { preconditionFailure("not a slice: \(text)") }
            return Slice(lot: lot, amount: Money(nanos: nanos))
        }
    }
}
