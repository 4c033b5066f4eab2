internal import Billing
internal import SQLite

/// Calls that were charged 0 for want of a price, as they stand: a row goes when its call is voided or amended, and
/// comes again where the amended call has no price either.
struct UnpricedCalls {
    static func table(tag: UInt8) -> Table {
        Table(
            "unpriced", tag: tag, kind: .rows, keys: [.integer("position")],
            values: [
                .integer("time"), .name("org"), .name("user"), .name("provider"), .name("model"),
                .integer("operation"), .integer("reason"),
            ])
    }

    private let table: Table
    /// By position of the record that states the call; an empty row is one to remove.
    private var pending: [UInt64: [Value]] = [:]

    init(table: Table) {
        self.table = table
    }

    mutating func add(_ call: Call, at position: UInt64, occurredAt: Timestamp, reason: Rating.Unpriced) {
        pending[position] = [
            .integer(occurredAt.microseconds), cell(call.org), cell(call.user), cell(call.provider), cell(call.model),
            .integer(Int64(call.operation.rawValue)), .integer(Int64(reason.rawValue)),
        ]
    }

    mutating func remove(at position: UInt64) {
        pending[position] = []
    }

    mutating func flush(into sink: any RowSink) throws {
        if pending.isEmpty { return }
        let rows = pending.sorted { $0.key < $1.key }
        for (position, row) in rows where row.isEmpty {
            try sink.remove(key: [.integer(Int64(position))], from: table)
        }
        let listed = rows.filter { !$0.value.isEmpty }
        try sink.put(listed.count, in: table) { index, cells in
            cells.integer(Int64(listed[index].key))
            for cell in listed[index].value { cells.append(cell) }
        }
        pending.removeAll(keepingCapacity: true)
    }

    private func cell(_ name: Name?) -> Value { name.map { .text($0.text) } ?? .null }
}
