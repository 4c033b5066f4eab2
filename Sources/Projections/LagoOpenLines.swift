internal import Billing

/// Lines that are not sealed yet by key, each in a place that it keeps until it is removed; calls of one shape mostly
/// go to the line that the last one went to.
struct LagoOpenLines {
    private struct Entry {
        var key: LagoLineKey
        /// Nil in a free place, and where a line is about to be made.
        var sums: LagoSums?
        /// Since the last flush: then its key is among the changed ones. Beside the sums, to be read without them.
        var isChanged = false
        /// Another one each time that the place is taken; 0 in a free place.
        var taken: UInt64
    }

    /// Where the last call of a shape went: provider, model and operation are the shape's own.
    private struct Last {
        var place: Int
        var taken: UInt64
        var windowStart: Int64
        var windowSeconds: Int64
        var subscription: Name
    }

    private var entries: [Entry] = []
    private var places: [LagoLineKey: Int] = [:]
    private var free: [Int] = []
    private var takings: UInt64 = 0
    private var lastPlaces = ShapeMemory<Last>()

    /// The place of the line that a call at `time` goes to, made when there is none. It may be without a line.
    mutating func place(
        of call: Call, at time: Timestamp, subscription: Name, windowSeconds: Int64
    ) -> Int {
        let windowStart = LagoLineKey.windowStart(of: time, seconds: windowSeconds)
        if let last = lastPlaces[call.shape], last.windowStart == windowStart, last.windowSeconds == windowSeconds,
            entries[last.place].taken == last.taken, last.subscription == subscription
        {
            return last.place
        }
        let key = LagoLineKey(
            subscription: subscription, windowStart: windowStart, windowSeconds: windowSeconds,
            provider: call.provider, model: call.model, operation: call.operation)
        let place = place(of: key)
        lastPlaces[call.shape] = Last(
            place: place, taken: entries[place].taken, windowStart: windowStart, windowSeconds: windowSeconds,
            subscription: subscription)
        return place
    }

    func key(at place: Int) -> LagoLineKey { entries[place].key }

    private mutating func place(of key: LagoLineKey) -> Int {
        if let place = places[key] { return place }
        takings += 1
        let entry = Entry(key: key, sums: nil, taken: takings)
        let place: Int
        if let last = free.popLast() {
            place = last
            entries[place] = entry
        } else {
            place = entries.count
            entries.append(entry)
        }
        places[key] = place
        return place
    }

    subscript(place: Int) -> LagoSums? {
        get { entries[place].sums }
        set { entries[place].sums = newValue }
    }

    func needsLine(at place: Int) -> Bool { entries[place].sums == nil }

    /// Whether the line was marked as changed already; it is now.
    mutating func change(at place: Int) -> Bool {
        let wasChanged = entries[place].isChanged
        entries[place].isChanged = true
        return wasChanged
    }

    /// Adds to the line in its place; there must be one.
    mutating func add(_ usage: LineUsage, sign: Int64, position: UInt64, at place: Int) {
        precondition(entries[place].sums != nil, "there is no line at place \(place)")
        entries[place].sums?.add(usage, sign: sign, position: position)
    }

    subscript(key: LagoLineKey) -> LagoSums? {
        get { places[key].flatMap { entries[$0].sums } }
        set {
            if newValue != nil {
                entries[place(of: key)].sums = newValue
            } else if let place = places.removeValue(forKey: key) {
                entries[place].sums = nil
                entries[place].isChanged = false
                entries[place].taken = 0
                free.append(place)
            }
        }
    }

    /// The sums of a line that changed since it was last asked about; nil for any other, and from now on.
    mutating func takeChanged(_ key: LagoLineKey) -> LagoSums? {
        guard let place = places[key], entries[place].isChanged else { return nil }
        entries[place].isChanged = false
        return entries[place].sums
    }

    func sums(where isIncluded: (LagoLineKey) -> Bool) -> [LagoLineKey: LagoSums] {
        var found: [LagoLineKey: LagoSums] = [:]
        for entry in entries where entry.taken != 0 && isIncluded(entry.key) {
            if let sums = entry.sums { found[entry.key] = sums }
        }
        return found
    }
}
