public import Hashing

/// All that one commit took: many records in one value of the log, under the key of its first position.
///
/// Format 1, all numbers little-endian:
/// ```
/// offset  size  field
///      0     4  magic: 54 4C 59 46 ("TLYF")
///      4     2  format version: 1
///      6     2  header size in bytes: 96
///      8     4  record count n: 1 ... 65,536
///     12     4  p, the bytes of all records together: 1 ... 67,108,864
///     16     8  position of the first record; equal to the key
///     24     8  recordedAt: microseconds since 1970, signed
///     32    32  hash of the frame before; zeros in the first frame of the log
///     64    32  hash of this frame
///     96  12 n  table, for each record: 4 bytes end offset (of the record, from the first record's first byte,
///               ascending, the last equal to p), 8 bytes: the first eight of the record's hash
/// 96+12n     p  the records, one after the other
/// ```
/// record hash = SHA-256(00 || record). Frame hash = SHA-256(bytes 0 ... 63 of the header || every record hash, 32
/// bytes
/// each, in order). So every byte of a frame is under a hash: the end offsets by the record hashes that they cut, the
/// hash beginnings in the table by comparison. And every frame pins the whole history before it.
///
/// A frame is a view of bytes inside a read transaction: it must not leave the closure that it was given to.
public struct Frame {
    public static let magic: UInt32 = 0x4659_4C54
    public static let version: UInt16 = 1
    public static let headerSize = 96
    static let entrySize = 12
    /// The part of the header that the frame's hash covers.
    static let hashedHeaderSize = 64
    /// Records in one frame at most.
    public static let recordsMax = 65_536
    /// Bytes of records in one frame at most.
    public static let bytesMax = 64 << 20

    /// The whole value as stored.
    public let bytes: UnsafeRawBufferPointer
    public let firstPosition: UInt64
    public let count: Int
    /// Microseconds since 1970.
    public let recordedAt: Int64
    private let payloadSize: Int

    public var lastPosition: UInt64 { firstPosition + UInt64(count) - 1 }
    public var previousHash: Digest { Digest(at: address(32)) }
    public var hash: Digest { Digest(at: address(64)) }

