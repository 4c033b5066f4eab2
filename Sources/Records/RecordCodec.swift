public import Billing
internal import Hashing

/// Events to record bytes and back. The bytes are the ones of `Schemas/RECORD.md`; each event has exactly one spelling.
public enum RecordCodec {
    public static let version: UInt8 = 1

    /// The longest reason, reference, detail or attribute value that a record can hold.
    public static let textBytesMax = 65_535

    /// Offsets within the header.
    enum Header {
        static let version = 0
        static let kind = 1
        static let door = 2
        static let flags = 3
        static let totalLength = 4
        static let position = 8
        static let recordedAt = 16
        static let statedTime = 24
        static let contentLength = 32
        static let size = 36
    }

    enum Flag {
        /// The client stated a time.
        static let time: UInt8 = 1
        /// The posting key has a name.
        static let key: UInt8 = 2
        /// There is a resolution section.
        static let resolution: UInt8 = 4
        /// Its idempotency key is in the daemon's own space.
        static let daemonSpace: UInt8 = 8
        /// Its idempotency key is in an org's space.
        static let orgSpace: UInt8 = 16
        /// The id is the hash of a longer one, which is there too.
        static let wholeID: UInt8 = 32
        static let allowed: UInt8 = 63
    }

    /// Appends the record's canonical bytes, with position and recordedAt still 0, to `bytes`.
    /// Traps on values that no parser gives: more parts than the vocabulary allows, attributes out of order.
    public static func encode(
        _ event: Event, door: Door, key: Name?, space: KeySpace = .common, into bytes: inout [UInt8]
    ) {
        _ = append(event, door: door, key: key, space: space, to: &bytes)
    }

    /// Appends the whole record: its canonical bytes, with its position and recordedAt. What was decoded comes out as
    /// it went in.
    public static func encode(_ record: Record, into bytes: inout [UInt8]) {
        let start = bytes.count
        encode(record.event, door: record.door, key: record.key, space: record.space, into: &bytes)
        bytes.withUnsafeMutableBytes {
            stamp(
                UnsafeMutableRawBufferPointer(rebasing: $0[start...]), position: record.position,
                recordedAt: record.recordedAt)
        }
    }

    /// As `encode`, and with the hashes that admission asks for, without encoding anything twice.
    public static func encodeHashed(
        _ event: Event, door: Door, key: Name?, space: KeySpace = .common, into bytes: inout [UInt8]
    ) -> RecordHashes {
        let parts = append(event, door: door, key: key, space: space, to: &bytes)
        return bytes.withUnsafeBytes { all in
            RecordHashes(
                space: space, sourceAndID: UnsafeRawBufferPointer(rebasing: all[parts.key]),
                content: contentHash(
                    kind: RecordKind(event.fact), time: event.time,
                    content: UnsafeRawBufferPointer(rebasing: all[parts.content])))
        }
    }

    /// Gives where in `bytes` (source, id) and the content are.
    private static func append(
        _ event: Event, door: Door, key: Name?, space: KeySpace, to bytes: inout [UInt8]
    ) -> (key: Range<Int>, content: Range<Int>) {
        precondition(space != .daemon || door == .daemon, "a client's record among the daemon's own keys")
        precondition(space.org == nil || door != .daemon, "a record of the daemon's own in an org's space")
        var writer = RecordWriter(bytes: [])
        swap(&writer.bytes, &bytes)
        defer { swap(&writer.bytes, &bytes) }
        let start = writer.bytes.count
        let call = event.fact.statedCall
        let standing = event.fact.unwinds
        let isResolved = standing != nil || call?.isResolved ?? false
        var flags: UInt8 = event.time == nil ? 0 : Flag.time
        if key != nil { flags |= Flag.key }
        if isResolved { flags |= Flag.resolution }
        switch space {
        case .common: break
        case .daemon: flags |= Flag.daemonSpace
        case .org: flags |= Flag.orgSpace
        }
        if event.wholeID != nil { flags |= Flag.wholeID }
        writer.byte(version)
        writer.byte(RecordKind(event.fact).rawValue)
        writer.byte(door.rawValue)
        writer.byte(flags)
        writer.fixed(0 as UInt32)  // the total length, patched below
        writer.fixed(0 as UInt64)  // the position: see `stamp`
        writer.fixed(0 as UInt64)  // recordedAt: see `stamp`
        writer.time(event.time ?? Timestamp(microseconds: 0))
        writer.fixed(0 as UInt32)  // the content's length, patched below
        let keyStart = writer.bytes.count
        writer.name(event.source)
        writer.name(event.id)
        let keyEnd = writer.bytes.count
        writer.name(key)
        writer.name(space.org)
        writer.text(event.wholeID)
        let contentStart = writer.bytes.count
        writer.content(event.fact)
        let contentEnd = writer.bytes.count
        if isResolved { writer.resolution(call, standing) }
        writer.patch(UInt32(writer.bytes.count - start), at: start + Header.totalLength)
        writer.patch(UInt32(contentEnd - contentStart), at: start + Header.contentLength)
        return (keyStart..<keyEnd, contentStart..<contentEnd)
    }

