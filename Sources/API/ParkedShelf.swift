internal import Billing
internal import Formats
internal import Hashing

/// What is parked: the items that have a place, and counts of those that found none. A fold of the lines of its file in
/// their order and nothing else, so that a restart gives the same.
///
/// A place is free while there are fewer items than `itemsMax`, whosever they are: a gateway with one key has all of
/// it. Then the key with the most items gives up its oldest for an item of a key that has at least two fewer: so no key
/// takes room that another needs, however many it sends. What comes from a key that has the most itself takes the place
/// of an item of the same key that is older than `keptSeconds`, or finds no room.
struct ParkedShelf: Sendable {
    enum Fate {
        case placed(ParkedItem)
        /// An item that is there already came again.
        case repeated
        case dropped
    }

    /// A place; without an item once that was given up.
    private struct Slot {
        var number: Int
        var item: ParkedItem?
    }

    /// The numbers of one key's items, the oldest first.
    private struct Tenant {
        var numbers: [Int] = []
        var gone = 0

        var count: Int { numbers.count - gone }
        var oldest: Int { numbers[gone] }
    }

    /// How to take back what was done since the mark.
    private enum Change {
        case placed
        case gaveUp(ParkedItem)
    }

    let limits: ParkedLimits
    private(set) var dropped: ParkedDropped
    /// In order of their numbers.
    private var slots: [Slot] = []
    private(set) var count = 0
    /// The last number given: numbers stay, and are never given twice.
    private var lastNumber = 0
    private var numbers: [Digest: Int] = [:]
    private var tenants: [Name?: Tenant] = [:]
    /// Items that came again, of which the file does not know yet.
    private var owedRepeats: Set<Int> = []
    private var changes: [Change] = []
    private var droppedAtMark: ParkedDropped
    /// When the last line that was read was written.
    private var lastTime = Timestamp(microseconds: 0)

    init(limits: ParkedLimits) {
        self.limits = limits
        dropped = ParkedDropped(limits: limits)
        droppedAtMark = dropped
    }

    // MARK: One item

    /// Gives it a place, or counts it. `item.number`, when it has one, is kept if it is larger than any before.
    mutating func take(_ item: ParkedItem) -> Fate {
        let identity = item.identity
        if let number = numbers[identity] {
            change(number) { kept in
                kept.times += item.times
                kept.lastReceivedAt = max(kept.lastReceivedAt, item.lastReceivedAt)
            }
            owedRepeats.insert(number)
            return .repeated
        }
        if count >= limits.itemsMax {
            guard let oldest = whoGivesUp(to: item) else {
                dropped.add(item, at: item.receivedAt)
                return .dropped
            }
            giveUp(oldest, at: item.receivedAt)
        }
        var item = item
        lastNumber = max(item.number, lastNumber + 1)
        item.number = lastNumber
        slots.append(Slot(number: lastNumber, item: item))
        count += 1
        numbers[identity] = lastNumber
        tenants[item.key, default: Tenant()].numbers.append(lastNumber)
        changes.append(.placed)
        return .placed(item)
    }

    /// Counts it as dropped, when the file cannot be written, unless it has a place already; whether it was counted.
    mutating func drop(unlessKept item: ParkedItem) -> Bool {
        guard numbers[item.identity] == nil else { return false }
        dropped.add(item, at: item.receivedAt)
        return true
    }

    /// The number of the item whose place the newcomer takes.
    private func whoGivesUp(to newcomer: ParkedItem) -> Int? {
        let own = tenants[newcomer.key]
        let most = tenants.max { left, right in
            // Of two with as many, the first by name.
            if left.value.count != right.value.count { return left.value.count < right.value.count }
            return ParkedDropped.precedes(right.key, left.key)
        }
        if let most, most.value.count >= (own?.count ?? 0) + 2 { return most.value.oldest }
        guard let own, let item = slots[place(of: own.oldest)].item,
            item.receivedAt.adding(seconds: limits.keptSeconds) <= newcomer.receivedAt
        else { return nil }
        return own.oldest
    }

    private mutating func giveUp(_ number: Int, at time: Timestamp) {
        let place = place(of: number)
        guard let item = slots[place].item else { preconditionFailure("a place without an item is given up") }
        slots[place].item = nil
        count -= 1
        numbers[item.identity] = nil
        tenants[item.key]?.gone += 1
        dropped.add(item, at: time)
        changes.append(.gaveUp(item))
    }