    /// Checks the header against the key and the size of the value; the table is checked as it is used.
    init(_ bytes: UnsafeRawBufferPointer, key: UInt64) throws(LogError) {
        func fault(_ reason: String) -> LogError { .corrupt(position: key, reason: reason) }
        guard bytes.count >= Frame.headerSize else { throw fault("a frame of \(bytes.count) bytes") }
        let magic = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        guard magic == Frame.magic else { throw fault("a frame that does not begin with its magic") }
        let version = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        guard version == Frame.version else { throw fault("a frame of format \(version), this program knows 1") }
        let header = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        guard Int(header) == Frame.headerSize else { throw fault("a frame header of \(header) bytes") }
        let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        guard (1...Frame.recordsMax).contains(count) else { throw fault("a frame of \(count) records") }
        let payload = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        guard (1...Frame.bytesMax).contains(payload) else { throw fault("a frame with \(payload) bytes of records") }
        let first = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        guard first == key && first >= 1 else { throw fault("a frame that says it begins at position \(first)") }
        guard first <= UInt64.max - UInt64(count) else { throw fault("a frame past the last position") }
        let size = Frame.size(count: count, payload: payload)
        guard bytes.count == size else { throw fault("a frame of \(bytes.count) bytes that says it has \(size)") }
        self.bytes = bytes
        self.firstPosition = first
        self.count = count
        self.payloadSize = payload
        recordedAt = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: Int64.self))
    }

    /// A frame that stands outside of a log: in a copy of it. Header and size are checked here, hashes by `verify`.
    public init(copy bytes: UnsafeRawBufferPointer) throws(LogError) {
        let first = bytes.count < 24 ? 0 : UInt64(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        try self.init(bytes, key: first)
    }

    /// How many bytes the frame has that begins with these `headerSize` bytes; nil when the header is none.
    public static func size(header: UnsafeRawBufferPointer) -> Int? {
        precondition(header.count == headerSize, "a frame header of \(header.count) bytes")
        let count = Int(UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        let payload = Int(UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        guard UInt32(littleEndian: header.loadUnaligned(as: UInt32.self)) == magic,
            (1...recordsMax).contains(count), (1...bytesMax).contains(payload)
        else { return nil }
        return size(count: count, payload: payload)
    }

    static func size(count: Int, payload: Int) -> Int { headerSize + entrySize * count + payload }

    private func address(_ offset: Int) -> UnsafeRawPointer {
        guard let base = bytes.baseAddress else { preconditionFailure("a frame without bytes") }
        return base + offset
    }

    private func end(_ index: Int) -> Int {
        let offset = Frame.headerSize + Frame.entrySize * index
        return Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    /// The bytes of one record, 0 ..< count, within bounds whatever the table says.
    public func record(_ index: Int) throws(LogError) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "record \(index) of a frame of \(count)")
        let start = index == 0 ? 0 : end(index - 1)
        let end = end(index)
        guard start < end && end <= payloadSize && (index < count - 1 || end == payloadSize) else {
            throw .corrupt(
                position: firstPosition + UInt64(index),
                reason: "a record from \(start) to \(end) in \(payloadSize) bytes")
        }
        let base = Frame.headerSize + Frame.entrySize * count
        return UnsafeRawBufferPointer(rebasing: bytes[(base + start)..<(base + end)])
    }

    /// As `record`, and whose hash begins as the table says.
    func checkedRecord(_ index: Int) throws(LogError) -> UnsafeRawBufferPointer {
        let record = try record(index)
        guard Frame.hash(ofRecord: record).word0.bigEndian == hashBeginning(index) else {
            throw .corrupt(position: firstPosition + UInt64(index), reason: "its bytes are not those of its hash")
        }
        return record
    }

    /// The first eight bytes of the record's hash as the table has them, in memory order.
    private func hashBeginning(_ index: Int) -> UInt64 {
        bytes.loadUnaligned(fromByteOffset: Frame.headerSize + Frame.entrySize * index + 4, as: UInt64.self)
    }

    /// The hash of a record: the leaf of RFC 6962 section 2.1.
    public static func hash(ofRecord bytes: UnsafeRawBufferPointer) -> Digest {
        SHA256.hash(prefix: 0, bytes)
    }

    /// Of two records at once.
    private static func hash(
        ofRecord one: UnsafeRawBufferPointer, andOf other: UnsafeRawBufferPointer
    ) -> (Digest, Digest) {
        SHA256.hash(prefix: 0, one, other)
    }

    /// Recomputes every hash of the frame and hands over each record with its own. The first fault is thrown, after the
    /// records before it were handed over.
    public func verify(_ body: (UInt64, UnsafeRawBufferPointer, Digest) throws -> Void) throws {
        var hasher = SHA256()
        hasher.update(UnsafeRawBufferPointer(rebasing: bytes[..<Frame.hashedHeaderSize]))
        // Of the record after the one that is looked at, hashed together with it.
        var ahead: (record: UnsafeRawBufferPointer, digest: Digest)?
        for index in 0..<count {
            let record: UnsafeRawBufferPointer
            let digest: Digest
            if let known = ahead {
                (record, digest) = known
                ahead = nil
            } else {
                record = try self.record(index)
                // What is wrong with the next one is said in its turn.
                if index + 1 < count, let next = try? self.record(index + 1) {
                    let digests = Frame.hash(ofRecord: record, andOf: next)
                    digest = digests.0
                    ahead = (next, digests.1)
                } else {
                    digest = Frame.hash(ofRecord: record)
                }
            }
            let position = firstPosition + UInt64(index)
            var raw = InlineArray<32, UInt8>(repeating: 0)
            let beginning = withUnsafeMutableBytes(of: &raw) { room -> UInt64 in
                guard let base = room.baseAddress else { return 0 }
                digest.store(to: base)
                hasher.update(UnsafeRawBufferPointer(room))
                return room.loadUnaligned(as: UInt64.self)
            }
            guard beginning == hashBeginning(index) else {
                throw LogError.corrupt(position: position, reason: "the record does not have the hash that was stored")
            }
            try body(position, record, digest)
        }
        guard hasher.finalize() == hash else {
            throw LogError.corrupt(
                position: firstPosition, reason: "the frame of \(count) records does not have the hash that was stored")
        }
    }
}

/// Builds the bytes of a frame straight into the room that LMDB gives.
struct FrameWriter {
    let firstPosition: UInt64
    let recordedAt: Int64
    let previousHash: Digest

    /// The first 64 bytes, those that the hash covers.
    func writeHeader(_ room: UnsafeMutableRawBufferPointer, count: Int, payload: Int) {
        guard let base = room.baseAddress else { preconditionFailure("no room for a frame header") }
        room.storeBytes(of: Frame.magic.littleEndian, toByteOffset: 0, as: UInt32.self)
        room.storeBytes(of: Frame.version.littleEndian, toByteOffset: 4, as: UInt16.self)
        room.storeBytes(of: UInt16(Frame.headerSize).littleEndian, toByteOffset: 6, as: UInt16.self)
        room.storeBytes(of: UInt32(count).littleEndian, toByteOffset: 8, as: UInt32.self)
        room.storeBytes(of: UInt32(payload).littleEndian, toByteOffset: 12, as: UInt32.self)
        room.storeBytes(of: firstPosition.littleEndian, toByteOffset: 16, as: UInt64.self)
        room.storeBytes(of: recordedAt.littleEndian, toByteOffset: 24, as: Int64.self)
        previousHash.store(to: base + 32)
    }

    /// The whole frame. `scratch` begins with the header that was hashed, and holds every record hash after it.
    func write(_ room: UnsafeMutableRawBufferPointer, records: [UInt8], ends: [Int], scratch: [UInt8], hash: Digest) {
        let size = Frame.size(count: ends.count, payload: records.count)
        precondition(room.count == size, "room of \(room.count) bytes for a frame of \(size)")
        guard let base = room.baseAddress else { preconditionFailure("no room for a frame") }
        scratch.withUnsafeBytes { hashed in
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: hashed[..<Frame.hashedHeaderSize]))
            hash.store(to: base + 64)
            for index in ends.indices {
                let entry = Frame.headerSize + Frame.entrySize * index
                room.storeBytes(of: UInt32(ends[index]).littleEndian, toByteOffset: entry, as: UInt32.self)
                let beginning = hashed.loadUnaligned(
                    fromByteOffset: Frame.hashedHeaderSize + Digest.size * index, as: UInt64.self)
                room.storeBytes(of: beginning, toByteOffset: entry + 4, as: UInt64.self)
            }
        }
        records.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: room[(Frame.headerSize + Frame.entrySize * ends.count)...])
                .copyMemory(from: source)
        }
    }
}
