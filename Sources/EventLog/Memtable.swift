/// The newest keys, in memory: an open-addressed table over flat arrays, so that an insert allocates nothing.
struct Memtable {
    private(set) var entries: [KeyIndex.Entry] = []
    /// Index into `entries` plus one; 0 is free. At most half full.
    private var slots: [UInt32]

    init(capacity: Int) {
        var count = 16
        while count < capacity * 2 { count *= 2 }
        slots = [UInt32](repeating: 0, count: count)
        entries.reserveCapacity(capacity)
    }

    mutating func insert(_ entry: KeyIndex.Entry) {
        if (entries.count + 1) * 2 > slots.count { grow() }
        entries.append(entry)
        place(entries.count)
    }

    /// Puts a number (index plus one) into the first free slot of its key. Entries with one key sit in several slots.
    private mutating func place(_ number: Int) {
        let mask = slots.count - 1
        // The key is a hash already: its low bits are as good as any.
        var slot = Int(truncatingIfNeeded: entries[number - 1].keyHash.1) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = UInt32(number)
    }

    private mutating func grow() {
        slots = [UInt32](repeating: 0, count: slots.count * 2)
        for number in 1..<(entries.count + 1) { place(number) }
    }

    func find(_ key: (UInt64, UInt64), into found: inout [KeyIndex.Entry]) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: key.1) & mask
        while slots[slot] != 0 {
            let entry = entries[Int(slots[slot]) - 1]
            if entry.keyHash == key { found.append(entry) }
            slot = (slot + 1) & mask
        }
    }
}

/// A Bloom filter whose probes for one key stay within one cache line: 12 bits a key, about 1 false hit in 150.
struct BloomFilter {
    static let bitsPerKey = 12
    private static let probes = 7
    /// 64-bit words; eight make a line of 512 bits.
    private(set) var words: [UInt64]

    init(keys: Int) {
        let lines = max(1, (keys * BloomFilter.bitsPerKey + 511) / 512)
        words = [UInt64](repeating: 0, count: lines * 8)
    }

    init(words: [UInt64]) {
        precondition(!words.isEmpty && words.count % 8 == 0, "a filter of \(words.count) words")
        self.words = words
    }

    /// The first word of the line: the high half of the product spreads evenly over any number of lines.
    private func line(_ key: (UInt64, UInt64)) -> Int {
        Int(key.0.multipliedFullWidth(by: UInt64(words.count / 8)).high) * 8
    }

    mutating func insert(_ key: (UInt64, UInt64)) {
        let line = line(key)
        var bits = key.1
        for _ in 0..<BloomFilter.probes {
            let bit = Int(bits & 511)
            words[line + bit >> 6] |= 1 << UInt64(bit & 63)
            bits >>= 9
        }
    }

    func mayContain(_ key: (UInt64, UInt64)) -> Bool {
        let line = line(key)
        var bits = key.1
        for _ in 0..<BloomFilter.probes {
            let bit = Int(bits & 511)
            if words[line + bit >> 6] & 1 << UInt64(bit & 63) == 0 { return false }
            bits >>= 9
        }
        return true
    }
}
