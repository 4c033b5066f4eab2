import Billing
import Platform
import Projections
import Records
import TestEvents

/// A log in memory.
final class ArraySource: RecordSource {
    private struct State {
        var records: [Record] = []
        var positions: [Name: UInt64] = [:]
        var callbacks: [@Sendable (UInt64) -> Void] = []
        /// Reads hand over at most this many records: batches are cut wherever the test says.
        var readMax = Int.max
        var unreadable: UInt64?
    }
    private let state: Lock<State>

    init(_ records: [Record] = []) {
        state = Lock(State())
        append(records)
    }

    var records: [Record] { state.withLock { $0.records } }

    func append(_ more: some Sequence<Record>) {
        let (highWater, callbacks) = state.withLock { state in
            for record in more {
                state.records.append(record)
                state.positions[record.event.id] = record.position
            }
            return (UInt64(state.records.count), state.callbacks)
        }
        for callback in callbacks { callback(highWater) }
    }

    func append(_ fact: Fact, at time: Timestamp? = nil, id: Name? = nil) {
        let next = UInt64(records.count + 1)
        append([
            Record(
                position: next, recordedAt: Timestamp(microseconds: Int64(next)), door: .native, key: nil,
                event: Event(source: "test", id: id ?? Name(checked: "id-\(next)"), time: time, fact: fact))
        ])
    }

    func cutReads(at count: Int) { state.withLock { $0.readMax = count } }
    func breakRecord(at position: UInt64?) { state.withLock { $0.unreadable = position } }

    var highWater: UInt64 { state.withLock { UInt64($0.records.count) } }

    func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        let (chunk, unreadable) = state.withLock { state in
            (Array(state.records.dropFirst(Int(position)).prefix(min(recordsMax, state.readMax))), state.unreadable)
        }
        for record in chunk {
            if record.position == unreadable { throw RecordFault(position: record.position, reason: "is torn") }
            try body(record)
        }
        return chunk.last?.position ?? position
    }

    func record(at position: UInt64) throws -> Record? {
        state.withLock { state in
            position >= 1 && position <= state.records.count ? state.records[Int(position) - 1] : nil
        }
    }

    /// All sources are "test": the id alone is the key.
    func position(source: Name, id: Name, before limit: UInt64) throws -> UInt64? {
        state.withLock { $0.positions[id] }.flatMap { $0 < limit ? $0 : nil }
    }

    func onAppend(_ body: @escaping @Sendable (UInt64) -> Void) {
        state.withLock { $0.callbacks.append(body) }
    }
}
