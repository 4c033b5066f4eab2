public import Billing
public import Hashing

// What is hashed of a record, and what can be read of one without decoding it.
extension RecordCodec {
    /// SHA-256(0x00 || record bytes): the leaf hash of RFC 6962 section 2.1.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
        SHA256.hash(prefix: 0, bytes)
    }

    /// Of what was sent: the type, the time as stated (absent is absent) and the data. Not the source, the id, the
    /// door, the posting key, nor the owner that admission found behind a subscription.
    public static func contentHash(_ event: Event) -> Digest {
        var writer = RecordWriter(bytes: [])
        writer.bytes.reserveCapacity(256)
        writer.content(event.fact)
        return writer.bytes.withUnsafeBytes {
            contentHash(kind: RecordKind(event.fact), time: event.time, content: $0)
        }
    }

    static func contentHash(kind: RecordKind, time: Timestamp?, content: UnsafeRawBufferPointer) -> Digest {
        var head: (UInt64, UInt64) = (0, 0)
        return withUnsafeMutableBytes(of: &head) { bytes in
            bytes[0] = kind.rawValue
            bytes[1] = time == nil ? 0 : 1
            bytes.storeBytes(of: (time?.microseconds ?? 0).littleEndian, toByteOffset: 2, as: Int64.self)
            var hash = SHA256()
            hash.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<10]))
            hash.update(content)
            return hash.finalize()
        }
    }

    /// The kind of a record, without decoding the rest; nil when these bytes do not start as a record of ours does.
    public static func kind(_ bytes: UnsafeRawBufferPointer) -> RecordKind? {
        guard bytes.count >= Header.size, bytes[Header.version] == version else { return nil }
        return RecordKind(rawValue: bytes[Header.kind])
    }

    /// The door of a record, without decoding the rest.
    public static func door(_ bytes: UnsafeRawBufferPointer) -> Door? {
        guard bytes.count >= Header.size, bytes[Header.version] == version else { return nil }
        return Door(rawValue: bytes[Header.door])
    }

    /// The position of a record, without decoding the rest; 0 when it was not stamped.
    public static func position(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard bytes.count >= Header.size, bytes[Header.version] == version else { return nil }
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: Header.position, as: UInt64.self))
    }

    /// Hashes of a stored record, without decoding it: for the index of keys, which is a fold of the log. Equal to
    /// those of its key and event. Nil when these bytes do not add up.
    public static func hashes(_ bytes: UnsafeRawBufferPointer) -> RecordHashes? {
        guard let kind = kind(bytes) else { return nil }
        let flags = bytes[Header.flags]
        let length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: Header.contentLength, as: UInt32.self))
        let time = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: Header.statedTime, as: Int64.self))
        var offset = Header.size
        func pastName() -> Bool {
            guard offset < bytes.count else { return false }
            offset += Int(bytes[offset]) + 2
            return offset <= bytes.count
        }
        guard pastName(), pastName() else { return nil }
        let key = UnsafeRawBufferPointer(rebasing: bytes[Header.size..<offset])
        if flags & Flag.key != 0 {
            guard pastName() else { return nil }
        }
        var space = flags & Flag.daemonSpace == 0 ? KeySpace.common : .daemon
        if flags & Flag.orgSpace != 0 {
            let start = offset
            guard pastName(), let org = Name(buffer: UnsafeRawBufferPointer(rebasing: bytes[start + 1..<offset])) else {
                return nil
            }
            space = .org(org)
        }
        if flags & Flag.wholeID != 0 {
            guard bytes.count - offset >= 2 else { return nil }
            let count = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            offset += Int(count) + 2
            guard offset <= bytes.count else { return nil }
        }
        guard Int(length) <= bytes.count - offset else { return nil }
        let content = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(length)])
        let stated = flags & Flag.time == 0 ? nil : Timestamp(microseconds: time)
        return RecordHashes(
            space: space, sourceAndID: key, content: contentHash(kind: kind, time: stated, content: content))
    }
}

/// Hashes under which the index of keys has a record.
public struct RecordHashes: Hashable, Sendable {
    /// Of its idempotency key.
    public var key: Digest
    /// Of its `source` and `id` in whichever org's space; nil for a record that is in none.
    public var keyInAnyOrg: Digest?
    /// Of what was sent.
    public var content: Digest

    /// - Parameter sourceAndID: as the key section of a record spells them.
    init(space: KeySpace, sourceAndID: UnsafeRawBufferPointer, content: Digest) {
        // Nearly every key: no copy of its bytes.
        key =
            space == .common
            ? SHA256.hash(sourceAndID) : IdempotencyKey.hash(space) { $0.bytes.append(contentsOf: sourceAndID) }
        keyInAnyOrg =
            space.org == nil ? nil : IdempotencyKey.hashInAnyOrg { $0.bytes.append(contentsOf: sourceAndID) }
        self.content = content
    }
}
