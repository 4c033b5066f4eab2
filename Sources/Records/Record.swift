public import Billing

/// An event as stored.
public struct Record: Hashable, Sendable {
    /// 1-based; 0 in a record that was not stamped yet.
    public var position: UInt64
    /// When the daemon took it.
    public var recordedAt: Timestamp
    public var door: Door
    /// The name of the posting key; nil when the daemon itself wrote the event.
    public var key: Name?
    /// Space in which the event's (`source`, `id`) is one key.
    public var space: KeySpace
    public var event: Event

    public init(
        position: UInt64, recordedAt: Timestamp, door: Door, key: Name?, space: KeySpace = .common, event: Event
    ) {
        self.position = position
        self.recordedAt = recordedAt
        self.door = door
        self.key = key
        self.space = space
        self.event = event
    }

    public var idempotencyKey: IdempotencyKey {
        IdempotencyKey(space: space, source: event.source, id: event.id)
    }

    /// The client's time, or of receipt when it said none.
    public var occurredAt: Timestamp { event.time ?? recordedAt }
}

/// Bytes that are not a record of ours: what is wrong, and at which byte of the record.
public struct RecordError: Error, Hashable, Sendable, CustomStringConvertible {
    public var offset: Int
    public var reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    public var description: String { "byte \(offset) of the record: \(reason)" }
}
