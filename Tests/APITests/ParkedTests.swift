import Billing
import Formats
import Glibc
import Hashing
import JSON
import Platform
import Testing

@testable import API

@Suite struct ParkedTests {
    static let start = Timestamp(microseconds: 1_795_334_400_000_000)
    static let path = "/parked/parked.ndjson"

    static func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = try Folder.makeTemporary(prefix: "parked-test")
        defer { try? Folder.remove(folder) }
        try await body(folder)
    }

    /// An item that says nothing of itself but its bytes.
    static func item(_ text: String, code: String = "wrong_type") -> Parked {
        Parked(code: code, field: "", detail: "is not an object", itemHash: SHA256.hash(Array(text.utf8)))
    }

    /// All that can be asked, as text.
    static func told(_ store: ParkedStore, by org: Name? = nil) async -> String {
        let (items, dropped) = await store.page(after: 0, limit: 1 << 20, org: org)
        var writer = JSONWriter()
        writer.beginArray()
        for item in items { item.write(into: &writer) }
        dropped.write(into: &writer)
        writer.endArray()
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    static func counts(_ store: ParkedStore, _ keys: [Name]) async -> [Int] {
        let items = await store.page(after: 0, limit: 1 << 20, org: nil).0
        return keys.map { key in items.count { $0.key == key } }
    }

    static func limits(items: Int) -> ParkedLimits {
        var limits = ParkedLimits()
        limits.itemsMax = items
        return limits
    }

    @Test func `a full store has room for a key with fewer items, and none for the one with the most`() async throws {
        try await Self.withFolder { folder in
            let store = try ParkedStore(folder: folder, limits: Self.limits(items: 10))
            let (a, b, c) = (Name(checked: "a"), Name(checked: "b"), Name(checked: "c"))
            func add(_ key: Name, _ texts: [String]) async -> ParkedStore.Added {
                await store.add(texts.map { Self.item($0) }, door: .litellm, key: key, org: key, now: Self.start)
            }
            #expect(await add(a, (0..<14).map(String.init)) == .init(parked: 10, dropped: 4))
            #expect(await add(b, ["x", "y", "z"]) == .init(parked: 3, dropped: 0))
            #expect(await Self.counts(store, [a, b, c]) == [7, 3, 0])
            #expect(await add(a, ["15"]) == .init(parked: 0, dropped: 1))
            // What is there already needs no room.
            #expect(await add(a, ["9"]) == .init(parked: 1, dropped: 0))
            #expect(await add(b, (0..<9).map { "b\($0)" }) == .init(parked: 2, dropped: 7))
            #expect(await Self.counts(store, [a, b, c]) == [5, 5, 0])
            #expect(await add(c, (0..<9).map { "c\($0)" }) == .init(parked: 3, dropped: 6))
            #expect(await Self.counts(store, [a, b, c]) == [3, 4, 3])
            // What was given up is counted with the key that had it.
            let dropped = await store.page(after: 0, limit: 10, org: a).1
            #expect(dropped.total == 4 + 3 + 1 + 2 + 2)
            #expect(await store.page(after: 0, limit: 10, org: b).1.total == 7 + 1)
            #expect(await store.page(after: 0, limit: 10, org: c).1.total == 6)
            #expect(await store.droppedTotal == 26)
            #expect(dropped.hours.first?.bucket.hashes.first == SHA256.hash(Array("10".utf8)))
        }
    }

    @Test func `a store that one key has filled is not full for ever`() async throws {
        try await Self.withFolder { folder in
            let store = try ParkedStore(folder: folder, limits: Self.limits(items: 3))
            let key = Name(checked: "a")
            func add(_ text: String, day: Int64) async -> ParkedStore.Added {
                let now = Self.start.adding(seconds: day * 86_400)
                return await store.add([Self.item(text)], door: .lago, key: key, org: nil, now: now)
            }
            for (text, day) in [("a", 0), ("b", 1), ("c", 2)] {
                #expect(await add(text, day: Int64(day)) == .init(parked: 1, dropped: 0))
            }
            #expect(await add("d", day: 29) == .init(parked: 0, dropped: 1))
            #expect(await add("d", day: 30) == .init(parked: 1, dropped: 0))
            #expect(await add("e", day: 30) == .init(parked: 0, dropped: 1))
            #expect(await store.page(after: 0, limit: 9, org: nil).0.map(\.number) == [2, 3, 4])
            #expect(await store.page(after: 3, limit: 9, org: nil).0.map(\.number) == [4])
            // The warning goes with time, the count stays.
            #expect(await store.warnings(now: Self.start.adding(seconds: 36 * 86_400)).count == 1)
            #expect(await store.warnings(now: Self.start.adding(seconds: 37 * 86_400)).isEmpty)
            #expect(await store.droppedTotal == 3)
        }
    }

    /// Random batches of few keys, also with a disk that is full now and then; after each the file is opened again.
    @Test(arguments: 1...6)
    func `a restart gives the same items, numbers, times and counts`(seed: UInt64) async throws {
        try await Self.withFolder { folder in
            var random = Seeded(state: seed)
            var limits = Self.limits(items: 20)
            limits.bucketsMax = 4
            limits.hashesPerBucketMax = 3
            limits.earlierOrgsMax = 2
            limits.spentLinesMax = 30
            limits.keptSeconds = 6 * 3600
            var store = try ParkedStore(folder: folder, limits: limits)
            var now = Self.start
            var (sent, given) = (0, 0)
            for round in 0..<120 {
                now = now.adding(seconds: Int64.random(in: -600...3600, using: &random))
                let key = Name(checked: ["a", "b", "c", "d"][min(3, Int.random(in: 0...7, using: &random))])
                let org = Bool.random(using: &random) ? key : nil
                let batch = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                    Self.item(
                        "\(Int.random(in: 0...60, using: &random))",
                        code: ["x", "y", "z"][Int.random(in: 0...2, using: &random)])
                }
                let before = await store.droppedTotal
                let added = await store.add(batch, door: .openmeter, key: key, org: org, now: now)
                sent += batch.count
                #expect(added.parked + added.dropped == batch.count)
                #expect(await store.droppedTotal >= before + added.dropped)
                given = await store.droppedTotal
                let told = await Self.told(store)
                store = try ParkedStore(folder: folder, limits: limits)
                #expect(await Self.told(store) == told, "round \(round)")
                #expect(await store.count <= 20)
            }
            // Every receipt is somewhere: at an item that is kept, or counted, or at one that was given up.
            let times = await store.page(after: 0, limit: 99, org: nil).0.reduce(0) { $0 + $1.times }
            #expect(times + given <= sent)
            #expect(given > 100)
            #expect(try File.read(folder + Self.path, bytesMax: 1 << 20).count { $0 == 0x0A } <= 20 + 4 + 3 + 30 + 40)
        }
    }

    @Test func `what a full disk does not take is counted, and told as soon as there is room`() async throws {
        let folder = try Folder.makeTemporary(prefix: "parked-test")
        await #expect(processExitsWith: .success) { [folder = folder as String] in
            signal(SIGXFSZ, SIG_IGN)
            var random = Seeded(state: 3)
            var limits = ParkedTests.limits(items: 30)
            limits.bucketsMax = 3
            limits.spentLinesMax = 40
            let store = try ParkedStore(folder: folder, limits: limits)
            var sent = 0
            for round in 0..<150 {
                let isFull = Int.random(in: 0...2, using: &random) > 0
                let size = try File.size(folder + ParkedTests.path)
                try limit(isFull ? size + Int.random(in: 0...700, using: &random) : 1 << 24)
                let key = Name(checked: Bool.random(using: &random) ? "a" : "b")
                let batch = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                    ParkedTests.item("\(Int.random(in: 0...90, using: &random))")
                }
                let now = ParkedTests.start.adding(seconds: Int64(round) * 1800)
                let added = await store.add(batch, door: .lago, key: key, org: key, now: now)
                sent += batch.count
                #expect(added.parked + added.dropped == batch.count)
                if await store.warnings(now: now).count < 2 {
                    try limit(1 << 24)
                    let again = try ParkedStore(folder: folder, limits: limits)
                    #expect(await ParkedTests.told(again) == ParkedTests.told(store), "round \(round)")
                }
            }
            try limit(1 << 24)
            await store.stop()
            let again = try ParkedStore(folder: folder, limits: limits)
            #expect(await ParkedTests.told(again) == ParkedTests.told(store))
            #expect(await again.droppedTotal > 50)
        }
        try Folder.remove(folder)
    }

    @Test func `a file cut off at any byte has the whole lines before it, and takes the next item`() async throws {
        try await Self.withFolder { folder in
            var limits = Self.limits(items: 2)
            limits.bucketsMax = 1
            let store = try ParkedStore(folder: folder, limits: limits)
            for (hour, (key, batch)) in [("m", ["a", "b"]), ("m", ["a", "c"]), ("o", ["d"])].enumerated() {
                await store.add(
                    batch.map { Self.item($0) }, door: .litellm, key: Name(checked: key), org: nil,
                    now: Self.start.adding(seconds: Int64(hour) * 3600))
            }
            let whole = try File.read(folder + Self.path, bytesMax: 1 << 20)
            var last = ""
            for cut in 0...whole.count {
                try DurableFile.replace(folder + Self.path, with: Array(whole[..<cut]))
                let opened = try ParkedStore(folder: folder, limits: limits)
                let told = await Self.told(opened)
                // Only a whole line changes anything.
                if cut == 0 || whole[cut - 1] == 0x0A { last = told }
                #expect(told == last, "cut at \(cut)")
                guard cut % 5 == 0 else { continue }
                let next = Self.item("next", code: "other")
                let added = await opened.add([next], door: .lago, key: Name(checked: "n"), org: nil, now: Self.start)
                #expect(added.parked + added.dropped == 1)
                let after = await Self.told(opened)
                #expect(try await Self.told(ParkedStore(folder: folder, limits: limits)) == after, "cut at \(cut)")
            }
        }
    }

    @Test func `a line that cannot be read is counted, and what is behind half a line is read`() async throws {
        try await Self.withFolder { folder in
            func line(_ number: Int, _ id: String) -> String {
                """
                {"number":\(number),"received_at":"2026-01-01T00:00:00Z","door":"litellm","code":"x","field":"",\
                "detail":"{\\"number\\":","facts":{"id":"\(id)"}}
                """
            }
            try Folder.make(folder + "/parked")
            let text = [
                line(1, "a"), "nonsense", line(2, "torn").prefix(50) + line(3, "b"), "", line(3, "c"),
                "{\"later\":\"version\"}", "",
            ].joined(separator: "\n")
            try DurableFile.replace(folder + Self.path, with: Array(text.utf8))
            let store = try ParkedStore(folder: folder)
            let (items, dropped) = await store.page(after: 0, limit: 9, org: nil)
            #expect(items.map(\.number) == [1, 3, 4])
            #expect(items.map { $0.parked.facts[0].value } == ["a", "b", "c"])
            #expect(dropped.hours.map(\.place.code) == ["unreadable_line"])
            #expect(dropped.hours[0].bucket.hashes.contains(SHA256.hash(Array("nonsense".utf8))))
            #expect(dropped.total == 2)
            #expect(await store.page(after: 0, limit: 9, org: Name("a")).1.total == 0)
            // Not counted again by every start.
            await store.add([Self.item("new")], door: .lago, key: nil, org: nil, now: Self.start)
            #expect(try await ParkedStore(folder: folder).droppedTotal == 2)
        }
    }
}

private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

private func limit(_ bytes: Int) throws {
    var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: .max)
    guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
        throw FileError(operation: "setrlimit", path: "", code: errno)
    }
}
