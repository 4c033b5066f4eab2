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

    private func stored(
        _ event: Event, position: UInt64 = 7, door: Door = .native, space: KeySpace = .common
    ) -> StoredEvent {
        let record = Record(
            position: position, recordedAt: Timestamp(microseconds: 1_795_334_400_123_456), door: door,
            key: Name("k"), space: space, event: event)
        var bytes: [UInt8] = []
        RecordCodec.encode(record, into: &bytes)
        return StoredEvent(record: record, hash: bytes.withUnsafeBytes { RecordCodec.hash($0) })
    }

    @Test(arguments: 0..<RandomEvents.kinds)
    func `what is exported is imported as the same record`(kind: Int) throws {
        var random = RandomEvents(seed: 4711 + UInt64(kind))
        for _ in 0..<50 {
            var event = random.event(kind: kind)
            if random.chance(20), let id = EventID(String(repeating: "é", count: 300)) {
                (event.id, event.wholeID) = (id.key, id.whole)
            }
            for before in [
                stored(event), stored(event, door: .daemon), stored(event, door: .daemon, space: .daemon),
                stored(event, door: .lago, space: .org(random.name())),
            ] {
                let after = try StoredEvent.parse(line(before))
                #expect(after.record == before.record)
                #expect(after.hash == before.hash)
            }
        }
    }

    @Test func `a space that its door cannot have is no line of an export`() throws {
        var random = RandomEvents(seed: 1)
        let before = stored(random.event(kind: 0), door: .daemon, space: .daemon)
        let text = String(decoding: line(before), as: UTF8.self)
        for (old, new) in [
            ("\"door\":\"daemon\"", "\"door\":\"lago\""), ("\"space\":\"daemon\"", "\"space\":\"org\""),
            ("\"space\":\"daemon\"", "\"space\":\"daemon\",\"space_org\":\"a\""),
        ] {
            #expect(text.contains(old))
            #expect(throws: StoredEvent.FormError.self) {
                try StoredEvent.parse(Array(text.replacing(old, with: new).utf8))
            }
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
