internal import Billing

/// A line that is not sealed yet.
struct LagoOpenLine {
    var sums: LagoSums
    /// Since the last flush: then its key is among the changed ones.
    var isChanged: Bool
}

/// Open lines by key, each in a place that it keeps until it is removed; calls of one shape mostly go to the line that
/// the last one went to.
struct LagoOpenLines {
    private struct Entry {
        var key: LagoLineKey
        /// Nil in a free place, and where a line is about to be made.
        var line: LagoOpenLine?
        var isFree: Bool
    }

    private var entries: [Entry] = []
    private var places: [LagoLineKey: Int] = [:]
    private var free: [Int] = []
    private var lastPlaces = ShapeMemory<Int>()

    /// The place of a key, made when there is none. It may be without a line.
    mutating func place(of key: LagoLineKey, for shape: CallShape) -> Int {
        if let last = lastPlaces[shape], !entries[last].isFree, entries[last].key == key { return last }
        let place = place(of: key)
        lastPlaces[shape] = place
        return place
    }

    private mutating func place(of key: LagoLineKey) -> Int {
        if let place = places[key] { return place }
        let entry = Entry(key: key, line: nil, isFree: false)
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

    subscript(place: Int) -> LagoOpenLine? {
        get { entries[place].line }
        _modify { yield &entries[place].line }
    }

    subscript(key: LagoLineKey) -> LagoOpenLine? {
        get { places[key].flatMap { entries[$0].line } }
        set {
            if newValue != nil {
                entries[place(of: key)].line = newValue
            } else if let place = places.removeValue(forKey: key) {
                entries[place].line = nil
                entries[place].isFree = true
                free.append(place)
            }
        }
    }

    /// The line is written as it is.
    mutating func settle(_ key: LagoLineKey) {
        if let place = places[key] { entries[place].line?.isChanged = false }
    }

    func sums(where isIncluded: (LagoLineKey) -> Bool) -> [LagoLineKey: LagoSums] {
        var found: [LagoLineKey: LagoSums] = [:]
        for entry in entries where !entry.isFree && isIncluded(entry.key) {
            if let line = entry.line { found[entry.key] = line.sums }
        }
        return found
    }
}