    /// Writes position and recordedAt into bytes encoded before. Traps when `bytes` is shorter than a header.
    public static func stamp(_ bytes: UnsafeMutableRawBufferPointer, position: UInt64, recordedAt: Timestamp) {
        precondition(bytes.count >= Header.size, "\(bytes.count) bytes are no record")
        bytes.storeBytes(of: position.littleEndian, toByteOffset: Header.position, as: UInt64.self)
        bytes.storeBytes(of: recordedAt.microseconds.littleEndian, toByteOffset: Header.recordedAt, as: Int64.self)
    }

    /// Reads a record. Strict: what it takes, `encode` and `stamp` give back byte for byte. Never traps.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(RecordError) -> Record {
        var none: DecoderMemory?
        return try decode(bytes, with: &none)
    }

    /// The same, with what a decoder remembers.
    static func decode(
        _ bytes: UnsafeRawBufferPointer, with memory: inout DecoderMemory?
    ) throws(RecordError) -> Record {
        var reader = RecordReader(bytes: bytes, offset: 0, end: bytes.count)
        guard bytes.count >= Header.size else { throw reader.failure("\(bytes.count) bytes are less than a header") }
        let version = try reader.byte()
        guard version == RecordCodec.version else {
            throw reader.failure("version \(version) is not known to this program", at: Header.version)
        }
        let kind = try reader.choice(RecordKind.self, "record kind")
        let door = try reader.choice(Door.self, "door")
        let flags = try reader.bitmap(allowed: Flag.allowed)
        let total = try reader.fixed(UInt32.self)
        guard Int(total) == bytes.count else {
            throw reader.failure("says \(total) bytes, has \(bytes.count)", at: Header.totalLength)
        }
        let position = try reader.fixed(UInt64.self)
        let recordedAt = try reader.time()
        let statedTime = try reader.time()
        if flags & Flag.time == 0 && statedTime.microseconds != 0 {
            throw reader.failure("a time that is not flagged", at: Header.statedTime)
        }
        let contentLength = Int(try reader.fixed(UInt32.self))
        let source = if memory != nil { try memory!.source.read(from: &reader) } else { try reader.name() }
        let id = try reader.name()
        var key: Name?
        if flags & Flag.key != 0 {
            key = if memory != nil { try memory!.key.read(from: &reader) } else { try reader.name() }
        }
        let space = try reader.space(flags, door: door)
        let wholeID = flags & Flag.wholeID == 0 ? nil : try reader.wholeID(keyedBy: id)
        guard contentLength <= bytes.count - reader.offset else {
            throw reader.failure("content of \(contentLength) bytes does not fit", at: Header.contentLength)
        }
        reader.end = reader.offset + contentLength
        let isResolved = flags & Flag.resolution != 0
        let fact =
            if memory != nil, kind == .call || kind == .usage {
                try fact(kind, from: &reader, isResolved: isResolved, shapes: &memory!.shapes)
            } else {
                try fact(kind, from: &reader, isResolved: isResolved)
            }
        let event = Event(
            source: source, id: id, wholeID: wholeID, time: flags & Flag.time != 0 ? statedTime : nil, fact: fact)
        return Record(
            position: position, recordedAt: recordedAt, door: door, key: key, space: space, event: event)
    }

    /// The content and the resolution, to the end of the record.
    private static func fact(
        _ kind: RecordKind, from reader: inout RecordReader, isResolved: Bool
    ) throws(RecordError) -> Fact {
        var fact = try reader.content(kind)
        guard reader.offset == reader.end else { throw reader.failure("bytes after the content") }
        reader.end = reader.bytes.count
        if isResolved { try reader.resolution(of: &fact) }
        guard reader.offset == reader.end else { throw reader.failure("bytes after the record") }
        return fact
    }

    /// The same for a call, whose shape may be known.
    private static func fact(
        _ kind: RecordKind, from reader: inout RecordReader, isResolved: Bool, shapes: inout ShapeTable
    ) throws(RecordError) -> Fact {
        // Whatever is odd about it, the strict reading says.
        var measures = RecordReader.Measures()
        guard let key = reader.sightCall(isResolved: isResolved, &measures) else {
            return try fact(kind, from: &reader, isResolved: isResolved)
        }
        let hash = key.hash(reader.bytes)
        if let shape = shapes.shape(key, hash: hash, in: reader.bytes) {
            return kind == .call ? .call(measures.call(shape)) : .usage(measures.call(shape))
        }
        switch try fact(kind, from: &reader, isResolved: isResolved) {
        case .call(let call):
            return .call(measures.call(shapes.remember(call.shape, as: key, hash: hash, in: reader.bytes)))
        case .usage(let call):
            return .usage(measures.call(shapes.remember(call.shape, as: key, hash: hash, in: reader.bytes)))
        case let other:
            return other
        }
    }
}

