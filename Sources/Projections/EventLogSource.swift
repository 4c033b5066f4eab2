public import Billing
public import EventLog
public import Hashing
public import Records

/// The daemon's log as projections read it.
public struct EventLogSource: RecordSource {
    private let log: EventLog
    private let candidates: (@Sendable (Digest) throws -> [UInt64])?

    /// - Parameter candidates: positions that may have a key hash (`IdempotencyKey.hash`), from an index, which may be
    ///   behind; called on projectors' threads. Each is checked against its record; when none fits, or without an
    ///   index, the whole log is scanned. Only corrections of calls ask.
    public init(_ log: EventLog, candidates: (@Sendable (Digest) throws -> [UInt64])? = nil) {
        self.log = log
        self.candidates = candidates
    }

    public var highWater: UInt64 { log.highWater }

    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        try log.read(after: position, recordsMax: recordsMax, bytesMax: bytesMax) { position, bytes in
            try body(try Self.decode(bytes, at: position))
        }
    }

    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, decoder: RecordDecoder,
        _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        try log.read(after: position, recordsMax: recordsMax, bytesMax: bytesMax) { position, bytes in
            try body(try Self.decode(bytes, at: position, with: decoder))
        }
    }

    public func record(at position: UInt64) throws -> Record? {
        try log.withRecord(at: position) { try Self.decode($0, at: position) }
    }

    /// A record out of the log's bytes. Throws `RecordFault`.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, at position: UInt64, with decoder: RecordDecoder? = nil
    ) throws(RecordFault) -> Record {
        let record: Record
        do throws(RecordError) {
            record = if let decoder { try decoder.decode(bytes) } else { try RecordCodec.decode(bytes) }
        } catch {
            throw RecordFault(position: position, reason: "cannot be read: \(error)")
        }
        guard record.position == position else {
            throw RecordFault(position: position, reason: "says that its position is \(record.position)")
        }
        return record
    }

    public func position(source: Name, id: Name, before limit: UInt64) throws -> UInt64? {
        for position in try candidates?(IdempotencyKey(source: source, id: id).hash) ?? [] where position < limit {
            if let event = try record(at: position)?.event, event.source == source, event.id == id { return position }
        }
        return try scan(source: source, id: id, before: limit)
    }

    public func onAppend(_ body: @escaping @Sendable (UInt64) -> Void) {
        log.onAppend(body)
    }
}