    private mutating func change(_ number: Int, _ body: (inout ParkedItem) -> Void) {
        let place = place(of: number)
        guard var item = slots[place].item else { preconditionFailure("a known item without a place") }
        body(&item)
        slots[place].item = item
    }

    /// The index of the first slot with at least this number.
    private func place(of number: Int) -> Int {
        var (low, high) = (0, slots.count)
        while low < high {
            let middle = (low + high) / 2
            if slots[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Together with the file

    /// What is done from here on can be taken back.
    mutating func mark() {
        changes.removeAll(keepingCapacity: true)
        droppedAtMark = dropped
    }

    /// Takes back what was done since the mark, but that items came again: that is true whatever the disk says.
    mutating func undo() {
        for change in changes.reversed() {
            switch change {
            case .placed:
                guard let item = slots.removeLast().item else { preconditionFailure("a new place without an item") }
                count -= 1
                numbers[item.identity] = nil
                tenants[item.key]?.numbers.removeLast()
                owedRepeats.remove(item.number)
                lastNumber = slots.last?.number ?? 0
            case .gaveUp(let item):
                slots[place(of: item.number)].item = item
                count += 1
                numbers[item.identity] = item.number
                tenants[item.key]?.gone -= 1
            }
        }
        changes.removeAll()
        dropped = droppedAtMark
    }

    /// Gives up counts when there are too many; before anything is written.
    mutating func fold() { dropped.fold() }

    /// Lines that the file lacks, but those of new items: what came again, and counts.
    func owedLines() -> [UInt8] {
        var lines: [UInt8] = []
        for number in owedRepeats.sorted() {
            let place = place(of: number)
            guard place < slots.count, slots[place].number == number, let item = slots[place].item else { continue }
            lines += item.repeatLine
        }
        return lines + dropped.owedLines
    }

    /// Whether too much is owed for single lines.
    var owesAll: Bool { dropped.owesAll }

    /// All is in the file.
    mutating func settle() {
        changes.removeAll(keepingCapacity: true)
        owedRepeats.removeAll()
        dropped.settle()
        droppedAtMark = dropped
        for (key, tenant) in tenants where tenant.gone > tenant.count {
            tenants[key] = tenant.count == 0 ? nil : Tenant(numbers: Array(tenant.numbers[tenant.gone...]))
        }
        if slots.count > 2 * count + ParkedLimits.groupItems { slots.removeAll { $0.item == nil } }
    }

    /// After the last line of the file.
    mutating func begin() {
        settle()
        fold()
    }

    // MARK: Questions

    func items(after: Int, limit: Int, org: Name?) -> [ParkedItem] {
        guard after < lastNumber else { return [] }
        let rest = slots[place(of: after + 1)...]
        return Array(rest.lazy.compactMap(\.item).filter { org == nil || $0.org == org }.prefix(limit))
    }

    // MARK: Lines

    /// Adds what one line of the file says.
    mutating func apply(_ line: ArraySlice<UInt8>) {
        guard !line.isEmpty else { return }
        guard let entry = ParkedLine(line) else {
            // Nobody knows what it was, only that it is gone.
            dropped.addUnreadable(line, at: lastTime)
            return
        }
        switch entry {
        case .item(let item):
            lastTime = item.lastReceivedAt
            _ = take(item)
        case .repeated(let number, let times, let time):
            lastTime = time
            let place = place(of: number)
            guard place < slots.count, slots[place].number == number, slots[place].item != nil else { return }
            slots[place].item?.times = times
            slots[place].item?.lastReceivedAt = time
        case .dropped(let at, let bucket):
            lastTime = bucket.lastAt
            dropped.set(at, bucket)
        case .earlier(let org, let sum, let folded):
            dropped.set(earlier: sum, of: org, folded: folded)
        }
    }

    /// Of a file that says all of this and nothing else.
    var linesNeeded: Int { count + dropped.linesNeeded }

    /// Where the writing of all lines is.
    struct Pieces {
        fileprivate var next: Int?
    }

    func pieces() -> Pieces { Pieces() }

    /// The next lines of a file that says all of this, nil at the end.
    func next(_ pieces: inout Pieces) -> [UInt8]? {
        guard let start = pieces.next else {
            pieces.next = 0
            return dropped.allLines
        }
        guard start < slots.count else { return nil }
        let end = min(slots.count, start + ParkedLimits.groupItems)
        pieces.next = end
        return slots[start..<end].reduce(into: []) { lines, slot in lines += slot.item?.line ?? [] }
    }
}