extension RecordWriter {
    mutating func content(_ fact: Fact) {
        switch fact {
        case .call(let call), .usage(let call): self.call(call)
        case .callVoided(let voided): callVoided(voided)
        case .callAmended(let amended): callAmended(amended)
        case .creditsGranted(let grant): self.grant(grant)
        case .creditsVoided(let voided): lotVoided(voided)
        case .creditsAllocated(let allocation): self.allocation(allocation)
        case .creditsAdjusted(let adjustment): self.adjustment(adjustment)
        case .creditsExpired(let expired): lotExpired(expired)
        case .planDefined(let plan): self.plan(plan)
        case .planAssigned(let assignment): self.assignment(assignment)
        case .pricesPublished(let list): prices(list)
        case .authorizationGranted(let granted): authorization(granted)
        case .authorizationDenied(let denied): denial(denied)
        case .authorizationReleased(let ended), .authorizationExpired(let ended): authorizationEnded(ended)
        case .lagoWindowClosed(let window): lagoWindow(window)
        case .lagoBatchDelivered(let delivery), .lagoBatchFailed(let delivery): lagoDelivery(delivery)
        case .alertDefined(let alert): self.alert(alert)
        }
    }
}

extension RecordReader {
    fileprivate mutating func space(_ flags: UInt8, door: Door) throws(RecordError) -> KeySpace {
        switch flags & (RecordCodec.Flag.daemonSpace | RecordCodec.Flag.orgSpace) {
        case 0: return .common
        case RecordCodec.Flag.daemonSpace where door == .daemon: return .daemon
        case RecordCodec.Flag.orgSpace where door != .daemon: return .org(try name())
        default: throw failure("a key space that its door cannot have", at: RecordCodec.Header.flags)
        }
    }

    fileprivate mutating func wholeID(keyedBy key: Name) throws(RecordError) -> String {
        let start = offset
        let id = EventID(try text())
        guard let whole = id?.whole, id?.key == key else { throw failure("an id that its key is not of", at: start) }
        return whole
    }

    mutating func content(_ kind: RecordKind) throws(RecordError) -> Fact {
        switch kind {
        case .call: .call(try call())
        case .usage: .usage(try call())
        case .callVoided: .callVoided(try callVoided())
        case .callAmended: .callAmended(try callAmended())
        case .creditsGranted: .creditsGranted(try grant())
        case .creditsVoided: .creditsVoided(try lotVoided())
        case .creditsAllocated: .creditsAllocated(try allocation())
        case .creditsAdjusted: .creditsAdjusted(try adjustment())
        case .creditsExpired: .creditsExpired(try lotExpired())
        case .planDefined: .planDefined(try plan())
        case .planAssigned: .planAssigned(try assignment())
        case .pricesPublished: .pricesPublished(try prices())
        case .authorizationGranted: .authorizationGranted(try authorization())
        case .authorizationDenied: .authorizationDenied(try denial())
        case .authorizationReleased: .authorizationReleased(try authorizationEnded())
        case .authorizationExpired: .authorizationExpired(try authorizationEnded())
        case .lagoWindowClosed: .lagoWindowClosed(try lagoWindow())
        case .lagoBatchDelivered: .lagoBatchDelivered(try lagoDelivery())
        case .lagoBatchFailed: .lagoBatchFailed(try lagoDelivery())
        case .alertDefined: .alertDefined(try alert())
        }
    }
}
