import Billing
import Records
import TestEvents
import Testing

/// What a decoder remembers must never be seen in what it reads.
@Suite struct DecoderTests {
    /// Records of calls that look alike in all but some part, and of everything else between them.
    private func log(seed: UInt64, count: Int) -> [Record] {
        var random = RandomEvents(seed: seed)
        var shapes = (0..<12).map { _ in random.event(kind: Int(random.next() % 2)) }
        return (1...count).map { position in
            var event = random.event(kind: Int(random.next() % UInt64(RandomEvents.kinds)))
            if random.chance(80) {
                let shape = random.pick(shapes)
                let other = random.event(kind: 0)
                switch (shape.fact, other.fact) {
                case (.call(let call), .call(let measured)):
                    event.fact = .call(mixed(call, measured, &random))
                case (.usage(let call), .call(let measured)):
                    event.fact = .usage(mixed(call, measured, &random))
                default:
                    break
                }
                event.source = shape.source
            }
            if random.chance(5) { shapes[Int(random.next() % 12)] = random.event(kind: Int(random.next() % 2)) }
            let door = random.pick(Door.allCases)
            return Record(
                position: UInt64(position), recordedAt: random.time(), door: door,
                key: random.pick([nil, "gateway", "a key with a name of some length"]), space: random.space(of: door),
                event: event)
        }
    }

    /// The shape of one call, now and then with another name in it, and the measures of the other.
    private func mixed(_ shape: Call, _ measured: Call, _ random: inout RandomEvents) -> Call {
        var call = shape
        call.usage = measured.usage
        call.cost = measured.cost
        call.latencyMilliseconds = measured.latencyMilliseconds
        call.cacheHit = measured.cacheHit
        call.authorization = measured.authorization
        if random.chance(10) { call.model = measured.model }
        if random.chance(10) { call.user = measured.user }
        if random.chance(10) { call.attributes = measured.attributes }
        if random.chance(10) { call.status = measured.status }
        if random.chance(10) { call.subscription = measured.subscription }
        if call.org == nil && call.user == nil && call.subscription == nil { call.org = "o" }
        return call
    }

    @Test(arguments: [1, 2, 7, 64, RecordDecoder.shapesMax])
    func `a decoder reads what the codec reads, however few shapes it remembers`(shapesMax: Int) throws {
        let decoder = RecordDecoder(shapesMax: shapesMax)
        for record in log(seed: 4711, count: 4000) {
            let bytes = record.bytes
            let plain = try bytes.withUnsafeBytes { try RecordCodec.decode($0) }
            let remembered = try bytes.withUnsafeBytes { try decoder.decode($0) }
            #expect(remembered == plain)
            #expect(remembered.bytes == bytes)
            #expect(remembered == record)
        }
    }

    @Test func `calls that are alike share one shape, others none`() throws {
        let decoder = RecordDecoder()
        func shape(_ call: Call) throws -> CallShape {
            let event = Event(source: "s", id: "i", time: nil, fact: .call(call))
            let record = Record(
                position: 1, recordedAt: Timestamp(microseconds: 0), door: .native, key: nil, event: event)
            guard case .call(let read) = try record.bytes.withUnsafeBytes({ try decoder.decode($0) }).event.fact else {
                preconditionFailure("not a call")
            }
            #expect(read == call)
            return read.shape
        }
        let call = Call(
            org: "o", user: "u", provider: "p", model: "m", operation: .chat, status: .success,
            usage: Usage(inputTokens: 10), attributes: [Attribute(name: "tier", value: "one")])
        let first = try shape(call)
        var other = call
        other.usage = Usage(inputTokens: 12, outputTokens: 7)
        other.cacheHit = true
        other.latencyMilliseconds = 12
        #expect(try shape(other) === first)
        #expect(first.family != nil)
        for change: (inout Call) -> Void in [
            { $0.user = "v" }, { $0.user = nil }, { $0.service = "u" }, { $0.status = .failure },
            { $0.keySource = .byok }, { $0.operation = .image }, { $0.attributes = [] },
            { $0.attributes[0].value = "two" }, { $0.model = "mm" },
        ] {
            var changed = call
            change(&changed)
            #expect(try shape(changed) !== first)
        }
        // An owner that admission found is part of what calls have in common.
        var found = call
        found.subscription = "sub"
        let resolved = try shape(found)
        #expect(try shape(found) === resolved)
        found.user = "w"
        #expect(try shape(found) !== resolved)
    }

    @Test func `a decoder refuses what the codec refuses, with the same words`() throws {
        let decoder = RecordDecoder(shapesMax: 64)
        var random = RandomEvents(seed: 99)
        var refused = 0
        for record in log(seed: 12, count: 1500) {
            // Remembered first: a broken one may look like it.
            let bytes = record.bytes
            _ = try bytes.withUnsafeBytes { try decoder.decode($0) }
            for _ in 0..<4 {
                var broken = bytes
                let index = Int(random.next() % UInt64(broken.count))
                broken[index] = random.chance(50) ? broken[index] ^ (1 << UInt8(random.next() % 8)) : 0xFF
                let plain = result { try broken.withUnsafeBytes { try RecordCodec.decode($0) } }
                let remembered = result { try broken.withUnsafeBytes { try decoder.decode($0) } }
                #expect(remembered == plain)
                if case .failure = plain { refused += 1 }
            }
        }
        #expect(refused > 1000)
    }

    private func result(_ body: () throws -> Record) -> Result<Record, RecordError> {
        do {
            return .success(try body())
        } catch let error as RecordError {
            return .failure(error)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
