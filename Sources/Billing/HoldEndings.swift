/// Running holds in order of (end, key): which ends next, and which have ended.
///
/// Holds are made in the order of their ends, nearly, and most go before they end, anywhere among the others. So one
/// that goes leaves its place marked, and marked places are cleared when they are the first or the most: a hold costs a
/// search, however many run.
struct HoldEndings: Sendable {
    private struct Entry {
        var time: Timestamp
        var key: HoldKey
        var isGone = false
    }

    /// From `start` on. The first is not gone.
    private var entries: [Entry] = []
    private var start = 0
    /// Marked places from `start` on.
    private var gone = 0
    /// Fewer are not worth clearing.
    private static let goneMin = 64

    init() {}

    /// Of holds in any order, each once.
    init(_ holds: [Hold]) {
        entries = holds.map { Entry(time: $0.expiresAt, key: $0.key) }.sorted(by: HoldEndings.isBefore)
    }

    var first: Timestamp? { start < entries.count ? entries[start].time : nil }

    /// Of those that end at or before `time`, in order.
    func keys(through time: Timestamp) -> [HoldKey] {
        entries[start...].prefix { $0.time <= time }.filter { !$0.isGone }.map(\.key)
    }

    mutating func insert(_ hold: Hold) {
        let entry = Entry(time: hold.expiresAt, key: hold.key)
        let place = place(of: entry)
        if place < entries.count, entries[place].key == entry.key, entries[place].time == entry.time {
            precondition(entries[place].isGone, "the hold \(entry.key) has an end already")
            entries[place].isGone = false
            gone -= 1
        } else {
            entries.insert(entry, at: place)
        }
    }

    /// Traps when there is none.
    mutating func remove(_ hold: Hold) {
        let place = place(of: Entry(time: hold.expiresAt, key: hold.key))
        precondition(
            place < entries.count && entries[place].key == hold.key && !entries[place].isGone,
            "the hold \(hold.key) has no end")
        entries[place].isGone = true
        gone += 1
        while start < entries.count, entries[start].isGone {
            start += 1
            gone -= 1
        }
        // What was cleared pays for the copy of what is left.
        if gone + start > HoldEndings.goneMin, (gone + start) * 2 > entries.count {
            entries = entries[start...].filter { !$0.isGone }
            (start, gone) = (0, 0)
        }
    }

    private func place(of entry: Entry) -> Int {
        var (low, high) = (start, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if HoldEndings.isBefore(entries[middle], entry) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func isBefore(_ left: Entry, _ right: Entry) -> Bool {
        left.time == right.time ? left.key < right.key : left.time < right.time
    }
}
