/// A sorted run of keys on disk: blocks of entries in the database "blocks", and one value in "runs" that says what it
/// is.
///
/// Block, under the key (run number << 32 | block number), native order since it is a cache of this machine:
/// ```
///  0     8  checksum of what follows
///  8     8  count n, 1 ... 101
/// 16   40 n  entries: key hash (2 x 8), content hash (2 x 8), position (8); ascending by key hash, then position
/// ```
/// A full block and LMDB's page header together fit one page of 4,096 bytes.
///
/// Value in "runs", under the run number:
/// ```
///  0     8  checksum of what follows
///  8     8  level
/// 16     8  entries
/// 24     8  blocks b
/// 32     8  words w of the Bloom filter
/// 40   8 b  first word of the first key hash of every block
///      8 w  the filter
/// ```
final class Run: Sendable {
    static let blockEntries = 101
    static let blockHeaderSize = 16
    static let entrySize = 40
    static let headerSize = 40

    let number: UInt64
    /// 0 for a table that was written, one more than its parts for a merge.
    let level: Int
    let count: Int
    let fences: [UInt64]
    let filter: BloomFilter

    init(number: UInt64, level: Int, count: Int, fences: [UInt64], filter: BloomFilter) {
        self.number = number
        self.level = level
        self.count = count
        self.fences = fences
        self.filter = filter
    }

    static func blockKey(_ run: UInt64, _ block: Int) -> UInt64 { run << 32 | UInt64(block) }

    /// The oldest runs that should become one.
    static func mergeable(_ runs: [Run]) -> [Run]? {
        for level in Set(runs.map(\.level)).sorted() {
            let parts = runs.filter { $0.level == level }
            if parts.count >= KeyIndex.runsPerLevel { return Array(parts.prefix(KeyIndex.runsPerLevel)) }
        }
        return nil
    }

    /// The blocks that can hold a key: all but always one.
    func blocks(holding key: UInt64) -> Range<Int> {
        // First block that begins at the key or after it; the one before may hold it too.
        var low = 0
        var high = fences.count
        while low < high {
            let middle = (low + high) / 2
            if fences[middle] < key { low = middle + 1 } else { high = middle }
        }
        var end = low
        while end < fences.count && fences[end] == key { end += 1 }
        return max(0, low - 1)..<end
    }

    // MARK: Bytes

    var encodedSize: Int { Run.headerSize + 8 * (fences.count + filter.words.count) }

    func encode(_ room: UnsafeMutableRawBufferPointer) {
        let fields = [UInt64(level), UInt64(count), UInt64(fences.count), UInt64(filter.words.count)]
        var offset = 8
        for list in [fields, fences, filter.words] {
            list.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(rebasing: room[offset..<(offset + source.count)]).copyMemory(from: source)
                offset += source.count
            }
        }
        room.storeBytes(of: Run.checksum(UnsafeRawBufferPointer(rebasing: room[8...])), as: UInt64.self)
    }

    /// Throws `.corrupt` when a byte is not as written.
    init(number: UInt64, _ bytes: UnsafeRawBufferPointer) throws(LogError) {
        let fault = LogError.corrupt(
            position: 0, reason: "key index: run \(number) is damaged; delete the index folder")
        guard bytes.count >= Run.headerSize, bytes.count % 8 == 0,
            bytes.loadUnaligned(as: UInt64.self) == Run.checksum(UnsafeRawBufferPointer(rebasing: bytes[8...]))
        else { throw fault }
        func word(_ index: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) }
        let words = bytes.count / 8
        guard word(1) < 64, word(2) <= UInt64(Int.max), word(3) <= UInt64(words), word(4) <= UInt64(words),
            5 + Int(word(3)) + Int(word(4)) == words, word(4) >= 8, word(4) % 8 == 0
        else { throw fault }
        let blocks = Int(word(3))
        self.number = number
        level = Int(word(1))
        count = Int(word(2))
        fences = (0..<blocks).map { word(5 + $0) }
        filter = BloomFilter(words: ((5 + blocks)..<words).map(word))
    }

    static func blockSize(_ count: Int) -> Int { blockHeaderSize + entrySize * count }

    static func encode(_ entries: ArraySlice<KeyIndex.Entry>, _ room: UnsafeMutableRawBufferPointer) {
        room.storeBytes(of: UInt64(entries.count), toByteOffset: 8, as: UInt64.self)
        var offset = blockHeaderSize
        for entry in entries {
            room.storeBytes(of: entry.keyHash.0, toByteOffset: offset, as: UInt64.self)
            room.storeBytes(of: entry.keyHash.1, toByteOffset: offset + 8, as: UInt64.self)
            room.storeBytes(of: entry.contentHash.0, toByteOffset: offset + 16, as: UInt64.self)
            room.storeBytes(of: entry.contentHash.1, toByteOffset: offset + 24, as: UInt64.self)
            room.storeBytes(of: entry.position, toByteOffset: offset + 32, as: UInt64.self)
            offset += entrySize
        }
        room.storeBytes(of: checksum(UnsafeRawBufferPointer(rebasing: room[8...])), as: UInt64.self)
    }

    /// Checks a block and gives the number of its entries.
    static func blockCount(_ bytes: UnsafeRawBufferPointer?, run: UInt64, block: Int) throws(LogError) -> Int {
        guard let bytes, bytes.count >= blockSize(1), bytes.count <= blockSize(blockEntries),
            (bytes.count - blockHeaderSize) % entrySize == 0,
            bytes.loadUnaligned(as: UInt64.self) == checksum(UnsafeRawBufferPointer(rebasing: bytes[8...])),
            bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                == UInt64((bytes.count - blockHeaderSize) / entrySize)
        else {
            throw .corrupt(
                position: 0, reason: "key index: block \(block) of run \(run) is damaged; delete the index folder")
        }
        return (bytes.count - blockHeaderSize) / entrySize
    }

    static func entry(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> KeyIndex.Entry {
        let offset = blockHeaderSize + entrySize * index
        func word(_ number: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset + number * 8, as: UInt64.self) }
        return KeyIndex.Entry(keyHash: (word(0), word(1)), position: word(4), contentHash: (word(2), word(3)))
    }

    /// Against rot, not against malice: LMDB 0.9 has no checksums, and a key that is not found is a call billed twice.
    /// Any one changed word changes it, since each step is a bijection of the state.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            state ^= bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            state = state &* 0xD6E8_FEB8_6659_FD93
            state ^= state >> 32
            offset += 8
        }
        return state
    }

    static func precedes(_ left: KeyIndex.Entry, _ right: KeyIndex.Entry) -> Bool {
        if left.keyHash.0 != right.keyHash.0 { return left.keyHash.0 < right.keyHash.0 }
        if left.keyHash.1 != right.keyHash.1 { return left.keyHash.1 < right.keyHash.1 }
        return left.position < right.position
    }
}
