internal import Billing
public import Hashing
public import JSON
public import Records

/// A record as people and `export` see it: the event, its position, its times, its hash. Lossless: `parse` gives back
/// the record that was written.
public struct StoredEvent: Sendable {
    public var record: Record
    public var hash: Digest

    public init(record: Record, hash: Digest) {
        self.record = record
        self.hash = hash
    }

    public func write(into writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("position", integer: record.position)
        writer.member("recorded_at", string: record.recordedAt.rfc3339)
        writer.member("occurred_at", string: record.occurredAt.rfc3339)
        writer.member("door", string: record.door.name)
        if let key = record.key { writer.member("key", string: key.text) }
        writer.member("record_hash", string: hash.hex)
        writer.key("event")
        NativeFormat.write(record.event, into: &writer)
        writer.endObject()
    }

    public struct FormError: Error, CustomStringConvertible {
        public var description: String
    }

    /// One line of an export. `occurred_at` follows from the event and is not read.
    public static func parse(_ line: [UInt8]) throws -> StoredEvent {
        var position: UInt64?
        var recordedAt: Timestamp?
        var door: Door?
        var key: Name?
        var hash: Digest?
        var event: Event?
        var reader = JSONReader(line)
        try reader.beginObject()
        while let name: String = try reader.nextKey() {
            switch name {
            case "position":
                position = UInt64(String(decoding: line[try reader.number()], as: UTF8.self))
            case "recorded_at": recordedAt = Timestamp(rfc3339: try reader.string())
            case "occurred_at": try reader.skip()
            case "door":
                let text = try reader.string()
                door = Door.allCases.first { $0.name == text }
            case "key": key = Name(try reader.string())
            case "record_hash": hash = Digest(hex: try reader.string())
            case "event":
                do {
                    event = try NativeFormat.parseEvent(&reader, allowDaemonTypes: true).result.get()
                } catch let error as FieldError {
                    throw FormError(description: "event.\(error.field): \(error.detail)")
                }
            default: throw FormError(description: "unknown member \(name)")
            }
        }
        try reader.end()
        guard let position, let recordedAt, let door, let hash, let event else {
            throw FormError(description: "position, recorded_at, door, record_hash and event are needed")
        }
        return StoredEvent(
            record: Record(position: position, recordedAt: recordedAt, door: door, key: key, event: event), hash: hash)
    }
}
