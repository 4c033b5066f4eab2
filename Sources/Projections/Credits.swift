internal import Billing
public import Records
public import SQLite
internal import Schemas

/// Balances, lots and allocations as they stand, and every movement that led there.
public struct Credits: Projection {
    public static let name = "credits"
    public static let schemaVersion = 1
    public static var schema: [UInt8] { Schema.book + Schema.credits }
    public static let tables = book.all + [movements, spending]

    static let book = BookRows.Tables(firstTag: 1)
    static let movements = Table(
        "movements", tag: 6, kind: .appended,
        keys: [.integer("owner_kind"), .name("owner"), .integer("position"), .integer("seq")],
        values: [
            .integer("at"), .integer("kind"), .integer("amount"), .integer("balance_after"), .name("user"),
            .name("model"), .integer("overage"), .integer("invoiced"), .text("slices"),
        ])
    static let spending = Table(
        "spending", tag: 7, kind: .sums, keys: [.name("org"), .name("user")],
        values: [.integer("charged"), .integer("overage")])

    private struct Pending {
        var movement: Movement
        var position: UInt64
        var seq: Int
        var at: Timestamp
        var model: Name?
    }
    private struct Spender: Hashable {
        var org: Name
        var user: Name
    }
    private struct Spent {
        var charged: Int64 = 0
        var overage: Int64 = 0
    }

    private var rows = BookRows(tables: Credits.book)
    private var pending: [Pending] = []
    private var spent: [Spender: Spent] = [:]

    public init() {}

    public mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try rows.load(from: database, log: log)
    }

    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        let outcome = try rows.apply(record)
        if outcome.movements.isEmpty { return }
        var model: Name?
        if case .call(let call) = record.event.fact { model = call.model }
        if case .usage(let call) = record.event.fact { model = call.model }
        for (seq, movement) in outcome.movements.enumerated() {
            pending.append(
                Pending(movement: movement, position: record.position, seq: seq, at: record.occurredAt, model: model))
            guard case .org(let org) = movement.owner, let user = movement.user, movement.kind == .charge else {
                continue
            }
            // Sums of parts of the account's own sums, which admission keeps within 64 bits.
            spent[Spender(org: org, user: user), default: Spent()].charged -= movement.amount.nanos
            spent[Spender(org: org, user: user), default: Spent()].overage += movement.overage.nanos
        }
    }

    public mutating func flush(into sink: any RowSink) throws {
        // Neighbours in the table's B-tree one after the other.
        pending.sort { left, right in
            if left.movement.owner != right.movement.owner { return left.movement.owner < right.movement.owner }
            return (left.position, left.seq) < (right.position, right.seq)
        }
        for item in pending {
            let movement = item.movement
            try sink.append(
                [
                    .integer(item.at.microseconds), .integer(Int64(movement.kind.rawValue)),
                    .integer(movement.amount.nanos), .integer(movement.balanceAfter.nanos),
                    movement.user.map { .text($0.text) } ?? .null, item.model.map { .text($0.text) } ?? .null,
                    .integer(movement.overage.nanos), .integer(movement.invoiced.nanos),
                    .text(SliceText.write(movement.slices)),
                ],
                key: BookRows.cells(movement.owner) + [.integer(Int64(item.position)), .integer(Int64(item.seq))],
                to: Credits.movements)
        }
        pending.removeAll(keepingCapacity: true)
        try sink.add(
            spent.map { key, sums in
                SumRow(key: [.text(key.org.text), .text(key.user.text)], sums: [sums.charged, sums.overage])
            }, to: Credits.spending)
        spent.removeAll(keepingCapacity: true)
        try rows.flush(into: sink)
    }
}

/// Slices as text: "amount lot" a line. Names hold no control characters, so a line feed ends one.
enum SliceText {
    static func write(_ slices: [Slice]) -> String {
        var text = ""
        for slice in slices {
            if !text.isEmpty { text += "\n" }
            text += "\(slice.amount.nanos) \(slice.lot.text)"
        }
        return text
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
