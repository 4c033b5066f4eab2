/// The member names of the objects that are open, so that a name that comes twice is seen. A stack: only the innermost
/// object takes names, and what it took goes when it closes. Time is linear in the names, whatever they are: up to
/// `linearMax` are compared one by one, more go through a table hashed with the process's random seed, so that nobody
/// can choose names that collide.
struct Names {
    static let linearMax = 8
    static let tableSizeFirst = 64

    /// Where an object's part of the stacks begins.
    struct Level {
        var names: Int
        var table: Int
        var unescaped: Int
    }

    fileprivate struct Entry {
        /// In the document, or in `unescaped` when the name was written with escapes.
        var start: Int
        var count: Int
        var hash: UInt32
        var isUnescaped: Bool
    }

    /// Two random words of this process: `Hasher` is seeded at its start.
    private static let seeds: (UInt64, UInt64) = {
        func word(_ number: Int) -> UInt64 {
            var hasher = Hasher()
            hasher.combine(number)
            return UInt64(truncatingIfNeeded: hasher.finalize())
        }
        return (word(1), word(2) | 1)
    }()

    private var entries: [Entry] = []
    /// Open addressing: 1 + index of an entry within the level, 0 = free.
    private var table: [UInt32] = []
    private var unescaped: [UInt8] = []

    var level: Level { Level(names: entries.count, table: table.count, unescaped: unescaped.count) }

    mutating func close(_ level: Level) {
        if entries.count > level.names { entries.removeLast(entries.count - level.names) }
        if table.count > level.table { table.removeLast(table.count - level.table) }
        if unescaped.count > level.unescaped { unescaped.removeLast(unescaped.count - level.unescaped) }
    }

    /// Takes the name in `range`; false when the object at `level`, the innermost, has it already.
    mutating func insert(
        _ range: Range<Int>, escaped: Bool, scan: Scan, level: Level
    ) throws(JSONError) -> Bool {
        var entry = Entry(start: range.lowerBound, count: range.count, hash: 0, isUnescaped: escaped)
        if escaped {
            entry.start = unescaped.count
            try scan.unescape(range, into: &unescaped)
            entry.count = unescaped.count - entry.start
        }
        let count = entries.count - level.names
        if count < Names.linearMax {
            if unescaped.count > level.unescaped {
                for index in level.names..<entries.count where same(entries[index], entry, scan) { return false }
            } else {
                // As almost always. Without a look at `self` no reference is counted.
                for index in level.names..<entries.count where samePlain(entries[index], entry, scan) { return false }
            }
            entries.append(entry)
            return true
        }
        if count == Names.linearMax {
            for index in level.names..<entries.count { entries[index].hash = hash(entries[index], scan) }
            rehash(level, size: Names.tableSizeFirst)
        } else if count * 2 >= table.count - level.table {
            rehash(level, size: (table.count - level.table) * 2)
        }
        entry.hash = hash(entry, scan)
        let mask = table.count - level.table - 1
        var slot = Int(entry.hash) & mask
        while table[level.table + slot] != 0 {
            let other = entries[level.names + Int(table[level.table + slot]) - 1]
            if other.hash == entry.hash && same(other, entry, scan) { return false }
            slot = (slot + 1) & mask
        }
        entries.append(entry)
        table[level.table + slot] = UInt32(count + 1)
        return true
    }

    private mutating func rehash(_ level: Level, size: Int) {
        table.removeLast(table.count - level.table)
        table.append(contentsOf: repeatElement(0, count: size))
        for index in level.names..<entries.count {
            var slot = Int(entries[index].hash) & (size - 1)
            while table[level.table + slot] != 0 { slot = (slot + 1) & (size - 1) }
            table[level.table + slot] = UInt32(index - level.names + 1)
        }
    }

    @inline(__always)
    private func same(_ left: Entry, _ right: Entry, _ scan: Scan) -> Bool {
        if left.isUnescaped || right.isUnescaped { return sameUnescaped(left, right, scan) }
        return samePlain(left, right, scan)
    }

    @inline(never)
    private func sameUnescaped(_ left: Entry, _ right: Entry, _ scan: Scan) -> Bool {
        bytes(left, scan).elementsEqual(bytes(right, scan))
    }

    @inline(__always)
    private func hash(_ entry: Entry, _ scan: Scan) -> UInt32 {
        if entry.isUnescaped { return hashUnescaped(entry, scan) }
        return Names.hash(UnsafeRawBufferPointer(scan.bytes), entry.start, entry.count)
    }

    @inline(never)
    private func hashUnescaped(_ entry: Entry, _ scan: Scan) -> UInt32 {
        unescaped.withUnsafeBytes { Names.hash($0, entry.start, entry.count) }
    }

    /// Eight bytes at a time: exclusive or with the running hash, a 64 x 64 -> 128 bit product, its halves folded.
    @inline(__always)
    private static func hash(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> UInt32 {
        let (seed, factor) = seeds
        var hash = seed ^ UInt64(truncatingIfNeeded: count)
        var done = 0
        while done + 8 <= count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start + done, as: UInt64.self))
            let (high, low) = (hash ^ word).multipliedFullWidth(by: factor)
            hash = high ^ low &+ seed
            done += 8
        }
        var rest: UInt64 = 0
        while done < count {
            rest = rest << 8 | UInt64(bytes[start + done])
            done += 1
        }
        let (high, low) = (hash ^ rest).multipliedFullWidth(by: factor)
        return UInt32(truncatingIfNeeded: (high ^ low) >> 16)
    }

    private func bytes(_ entry: Entry, _ scan: Scan) -> [UInt8] {
        let range = entry.start..<entry.start + entry.count
        return entry.isUnescaped ? Array(unescaped[range]) : Array(scan.bytes[range])
    }
}

/// Whether two names are the same that were both written without escapes.
@inline(__always)
private func samePlain(_ left: Names.Entry, _ right: Names.Entry, _ scan: Scan) -> Bool {
    left.count == right.count && equal(scan.bytes, left.start, scan.bytes, right.start, count: left.count)
}

/// Whether `count` bytes are the same in both. The caller has checked the ranges.
@inline(__always)
func equal(
    _ left: UnsafeBufferPointer<UInt8>, _ leftStart: Int, _ right: UnsafeBufferPointer<UInt8>, _ rightStart: Int,
    count: Int
) -> Bool {
    let leftRaw = UnsafeRawBufferPointer(left)
    let rightRaw = UnsafeRawBufferPointer(right)
    var done = 0
    while done + 8 <= count {
        let a = leftRaw.loadUnaligned(fromByteOffset: leftStart + done, as: UInt64.self)
        let b = rightRaw.loadUnaligned(fromByteOffset: rightStart + done, as: UInt64.self)
        if a != b { return false }
        done += 8
    }
    while done < count {
        if left[leftStart + done] != right[rightStart + done] { return false }
        done += 1
    }
    return true
}
