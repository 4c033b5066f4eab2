public import Billing
public import Records

/// The log as projections need it: records by position, from any thread.
public protocol RecordSource: Sendable {
    /// The last durable position, 0 when there is none.
    var highWater: UInt64 { get }
    /// Calls `body` with the records after `position`, in order: at most about `recordsMax` records or `bytesMax` bytes
    /// of them. Gives the position of the last one, or `position` when there is none.
    func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, _ body: (Record) throws -> Void
    ) throws -> UInt64
    /// The same, decoded by `decoder`, which is the reader's own: it remembers what calls have in common.
    func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, decoder: RecordDecoder,
        _ body: (Record) throws -> Void
    ) throws -> UInt64
    /// Nil past the high water.
    func record(at position: UInt64) throws -> Record?
    /// The position of the record with this idempotency key, when it is before `limit`.
    func position(source: Name, id: Name, before limit: UInt64) throws -> UInt64?
    /// `body` is called after each append with the new high water, on the appending thread: it must be cheap.
    func onAppend(_ body: @escaping @Sendable (UInt64) -> Void)
}

extension RecordSource {
    /// How much a scan reads at a time.
    static var scanRecords: Int { 10_000 }
    static var scanBytes: Int { 8 << 20 }

    /// For sources that hold records already.
    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, decoder: RecordDecoder,
        _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        try read(after: position, recordsMax: recordsMax, bytesMax: bytesMax, body)
    }

    /// Without an index there is only looking at every record. Right, and slow: a source over a large log has something
    /// better (the writer's index of keys).
    public func position(source: Name, id: Name, before limit: UInt64) throws -> UInt64? {
        try scan(source: source, id: id, before: limit)
    }

    func scan(source: Name, id: Name, before limit: UInt64) throws -> UInt64? {
        var found: UInt64?
        var after: UInt64 = 0
        while found == nil && after + 1 < limit {
            // Not past the limit: what is there may not even be readable.
            let recordsMax = Int(min(limit - 1 - after, UInt64(Self.scanRecords)))
            let last = try read(after: after, recordsMax: recordsMax, bytesMax: Self.scanBytes) { record in
                guard found == nil, record.position < limit else { return }
                if record.event.id == id && record.event.source == source { found = record.position }
            }
            if last == after { break }
            after = last
        }
        return found
    }
}

/// A record that cannot be read, or that a fold cannot take: that projector stops before it, alone.
public struct RecordFault: Error, Hashable, Sendable, CustomStringConvertible {
    public var position: UInt64
    public var reason: String

    public init(position: UInt64, reason: String) {
        self.position = position
        self.reason = reason
    }

    public var description: String { "record \(position): \(reason)" }
}
