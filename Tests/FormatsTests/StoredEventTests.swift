import Billing
import JSON
import Records
import TestEvents
import Testing

@testable import Formats

struct StoredEventTests {
    private func line(_ stored: StoredEvent) -> [UInt8] {
        var writer = JSONWriter()
        stored.write(into: &writer)
        return writer.bytes
    }

    private func stored(_ event: Event, position: UInt64 = 7) -> StoredEvent {
        let record = Record(
            position: position, recordedAt: Timestamp(microseconds: 1_795_334_400_123_456), door: .native,
            key: Name("k"), event: event)
        var bytes: [UInt8] = []
        RecordCodec.encode(event, door: record.door, key: record.key, into: &bytes)
        let hash = bytes.withUnsafeMutableBytes { room in
            RecordCodec.stamp(room, position: position, recordedAt: record.recordedAt)
            return RecordCodec.hash(UnsafeRawBufferPointer(room))
        }
        return StoredEvent(record: record, hash: hash)
    }

    @Test(arguments: 0..<RandomEvents.kinds)
    func `what is exported is imported as the same record`(kind: Int) throws {
        var random = RandomEvents(seed: 4711 + UInt64(kind))
        for _ in 0..<50 {
            let before = stored(random.event(kind: kind))
            let after = try StoredEvent.parse(line(before))
            #expect(after.record == before.record)
            #expect(after.hash == before.hash)
        }
    }

    @Test func `a correction comes back with what it unwinds`() throws {
        let call = Call(org: "acme", provider: "p", model: "m", operation: .chat, status: .success)
        let standing = StandingCall(
            original: 3, position: 3, occurredAt: Timestamp(microseconds: 5), isCall: true, call: call,
            charge: ChargeRecord(
                parts: [
                    ChargeRecord.Part(
                        owner: .org("acme"), slices: [Slice(lot: "lot", amount: Money(nanos: 9))],
                        overage: Money(nanos: 2))
                ]))
        var event = Event(
            source: "s", id: "v", time: nil, fact: .callVoided(CallVoided(source: "s", id: "c", reason: "r")))
        event.fact.unwinds = standing
        let before = stored(event)
        let after = try StoredEvent.parse(line(before))
        #expect(after.record == before.record)
        #expect(after.record.event.fact.unwinds == standing)
        // Bytes of another record beside the event are refused.
        let other = stored(
            Event(source: "s", id: "w", time: nil, fact: .callVoided(CallVoided(source: "s", id: "c", reason: "r"))))
        let text = String(decoding: line(before), as: UTF8.self)
        let forged = text.replacing(#""id":"v""#, with: #""id":"w""#)
        #expect(forged != text && other.record.event.id == "w")
        #expect(throws: (any Error).self) { try StoredEvent.parse(Array(forged.utf8)) }
    }
}
