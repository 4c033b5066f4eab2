import Billing
import Hashing
import Records
import TestEvents
import Testing

@Suite struct ContentHashTests {
    static let covered: [(what: String, change: @Sendable (inout Event) -> Void)] = [
        ("the time", { $0.time = Timestamp(microseconds: 1) }),
        ("an absent time", { $0.time = nil }),
        ("the type", { event in change(&event) { _ in }; event.fact = .usage(call(event)) }),
        ("org", { event in change(&event) { $0.org = "other" } }),
        ("an absent org", { event in change(&event) { $0.org = nil } }),
        ("org and user swapped", { event in change(&event) { ($0.org, $0.user) = ($0.user, $0.org) } }),
        ("user", { event in change(&event) { $0.user = nil } }),
        ("subscription", { event in change(&event) { $0.subscription = "s" } }),
        ("service", { event in change(&event) { $0.service = nil } }),
        ("team", { event in change(&event) { $0.team = "t" } }),
        ("api key", { event in change(&event) { $0.apiKey = nil } }),
        ("end user", { event in change(&event) { $0.endUser = nil } }),
        ("provider", { event in change(&event) { $0.provider = "x" } }),
        ("model", { event in change(&event) { $0.model = "x" } }),
        ("requested model", { event in change(&event) { $0.requestedModel = "x" } }),
        ("operation", { event in change(&event) { $0.operation = .chat } }),
        ("key source", { event in change(&event) { $0.keySource = .platform } }),
        ("status", { event in change(&event) { $0.status = .success } }),
        ("an absent usage", { event in change(&event) { $0.usage = nil } }),
        ("an empty usage", { event in change(&event) { $0.usage = Usage() } }),
        ("input tokens", { event in change(&event) { $0.usage?.inputTokens = 1 } }),
        ("absent input tokens", { event in change(&event) { $0.usage?.inputTokens = nil } }),
        ("output tokens", { event in change(&event) { $0.usage?.outputTokens = 1 } }),
        ("cache read tokens", { event in change(&event) { $0.usage?.cacheReadTokens = nil } }),
        ("cache write tokens", { event in change(&event) { $0.usage?.cacheWriteTokens = nil } }),
        ("reasoning tokens", { event in change(&event) { $0.usage?.reasoningTokens = nil } }),
        ("images", { event in change(&event) { $0.usage?.images = 1 } }),
        ("audio seconds", { event in change(&event) { $0.usage?.audioSeconds = .one } }),
        ("characters", { event in change(&event) { $0.usage?.characters = 1 } }),
        ("searches", { event in change(&event) { $0.usage?.searches = 1 } }),
        ("requests", { event in change(&event) { $0.usage?.requests = 2 } }),
        ("cost", { event in change(&event) { $0.cost = .zero } }),
        ("an absent cost", { event in change(&event) { $0.cost = nil } }),
        ("latency", { event in change(&event) { $0.latencyMilliseconds = 0 } }),
        ("cache hit", { event in change(&event) { $0.cacheHit = false } }),
        ("authorization", { event in change(&event) { $0.authorization = nil } }),
        ("an attribute's value", { event in change(&event) { $0.attributes[0].value = "x" } }),
        ("an attribute's name", { event in change(&event) { $0.attributes[0].name = "b" } }),
        ("an attribute less", { event in change(&event) { $0.attributes.removeLast() } }),
    ]

    static func call(_ event: Event) -> Call {
        guard case .call(let call) = event.fact else { preconditionFailure("not a call") }
        return call
    }

    static func change(_ event: inout Event, _ body: (inout Call) -> Void) {
        var call = call(event)
        body(&call)
        event.fact = .call(call)
    }

    @Test func `each thing that was sent changes the content hash`() {
        let event = GoldenRecords.event(.call(GoldenRecords.mostCall))
        var seen: [Digest: String] = [RecordCodec.contentHash(event): "nothing"]
        for (what, change) in Self.covered {
            var changed = event
            change(&changed)
            let hash = RecordCodec.contentHash(changed)
            #expect(seen[hash] == nil, "\(what) is as \(seen[hash] ?? "")")
            seen[hash] = what
        }
    }

    @Test func `source, id and an owner found by admission leave the content hash alone`() {
        var event = GoldenRecords.event(.call(GoldenRecords.subscribed(org: nil, user: nil)))
        let hash = RecordCodec.contentHash(event)
        event.source = "elsewhere"
        event.id = "other"
        #expect(RecordCodec.contentHash(event) == hash)
        event.fact = .call(GoldenRecords.subscribed(org: "acme", user: "ada"))
        #expect(RecordCodec.contentHash(event) == hash)
        for door in Door.allCases {
            for key in [nil, "k" as Name] {
                var bytes: [UInt8] = []
                #expect(RecordCodec.encodeHashed(event, door: door, key: key, into: &bytes).content == hash)
            }
        }
    }

    @Test func `random facts of all kinds have hashes of their own`() {
        var random = RandomEvents(seed: 5)
        var seen: [Digest: Event] = [:]
        for kind in 0..<RandomEvents.kinds {
            for _ in 0..<100 {
                var event = random.event(kind: kind)
                (event.source, event.id) = ("s", "i")
                let hash = RecordCodec.contentHash(event)
                if let other = seen[hash] { #expect(other == event) }
                seen[hash] = event
            }
        }
        #expect(seen.count > 1000)
    }

    @Test func `keys that join alike are not alike`() {
        let hashes = [("a", "bc"), ("ab", "c"), ("bc", "a"), ("é", "x"), ("e\u{301}", "x")].map {
            IdempotencyKey(source: Name(checked: $0.0), id: Name(checked: $0.1)).hash
        }
        #expect(Set(hashes).count == hashes.count)
    }

    @Test func `one source and id are another key in every space, whatever they are named`() {
        let names = ["a", "aa", "tallystick", "\u{20}", String(repeating: "x", count: 256)].map { Name(checked: $0) }
        var hashes: [Digest] = []
        for source in names {
            for id in names {
                let spaces = [KeySpace.common, .daemon] + names.map { .org($0) }
                hashes += spaces.map { IdempotencyKey(space: $0, source: source, id: id).hash }
                hashes.append(IdempotencyKey.hashInAnyOrg(source: source, id: id))
            }
        }
        #expect(Set(hashes).count == hashes.count)
        // The first two bytes of what is hashed keep the spaces apart: no name begins with a control character.
        for second: UInt8 in 0...2 { #expect(Name(bytes: [second]) == nil) }
    }
}
