import Billing
import Hashing
import Records
import TestEvents
import Testing

@Suite struct CodecTests {
    /// Tags of the kinds that `RandomEvents` makes, in its order. 16...19 are kept for authorizations.
    private static let tags: [UInt8] = Array(1...20)

    @Test(arguments: 0..<RandomEvents.kinds)
    func `an event of any kind comes back as it went in`(kind: Int) throws {
        var random = RandomEvents(seed: UInt64(kind))
        for round in 0..<200 {
            let record = random.record(position: random.next(), kind: kind)
            let bytes = record.bytes
            #expect(try decode(bytes) == record, "round \(round)")
            bytes.withUnsafeBytes { buffer in
                #expect(RecordCodec.kind(buffer) == RecordKind(record.event.fact))
                #expect(RecordCodec.kind(buffer)?.rawValue == Self.tags[kind])
                #expect(RecordCodec.door(buffer) == record.door)
                #expect(RecordCodec.position(buffer) == record.position)
                let hashes = RecordCodec.hashes(buffer)
                #expect(hashes?.content == RecordCodec.contentHash(record.event))
                #expect(hashes?.key == record.idempotencyKey.hash)
                let (source, id) = (record.event.source, record.event.id)
                #expect(
                    hashes?.keyInAnyOrg
                        == (record.space.org == nil ? nil : IdempotencyKey.hashInAnyOrg(source: source, id: id)))
            }
        }
    }

    @Test func `noise is never a record and never traps`() {
        var random = RandomEvents(seed: 99)
        for _ in 0..<3000 {
            var bytes = (0..<random.number(0...120)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            // Half of it gets past the header, so that the contents are reached.
            if bytes.count > 36 && random.chance() {
                let count = UInt8(bytes.count)
                bytes.replaceSubrange(
                    0..<8, with: [1, UInt8(random.number(1...15)), 0, UInt8(random.number(0...63)), count, 0, 0, 0])
                bytes.replaceSubrange(8..<36, with: [UInt8](repeating: 0, count: 28))
                bytes[32] = UInt8(random.number(0...Int64(count)))
                bytes.replaceSubrange(36..<37, with: [0])
            }
            if let record = try? decode(bytes) { #expect(record.bytes == bytes) }
            bytes.withUnsafeBytes {
                _ = RecordCodec.hashes($0)
                _ = RecordCodec.kind($0)
            }
        }
    }

    @Test func `encoding appends, and stamping changes two fields only`() throws {
        let event = GoldenRecords.typicalEvent
        var bytes: [UInt8] = [9, 9, 9]
        RecordCodec.encode(event, door: .native, key: "k", into: &bytes)
        let first = Array(bytes.dropFirst(3))
        #expect(Array(bytes.prefix(3)) == [9, 9, 9])
        let unstamped = try decode(first)
        #expect(unstamped.position == 0)
        #expect(unstamped.recordedAt == Timestamp(microseconds: 0))
        let hashes = RecordCodec.encodeHashed(event, door: .native, key: "k", into: &bytes)
        #expect(Array(bytes.suffix(first.count)) == first)
        #expect(hashes.content == RecordCodec.contentHash(event))
        #expect(hashes.key == IdempotencyKey(source: event.source, id: event.id).hash)

        var stamped = first
        stamped.withUnsafeMutableBytes {
            RecordCodec.stamp($0, position: .max, recordedAt: Timestamp(microseconds: -1))
        }
        #expect(try decode(stamped).position == .max)
        #expect(try decode(stamped).recordedAt == Timestamp(microseconds: -1))
        #expect(Array(stamped[0..<8]) == Array(first[0..<8]))
        #expect(Array(stamped[24...]) == Array(first[24...]))
    }

    @Test func `the record hash is the leaf hash of its bytes`() {
        let bytes = GoldenRecords.all[0].record.bytes
        #expect(bytes.withUnsafeBytes { RecordCodec.hash($0) } == SHA256.hash([0] + bytes))
    }

    @Test func `the time of receipt counts when no time was stated`() {
        var record = GoldenRecords.record(1, GoldenRecords.typicalEvent)
        #expect(record.occurredAt == GoldenRecords.time)
        record.event.time = nil
        #expect(record.occurredAt == GoldenRecords.recordedAt)
    }

    @Test func `calls and authorizations are not control, all else is`() {
        let plain = RecordKind.allCases.filter { !$0.isControl }
        #expect(
            plain == [
                .call, .usage, .callVoided, .callAmended, .authorizationGranted, .authorizationDenied,
                .authorizationReleased, .authorizationExpired,
            ])
    }

    /// Bytes that decode otherwise but break one rule of form.
    @Test(arguments: [
        ("a newer version", 0, 2 as UInt8), ("kind 0", 1, 0), ("kind 21", 1, 21), ("door 5", 2, 5),
        ("a reserved flag", 3, 0x0B), ("a wrong length", 4, 0), ("a far time of receipt", 23, 0x7F),
    ])
    func `a header with one wrong byte is refused there`(what: String, offset: Int, value: UInt8) throws {
        var bytes = GoldenRecords.all[0].record.bytes
        bytes[offset] = value
        let error = #expect(throws: RecordError.self) { try decode(bytes) }
        // The time of receipt starts at 16, and is wrong as a whole.
        #expect(error?.offset == (offset == 23 ? 16 : offset), "\(what)")
    }
}
