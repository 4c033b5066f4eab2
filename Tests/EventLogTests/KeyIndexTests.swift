import Glibc
import Platform
import Testing

@testable import EventLog

@Suite struct KeyIndexTests {
    /// The truth to compare with: keys as pairs in a dictionary.
    private struct Key: Hashable {
        var high: UInt64
        var low: UInt64
    }

    private struct Model {
        var random: Seeded
        var entries: [Key: [(position: UInt64, content: UInt64)]] = [:]
        var keys: [Key] = []
        var position: UInt64 = 0

        /// One more key: random mostly, some equal in the first word, some in the whole, as nature will not give them.
        mutating func next() -> KeyIndex.Entry {
            position += UInt64.random(in: 1...3, using: &random)
            let key: Key
            switch Int.random(in: 0..<20, using: &random) {
            case 0 where !keys.isEmpty:
                key = Key(high: keys[Int.random(in: 0..<keys.count, using: &random)].high, low: random.next())
            case 1 where !keys.isEmpty: key = keys[Int.random(in: 0..<keys.count, using: &random)]
            case 2: key = Key(high: 7, low: random.next())
            case 3: key = Key(high: .max, low: random.next())
            default: key = Key(high: random.next(), low: random.next())
            }
            let content = random.next()
            entries[key, default: []].append((position, content))
            keys.append(key)
            return KeyIndex.Entry(keyHash: (key.high, key.low), position: position, contentHash: (content, ~content))
        }

        func agrees(_ index: KeyIndex, _ key: Key) throws -> Bool {
            let found = try index.entries(for: (key.high, key.low)).sorted { $0.position < $1.position }
            let wanted = entries[key] ?? []
            return found.count == wanted.count
                && zip(found, wanted).allSatisfy { found, wanted in
                    found.position == wanted.position && found.contentHash == (wanted.content, ~wanted.content)
                        && found.keyHash == (key.high, key.low)
                }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `keys are found for ever, through flushes, merges and restarts`(seed: UInt64) throws {
        try withFolder { folder in
            var model = Model(random: Seeded(seed))
            var log: [KeyIndex.Entry] = []
            var wrong = 0
            var runsMax = 0
            for _ in 0..<6 {
                let index = try KeyIndex.open(folder: folder, highWater: model.position, memtableMax: 60)
                #expect(index.resetReason == nil)
                #expect(index.progress <= model.position)
                // What the engine does at start: insert again from the log what the runs do not have.
                for entry in log where entry.position > index.progress { index.insert(entry) }
                for _ in 0..<3000 {
                    let entry = model.next()
                    index.insert(entry)
                    log.append(entry)
                    let old = model.keys[Int.random(in: 0..<model.keys.count, using: &model.random)]
                    if try !model.agrees(index, old) { wrong += 1 }
                    let absent = Key(high: old.high, low: model.random.next())
                    if try !model.agrees(index, absent) { wrong += 1 }
                }
                runsMax = max(runsMax, index.runsCount)
                for key in model.entries.keys where try !model.agrees(index, key) { wrong += 1 }
                // Every other end is that of a crash: nothing is flushed.
                if Bool.random(using: &model.random) { try index.close() }
            }
            #expect(wrong == 0)
            let index = try KeyIndex.open(folder: folder, highWater: model.position, memtableMax: 60)
            for entry in log where entry.position > index.progress { index.insert(entry) }
            try index.settle()
            #expect(index.progress == model.position)
            for key in model.entries.keys where try !model.agrees(index, key) { wrong += 1 }
            #expect(wrong == 0)
            // 300 tables: merged again and again, not one run each.
            #expect(index.runsCount < 8 * 3)
            #expect(runsMax > 1)
        }
    }

    @Test func `an index that was deleted is built again`() throws {
        try withFolder { folder in
            let entries = (1...1000).map {
                KeyIndex.Entry(keyHash: (UInt64($0) << 40, 1), position: UInt64($0), contentHash: (0, UInt64($0)))
            }
            for _ in 0..<2 {
                let index = try KeyIndex.open(folder: folder, memtableMax: 64)
                #expect(index.progress == 0)
                for entry in entries { index.insert(entry) }
                try index.close()
                #expect(try index.entries(for: (500 << 40, 1)).map(\.position) == [500])
                try Folder.remove(folder)
            }
        }
    }

    @Test func `what close wrote is there at the next open`() throws {
        try withFolder { folder in
            do {
                let index = try KeyIndex.open(folder: folder, memtableMax: 64)
                for position in 1...10 {
                    index.insert(.init(keyHash: (1, UInt64(position)), position: UInt64(position), contentHash: (2, 3)))
                }
                try index.close()
            }
            do {
                let index = try KeyIndex.open(folder: folder, memtableMax: 64)
                #expect(index.progress == 10)
                #expect(try index.entries(for: (1, 7)).map(\.position) == [7])
                #expect(try index.entries(for: (1, 11)).isEmpty)
                try index.close()
            }
        }
    }

    @Test func `the index of another log, or of a log that was longer, is thrown away`() throws {
        try withFolder { folder in
            func open(_ id: UInt8, _ highWater: UInt64) throws -> (String?, Int) {
                let index = try KeyIndex.open(folder: folder, logID: [id], highWater: highWater, memtableMax: 4)
                defer { try? index.close() }
                let count = try index.entries(for: (1, 1)).count
                if index.progress == 0 {
                    for position in 1...9 {
                        index.insert(
                            .init(keyHash: (1, UInt64(position)), position: UInt64(position), contentHash: (0, 0)))
                    }
                }
                return (index.resetReason, count)
            }
            #expect(try open(1, 9) == (nil, 0))
            #expect(try open(1, 9) == (nil, 1))
            let other = try open(2, 9)
            #expect(other.0?.contains("another log") == true && other.1 == 0)
            #expect(try open(2, 9) == (nil, 1))
            let shorter = try open(2, 8)
            #expect(shorter.0?.contains("ahead of the log") == true && shorter.1 == 0)
        }
    }

    @Test func `an index is open once`() throws {
        try withFolder { folder in
            let index = try KeyIndex.open(folder: folder, memtableMax: 4)
            #expect(logError { _ = try KeyIndex.open(folder: folder, memtableMax: 4) } == .locked(folder: folder))
            try index.close()
        }
    }

    @Test func `a damaged index is thrown away or refuses to answer, and forgets no key in silence`() throws {
        try withFolder { folder in
            let count = 3000
            do {
                let index = try KeyIndex.open(folder: folder, memtableMax: 500)
                for number in 1...count { index.insert(entry(number)) }
                try index.close()
            }
            let path = folder + "/data/data.mdb"
            let image = try File.read(path, bytesMax: 1 << 24)
            var random = Seeded(4)
            var noticed = 0
            for _ in 0..<60 {
                // One byte of an entry: the 8 bytes of a content hash say where one is.
                let victim = Int.random(in: 1...count, using: &random)
                let content = entry(victim).contentHash.0
                let place = try #require(find(content, image))
                var damaged = image
                let byte = place + Int.random(in: -16..<24, using: &random)
                damaged[byte] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                try DurableFile.replace(path, with: damaged)
                let index = try KeyIndex.open(folder: folder, memtableMax: 500)
                if index.resetReason != nil {
                    noticed += 1
                    try DurableFile.replace(path, with: image)
                    continue
                }
                if logError({ for number in 1...count { _ = try index.entries(for: entry(number).keyHash) } }) != nil {
                    noticed += 1
                }
            }
            #expect(noticed == 60)
        }
    }

    private func entry(_ number: Int) -> KeyIndex.Entry {
        var random = Seeded(UInt64(number) &* 0x1234_5678_9ABC_DEF1)
        return .init(
            keyHash: (random.next(), random.next()), position: UInt64(number),
            contentHash: (random.next(), random.next()))
    }

    private func find(_ word: UInt64, _ image: [UInt8]) -> Int? {
        image.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: bytes.count - 64, by: 8)
            where bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == word {
                return offset
            }
            return nil
        }
    }

