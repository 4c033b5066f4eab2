public import Billing
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

    /// - Parameter reader: the org that may read nothing of others. What was unwound of another org's (a call that an
    ///   amendment moved here) is left out for it.
    public func write(into writer: inout JSONWriter, for reader: Name? = nil) {
        writer.beginObject()
        writer.member("position", integer: record.position)
        writer.member("recorded_at", string: record.recordedAt.rfc3339)
        writer.member("occurred_at", string: record.occurredAt.rfc3339)
        writer.member("door", string: record.door.name)
        if let key = record.key { writer.member("key", string: key.text) }
        switch record.space {
        case .common: break
        case .daemon: writer.member("space", string: "daemon")
        case .org(let org):
            writer.member("space", string: "org")
            writer.member("space_org", string: org.text)
        }
        writer.member("record_hash", string: hash.hex)
        writer.key("event")
        NativeFormat.write(reader.map { record.event.told(to: $0) } ?? record.event, into: &writer)
        // What admission found behind a correction is in no event: the bytes say it.
        if let standing = record.event.fact.unwinds, reader == nil || standing.org == reader {
            writer.member("record_hex", string: Hex.text(bytes))
        }
        writer.endObject()
    }

    /// The record's canonical bytes.
    private var bytes: [UInt8] {
        var bytes: [UInt8] = []
        RecordCodec.encode(record, into: &bytes)
        return bytes
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
        var space: String?
        var spaceOrg: Name?
        var hash: Digest?
        var event: Event?
        var whole: Record?
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
            case "space": space = try reader.string()
            case "space_org": spaceOrg = Name(try reader.string())
            case "record_hash": hash = Digest(hex: try reader.string())
            case "event":
                do {
                    event = try NativeFormat.parseEvent(&reader, allowDaemonTypes: true).result.get()
                } catch let error as FieldError {
                    throw FormError(description: "event.\(error.field): \(error.detail)")
                }
            case "record_hex":
                guard let bytes = Hex.bytes(try reader.string().utf8) else {
                    throw FormError(description: "record_hex is not hexadecimal")
                }
                whole = try bytes.withUnsafeBytes { try RecordCodec.decode($0) }
            default: throw FormError(description: "unknown member \(name)")
            }
        }
        try reader.end()
        guard let position, let recordedAt, let door, let hash, let event else {
            throw FormError(description: "position, recorded_at, door, record_hash and event are needed")
        }
        let record = Record(
            position: position, recordedAt: recordedAt, door: door, key: key,
            space: try keySpace(space, org: spaceOrg, of: door), event: event)
        if let whole {
            guard whole.position == position, whole.recordedAt == recordedAt, whole.door == door, whole.key == key,
                whole.idempotencyKey == record.idempotencyKey,
                RecordCodec.contentHash(whole.event) == RecordCodec.contentHash(event)
            else { throw FormError(description: "record_hex is another record than the event beside it") }
            return StoredEvent(record: whole, hash: hash)
        }
        return StoredEvent(record: record, hash: hash)
    }

    private static func keySpace(_ text: String?, org: Name?, of door: Door) throws -> KeySpace {
        switch (text, org) {
        case (nil, nil): return .common
        case ("daemon", nil) where door == .daemon: return .daemon
        case ("org", let org?) where door != .daemon: return .org(org)
        default: throw FormError(description: "space and space_org say nothing that a record can have")
        }
    }
}

extension Event {
    /// Without what a correction says of another org than the reader's: whose call it was before.
    fileprivate func told(to reader: Name) -> Event {
        guard let org = fact.corrects?.org, org != reader else { return self }
        var event = self
        switch fact {
        case .callVoided(var voided):
            voided.org = nil
            event.fact = .callVoided(voided)
        case .callAmended(var amended):
            amended.org = nil
            event.fact = .callAmended(amended)
        default: preconditionFailure("\(fact.type) corrects nothing")
        }
        return event
    }
}
