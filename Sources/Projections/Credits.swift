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

    /// A movement with names as numbers: a million of them may be gathered before a flush.
    private struct Pending {
        var owner: UInt32
        var user: UInt32
        var model: UInt32
        var isUser: Bool
        var kind: Movement.Kind
        var seq: UInt8
        var position: UInt64
        var at: Timestamp
        var amount: Money
        var balanceAfter: Money
        var overage: Money
        var invoiced: Money
        /// In `sliceTexts`.
        var slices: Range<Int>
    }
    private struct Spender: Hashable {
        var org: UInt32
        var user: UInt32
    }
    private struct Spent {
        var charged: Int64 = 0
        var overage: Int64 = 0
    }

    private var rows = BookRows(tables: Credits.book)
    private var names = NamePool()
    private var pending: [Pending] = []
    private var spent = Gathered<Spender, Spent>()
    /// The slices of all pending movements, as text one after the other.
    private var sliceTexts: [UInt8] = []

    public init() {}

    public mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try rows.load(from: database, log: log)
    }

    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        let outcome = try rows.apply(record)
        if outcome.movements.isEmpty { return }
        var call: CallNames?
        switch record.event.fact {
        case .call(let made), .usage(let made): call = names.numbers(of: made)
        default: break
        }
        let model = call?.model ?? 0
        var seq: UInt8 = 0
        for movement in outcome.movements {
            var isUser = false
            if case .user = movement.owner { isUser = true }
            // What a call moves is its own org's and user's.
            let owner = call.map { isUser ? $0.user : $0.org } ?? names.number(of: movement.owner.name)
            let user = call?.user ?? names.number(of: movement.user)
            pending.append(
                Pending(
                    owner: owner, user: user, model: model, isUser: isUser, kind: movement.kind, seq: seq,
                    position: record.position, at: record.occurredAt, amount: movement.amount,
                    balanceAfter: movement.balanceAfter, overage: movement.overage, invoiced: movement.invoiced,
                    slices: SliceText.append(movement.slices, to: &sliceTexts)))
            seq += 1
            guard !isUser, user != 0, movement.kind == .charge else { continue }
            // Sums of parts of the account's own sums, which admission keeps within 64 bits.
            let place = spent.place(of: Spender(org: owner, user: user), new: Spent())
            spent[place].charged -= movement.amount.nanos
            if movement.overage > .zero { spent[place].overage += movement.overage.nanos }
        }
    }

    public mutating func flush(into sink: any RowSink) throws {
        let order = orderByOwner()
        try sink.append(order.count, to: Credits.movements) { index, cells in
            let item = pending[order[index]]
            cells.integer(item.isUser ? 1 : 0)
            cells.name(item.owner, of: names)
            cells.integer(Int64(item.position))
            cells.integer(Int64(item.seq))
            cells.integer(item.at.microseconds)
            cells.integer(Int64(item.kind.rawValue))
            cells.integer(item.amount.nanos)
            cells.integer(item.balanceAfter.nanos)
            cells.name(item.user, of: names)
            cells.name(item.model, of: names)
            cells.integer(item.overage.nanos)
            cells.integer(item.invoiced.nanos)
            sliceTexts.withUnsafeBytes { cells.text(utf8: UnsafeRawBufferPointer(rebasing: $0[item.slices])) }
        }
        pending.removeAll(keepingCapacity: true)
        sliceTexts.removeAll(keepingCapacity: true)
        let spenders = spent.rows
        try sink.add(spenders.count, to: Credits.spending) { index, cells in
            cells.name(spenders[index].key.org, of: names)
            cells.name(spenders[index].key.user, of: names)
            cells.integer(spenders[index].sums.charged)
            cells.integer(spenders[index].sums.overage)
        }
        spent.removeAll()
        names.trim()
        try rows.flush(into: sink)
    }

    /// Indexes of `pending`, an owner's movements one after the other: neighbours in the table's B-tree.
    private func orderByOwner() -> [Int] {
        func place(_ item: Pending) -> Int { Int(item.owner) * 2 + (item.isUser ? 1 : 0) }
        var starts: [Int] = []
        for index in pending.indices {
            let place = place(pending[index])
            while starts.count <= place + 1 { starts.append(0) }
            starts[place + 1] += 1
        }
        for place in starts.indices.dropFirst() { starts[place] += starts[place - 1] }
        var order = [Int](repeating: 0, count: pending.count)
        for index in pending.indices {
            let place = place(pending[index])
            order[starts[place]] = index
            starts[place] += 1
        }
        return order
    }
}

/// Slices as text: "amount lot" a line. Names hold no control characters, so a line feed ends one.
enum SliceText {
    /// Gives where it is in `text`.
    static func append(_ slices: [Slice], to text: inout [UInt8]) -> Range<Int> {
        let start = text.count
        for slice in slices {
            if text.count > start { text.append(0x0A) }
            write(slice.amount.nanos, into: &text)
            text.append(0x20)
            var lot = slice.lot.text
            lot.withUTF8 { text.append(contentsOf: $0) }
        }
        return start..<text.count
    }

    private static func write(_ number: Int64, into text: inout [UInt8]) {
        if number < 0 { text.append(0x2D) }
        let first = text.count
        var rest = number.magnitude
        repeat {
            text.append(UInt8(truncatingIfNeeded: rest % 10) + 0x30)
            rest /= 10
        } while rest > 0
        text[first...].reverse()
    }

    /// Traps on what `append` never made.
    static func read(_ text: String) -> [Slice] {
        text.utf8.split(separator: 0x0A).map { line in
            guard let space = line.firstIndex(of: 0x20), let nanos = Int64(String(line[..<space]) ?? ""),
                let lot = Name(bytes: line[line.index(after: space)...])
            else { preconditionFailure("not a slice: \(text)") }
            return Slice(lot: lot, amount: Money(nanos: nanos))
        }
    }
}