    /// 1 MiB is the smallest map that LMDB makes.
    @Test(arguments: [1 << 20, 1_300_000])
    func `when the disk is full the keys stay in memory and answers stay exact`(mapBytes: Int) throws {
        try withFolder { folder in
            // A key takes 40 bytes: these cannot fit, whatever was merged by the time.
            let count = mapBytes / 30
            let progress: UInt64
            do {
                let index = try KeyIndex.open(folder: folder, memtableMax: 500, mapBytes: mapBytes)
                for number in 1...count { index.insert(entry(number)) }
                let failure = logError { try index.flush() }
                guard case .full? = failure, index.failure == failure else {
                    Issue.record("all keys fitted: \(String(describing: failure))")
                    return
                }
                #expect(try found(1...count, in: index) == count)
                progress = index.progress
                #expect(progress < count)
                // It is full of keys, not of what merges have left behind.
                #expect(Int(progress) * Run.entrySize > mapBytes * 3 / 4)
            }
            let index = try KeyIndex.open(folder: folder, memtableMax: 500)
            #expect(index.progress == progress && index.resetReason == nil)
            for number in Int(progress) + 1...count { index.insert(entry(number)) }
            try index.settle()
            #expect(index.failure == nil && index.progress == count)
            #expect(try found(1...count, in: index) == count)
        }
    }

    private func found(_ numbers: ClosedRange<Int>, in index: KeyIndex) throws -> Int {
        try numbers.count { try index.entries(for: entry($0).keyHash).map(\.position) == [UInt64($0)] }
    }

    @Test func `a filter has no false misses and few false hits`() {
        var random = Seeded(9)
        var filter = BloomFilter(keys: 10_000)
        let keys = (0..<10_000).map { _ in (random.next(), random.next()) }
        for key in keys { filter.insert(key) }
        #expect(keys.allSatisfy { filter.mayContain($0) })
        let hits = (0..<100_000).count { _ in filter.mayContain((random.next(), random.next())) }
        #expect(hits < 1500, "\(hits) of 100,000")
        #expect(BloomFilter(words: filter.words).words == filter.words)
    }
}
