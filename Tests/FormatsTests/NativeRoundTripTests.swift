import Billing
import Formats
import JSON
import Records
import TestEvents
import Testing

@Suite struct NativeRoundTripTests {
    static func json(_ event: Event) -> [UInt8] {
        var json = JSONWriter()
        NativeFormat.write(event, into: &json)
        return json.bytes
    }

    @Test(arguments: 0..<RandomEvents.kinds)
    func `an event of any kind is read as it was written`(kind: Int) throws {
        var random = RandomEvents(seed: 1000 + UInt64(kind))
        for round in 0..<100 {
            let event = random.event(kind: kind)
            let body = Self.json(event)
            let parsed = try NativeFormat.parse(body: body, eventsMax: 1, allowDaemonTypes: true)
            let again = try parsed.items[0].result.get()
            #expect(again == event, "round \(round): \(String(decoding: body, as: UTF8.self))")
            // To the byte, where `==` of strings would merge spellings.
            #expect(RecordCodec.contentHash(again) == RecordCodec.contentHash(event))
            #expect(parsed.items[0].id == event.id.text)
        }
    }

    @Test func `events of all kinds go through one NDJSON body and one array`() throws {
        var random = RandomEvents(seed: 7)
        let events = (0..<RandomEvents.kinds).map { random.event(kind: $0) }
        let lines = Array(events.map { Self.json($0) }.joined(separator: [0x0A]))
        let array = [0x5B] + Array(events.map { Self.json($0) }.joined(separator: [0x2C])) + [0x5D]
        for (body, form) in [(lines, NativeFormat.Form.ndjson), (array, .array)] {
            let parsed = try NativeFormat.parse(body: body, eventsMax: RandomEvents.kinds, allowDaemonTypes: true)
            #expect(parsed.form == form)
            #expect(try parsed.items.map { try $0.result.get() } == events)
        }
    }

    @Test func `data before type reads alike`() throws {
        var random = RandomEvents(seed: 8)
        for kind in 0..<RandomEvents.kinds {
            let event = random.event(kind: kind)
            guard case .object(let members) = try JSONValue.parse(Self.json(event)) else { return }
            var json = JSONWriter()
            json.value(.object(members.reversed()))
            let parsed = try NativeFormat.parse(body: json.bytes, eventsMax: 1, allowDaemonTypes: true)
            #expect(try parsed.items[0].result.get() == event)
        }
    }

    @Test func `the daemon's own types and subscriptions are for imports only`() throws {
        var random = RandomEvents(seed: 9)
        for kind in [8, 12, 13, 14] {
            let body = Self.json(random.event(kind: kind))
            guard case .failure(let error) = try NativeFormat.parse(body: body, eventsMax: 1).items[0].result else {
                Issue.record("kind \(kind) was taken")
                continue
            }
            #expect(error.code == "reserved_type")
            #expect(error.field == "type")
        }
        let call = Call(
            org: "o", subscription: "s", provider: "p", model: "m", operation: .chat, status: .success)
        let body = Self.json(Event(source: "s", id: "i", time: nil, fact: .call(call)))
        guard case .failure(let error) = try NativeFormat.parse(body: body, eventsMax: 1).items[0].result else {
            Issue.record("a subscription was taken")
            return
        }
        #expect(error.code == "unknown_field")
        #expect(error.field == "data.subscription")
    }
}
