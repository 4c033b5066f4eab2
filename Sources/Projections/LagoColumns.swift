internal import Billing
internal import SQLite

/// Lines and batches as cells, and back: one order of columns for open and sealed lines.
enum LagoColumns {
    static let key: [Table.Column] = [
        .name("subscription"), .integer("window_start"), .integer("window_seconds"), .name("provider"), .name("model"),
        .integer("operation"),
    ]
    static let sums: [Table.Column] = [
        .integer("calls"), .sum("input_tokens"), .sum("output_tokens"), .sum("cache_read_tokens"),
        .sum("cache_write_tokens"), .sum("reasoning_tokens"), .sum("images"), .sum("audio_micros"),
        .sum("characters"), .sum("searches"), .sum("charge"), .sum("invoiced"), .integer("last_at"),
        .integer("first_position"), .integer("last_position"),
    ]
    /// Among the values of a batch: its state; detail and position of the state come after it.
    static let batchState = 6

    static func cells(_ key: LagoLineKey) -> [Value] {
        [
            .text(key.subscription.text), .integer(key.windowStart), .integer(key.windowSeconds),
            .text(key.provider.text), .text(key.model.text), .integer(Int64(key.operation.rawValue)),
        ]
    }

    static func fill(_ cells: inout RowCells, _ key: LagoLineKey) {
        cells.text(key.subscription.text)
        cells.integer(key.windowStart)
        cells.integer(key.windowSeconds)
        cells.text(key.provider.text)
        cells.text(key.model.text)
        cells.integer(Int64(key.operation.rawValue))
    }

    static func fill(_ cells: inout RowCells, _ sums: LagoSums) {
        cells.integer(sums.calls)
        cells.sum(sums.inputTokens)
        cells.sum(sums.outputTokens)
        cells.sum(sums.cacheReadTokens)
        cells.sum(sums.cacheWriteTokens)
        cells.sum(sums.reasoningTokens)
        cells.sum(sums.images)
        cells.sum(sums.audioMicros)
        cells.sum(sums.characters)
        cells.sum(sums.searches)
        cells.sum(sums.charge.nanos)
        cells.sum(sums.invoiced.nanos)
        cells.integer(sums.lastAt.microseconds)
        cells.integer(Int64(sums.firstPosition))
        cells.integer(Int64(sums.lastPosition))
    }

    static func cells(_ id: LagoBatchID) -> [Value] { [.integer(Int64(id.position)), .integer(id.number)] }

    static func cells(_ batch: LagoBatch) -> [Value] {
        [
            .integer(batch.windowStart), .integer(batch.windowSeconds), .integer(Int64(batch.firstPosition)),
            .integer(Int64(batch.lastPosition)), .integer(batch.lines), .integer(batch.events),
            .integer(Int64(batch.state.rawValue)), batch.detail.map { .text($0) } ?? .null,
            .integer(Int64(batch.statePosition)),
        ]
    }

    /// The key in the columns from `first` on.
    static func key(_ row: Statement, _ first: Int) -> LagoLineKey {
        guard let operation = Call.Operation(rawValue: UInt8(row.integer(at: first + 5))) else {
            preconditionFailure("line of operation \(row.integer(at: first + 5))")
        }
        return LagoLineKey(
            subscription: BookRows.name(row, first), windowStart: row.integer(at: first + 1),
            windowSeconds: row.integer(at: first + 2), provider: BookRows.name(row, first + 3),
            model: BookRows.name(row, first + 4), operation: operation)
    }

    static func sums(_ row: Statement, _ first: Int) -> LagoSums {
        var sums = LagoSums(
            at: Timestamp(microseconds: row.integer(at: first + 12)), position: UInt64(row.integer(at: first + 13)))
        sums.calls = row.integer(at: first)
        sums.inputTokens = row.sum(at: first + 1)
        sums.outputTokens = row.sum(at: first + 2)
        sums.cacheReadTokens = row.sum(at: first + 3)
        sums.cacheWriteTokens = row.sum(at: first + 4)
        sums.reasoningTokens = row.sum(at: first + 5)
        sums.images = row.sum(at: first + 6)
        sums.audioMicros = row.sum(at: first + 7)
        sums.characters = row.sum(at: first + 8)
        sums.searches = row.sum(at: first + 9)
        sums.charge = MoneySum(nanos: row.sum(at: first + 10))
        sums.invoiced = MoneySum(nanos: row.sum(at: first + 11))
        sums.lastPosition = UInt64(row.integer(at: first + 14))
        return sums
    }

    /// From a row of `Lago.lines.scanSQL`.
    static func line(_ row: Statement) -> LagoLine {
        LagoLine(
            position: UInt64(row.integer(at: 0)), number: row.integer(at: 1), batch: row.integer(at: 2),
            key: key(row, 3), sums: sums(row, 3 + key.count))
    }

    /// From a row of `Lago.batches.scanSQL`.
    static func batch(_ row: Statement) -> LagoBatch {
        guard let state = LagoBatch.State(rawValue: UInt8(row.integer(at: 8))) else {
            preconditionFailure("batch of state \(row.integer(at: 8))")
        }
        return LagoBatch(
            id: LagoBatchID(position: UInt64(row.integer(at: 0)), number: row.integer(at: 1)),
            windowStart: row.integer(at: 2), windowSeconds: row.integer(at: 3),
            firstPosition: UInt64(row.integer(at: 4)), lastPosition: UInt64(row.integer(at: 5)),
            lines: row.integer(at: 6), events: row.integer(at: 7), state: state,
            detail: row.isNull(at: 9) ? nil : row.text(at: 9), statePosition: UInt64(row.integer(at: 10)))
    }
}
