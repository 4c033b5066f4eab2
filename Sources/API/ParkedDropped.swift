internal import Billing
internal import Formats
internal import Hashing
internal import JSON

/// Counts of items that could not be taken and found no room to be kept: how many, when and which, by key, code and
/// hour. When there are too many counts, the key with the most gives up its oldest, which is added to a sum of its org.
struct ParkedDropped: Sendable {
    /// Whose items, why they could not be taken, and in which hour they found no room.
    struct Place: Hashable, Sendable {
        var key: Name?
        /// That the key was confined to.
        var org: Name?
        var code: String
        /// The hour's first moment.
        var hour: Timestamp
    }

    struct Sum: Hashable, Sendable {
        var count = 0
        var firstAt: Timestamp
        var lastAt: Timestamp

        mutating func add(_ count: Int, _ firstAt: Timestamp, _ lastAt: Timestamp) {
            self.count += count
            self.firstAt = min(self.firstAt, firstAt)
            self.lastAt = max(self.lastAt, lastAt)
        }
    }

    struct Bucket: Hashable, Sendable {
        var sum: Sum
        /// SHA-256 of the items, of the first different ones.
        var hashes: [Digest] = []

        var lastAt: Timestamp { sum.lastAt }
    }

    static let unreadable = "unreadable_line"
    private static let microsecondsPerHour = 3600 * Timestamp.microsecondsPerSecond

    private let limits: ParkedLimits
    private var buckets: [Place: Bucket] = [:]
    /// Sums of buckets that were given up, by org; nil is also for orgs beyond `earlierOrgsMax`.
    private var earlier: [Name?: Sum] = [:]
    private(set) var total = 0
    private(set) var lastAt: Timestamp?
    /// What the file does not know yet: counts that changed, and those that were given up, in that order.
    private var owedPlaces: Set<Place> = []
    private var owedFolds: [(place: Place, org: Name?)] = []
    private(set) var owesAll = false

    init(limits: ParkedLimits) {
        self.limits = limits
    }

    // MARK: Counting

    mutating func add(_ item: ParkedItem, at time: Timestamp) {
        add(key: item.key, org: item.org, code: item.parked.code, hash: item.parked.itemHash, at: time)
    }

    /// A line of the file that cannot be read held an item, or knew of some.
    mutating func addUnreadable(_ line: ArraySlice<UInt8>, at time: Timestamp) {
        add(key: nil, org: nil, code: ParkedDropped.unreadable, hash: SHA256.hash(Array(line)), at: time)
    }

    private mutating func add(key: Name?, org: Name?, code: String, hash: Digest?, at time: Timestamp) {
        let into = time.microseconds % ParkedDropped.microsecondsPerHour
        let hour = Timestamp(
            microseconds: time.microseconds - (into < 0 ? into + ParkedDropped.microsecondsPerHour : into))
        let place = Place(key: key, org: org, code: code, hour: hour)
        var bucket = buckets[place] ?? Bucket(sum: Sum(firstAt: time, lastAt: time))
        bucket.sum.add(1, time, time)
        if let hash, bucket.hashes.count < limits.hashesPerBucketMax, !bucket.hashes.contains(hash) {
            bucket.hashes.append(hash)
        }
        buckets[place] = bucket
        owedPlaces.insert(place)
        total += 1
        lastAt = max(lastAt ?? time, time)
    }

    /// Gives up counts until there are few enough.
    mutating func fold() {
        while buckets.count > limits.bucketsMax {
            let ofKeys = Dictionary(buckets.keys.map { ($0.key, 1) }, uniquingKeysWith: +)
            let most = ofKeys.max { left, right in
                left.value != right.value ? left.value < right.value : ParkedDropped.precedes(right.key, left.key)
            }
            guard let most, let place = buckets.keys.filter({ $0.key == most.key }).min(by: ParkedDropped.isOlder),
                let bucket = buckets.removeValue(forKey: place)
            else { preconditionFailure("no count among \(buckets.count)") }
            let isKnown = earlier[place.org] != nil || earlier.count < limits.earlierOrgsMax
            let org = isKnown ? place.org : nil
            earlier[org, default: Sum(firstAt: bucket.sum.firstAt, lastAt: bucket.sum.lastAt)]
                .add(bucket.sum.count, bucket.sum.firstAt, bucket.sum.lastAt)
            owedPlaces.remove(place)
            owedFolds.append((place, org))
            // While the disk takes nothing, this would grow for ever.
            if owedFolds.count > limits.bucketsMax {
                owesAll = true
                owedFolds = []
            }
        }
    }

    mutating func settle() {
        owedPlaces.removeAll()
        owedFolds.removeAll()
        owesAll = false
    }

    // MARK: Lines

    /// What a line says replaces what was counted until then: it was written with all of it.
    mutating func set(_ place: Place, _ bucket: Bucket) {
        total += bucket.sum.count - (buckets[place]?.sum.count ?? 0)
        buckets[place] = bucket
        lastAt = max(lastAt ?? bucket.lastAt, bucket.lastAt)
    }

    mutating func set(earlier sum: Sum, of org: Name?, folded: Place?) {
        if let folded { total -= buckets.removeValue(forKey: folded)?.sum.count ?? 0 }
        total += sum.count - (earlier[org]?.count ?? 0)
        earlier[org] = sum
        lastAt = max(lastAt ?? sum.lastAt, sum.lastAt)
    }

    /// Given up ones first: a count of the same place may have begun anew since.
    var owedLines: [UInt8] {
        var lines: [UInt8] = []
        for fold in owedFolds {
            guard let sum = earlier[fold.org] else { preconditionFailure("a count was added to nothing") }
            lines += ParkedLine.earlier(fold.org, sum, folded: fold.place).bytes
        }
        for place in owedPlaces.sorted(by: ParkedDropped.isOlder) {
            guard let bucket = buckets[place] else { continue }
            lines += ParkedLine.dropped(place, bucket).bytes
        }
        return lines
    }

    var allLines: [UInt8] {
        var lines: [UInt8] = []
        for (org, sum) in earlier.sorted(by: { ParkedDropped.precedes($0.key, $1.key) }) {
            lines += ParkedLine.earlier(org, sum, folded: nil).bytes
        }
        for (place, bucket) in buckets.sorted(by: { ParkedDropped.isOlder($0.key, $1.key) }) {
            lines += ParkedLine.dropped(place, bucket).bytes
        }
        return lines
    }

    var linesNeeded: Int { earlier.count + buckets.count }

    // MARK: Order

    /// By name, none before any.
    static func precedes(_ left: Name?, _ right: Name?) -> Bool {
        guard let right else { return false }
        guard let left else { return true }
        return left < right
    }

    private static func isOlder(_ left: Place, _ right: Place) -> Bool {
        if left.hour != right.hour { return left.hour < right.hour }
        if left.key != right.key { return precedes(left.key, right.key) }
        if left.org != right.org { return precedes(left.org, right.org) }
        return left.code.utf8.lexicographicallyPrecedes(right.code.utf8)
    }

    // MARK: Answers

    /// What a reader sees of it.
    struct Seen: Sendable {
        var total = 0
        /// Of the total, those in hours that are not listed one by one any more.
        var earlier = 0
        var firstAt: Timestamp?
        var lastAt: Timestamp?
        /// The newest first.
        var hours: [(place: Place, bucket: Bucket)] = []

        fileprivate mutating func add(_ sum: Sum) {
            total += sum.count
            firstAt = min(firstAt ?? sum.firstAt, sum.firstAt)
            lastAt = max(lastAt ?? sum.lastAt, sum.lastAt)
        }

        func write(into writer: inout JSONWriter) {
            writer.object { writer in
                writer.member("total", integer: total)
                writer.member("earlier", integer: earlier)
                if let firstAt { writer.member("first_received_at", string: firstAt.rfc3339) }
                if let lastAt { writer.member("last_received_at", string: lastAt.rfc3339) }
                writer.key("hours")
                writer.array(hours) { writer, hour in
                    writer.object { hour.place.write(into: &$0, hour.bucket) }
                }
            }
        }
    }

    /// For a confined reader only what came from keys confined alike.
    func seen(by org: Name?, hoursMax: Int) -> Seen {
        var seen = Seen()
        for (place, bucket) in buckets where org == nil || place.org == org {
            seen.add(bucket.sum)
            seen.hours.append((place, bucket))
        }
        for (of, sum) in earlier where org == nil || of == org {
            seen.add(sum)
            seen.earlier += sum.count
        }
        seen.hours.sort { ParkedDropped.isOlder($1.place, $0.place) }
        seen.hours.removeLast(max(0, seen.hours.count - hoursMax))
        return seen
    }
}
