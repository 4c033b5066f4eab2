internal import Billing
internal import Formats
internal import Hashing
internal import JSON

/// One parked item.
struct ParkedItem: Hashable, Sendable {
    /// From 1, in the order of receipt; 0 before it has a place.
    var number = 0
    var receivedAt: Timestamp
    var door: Door
    var key: Name?
    /// The org that the posting key is confined to: who else is, sees it.
    var org: Name?
    var parked: Parked
    var times = 1
    var lastReceivedAt: Timestamp

    init(receivedAt: Timestamp, door: Door, key: Name?, org: Name?, parked: Parked) {
        self.receivedAt = receivedAt
        self.door = door
        self.key = key
        self.org = org
        self.parked = parked
        lastReceivedAt = receivedAt
    }

    /// What makes two items one that came twice: all that is known of them, and where they say nothing of themselves,
    /// their bytes.
    var identity: Digest {
        var hash = SHA256()
        func add(_ text: String) {
            hash.update(text)
            hash.update([0])
        }
        for part in [door.name, key?.text ?? "", parked.code, parked.field, parked.detail] { add(part) }
        for fact in parked.facts {
            add(fact.name)
            add(fact.value)
        }
        if parked.facts.isEmpty, let itemHash = parked.itemHash { hash.update(itemHash.bytes) }
        return hash.finalize()
    }

    /// As `GET /v1/parked` shows it.
    func write(into writer: inout JSONWriter) {
        writer.object { writer in
            writeFacts(into: &writer)
            writer.member("times", integer: times)
            writer.member("first_received_at", string: receivedAt.rfc3339)
            writer.member("last_received_at", string: lastReceivedAt.rfc3339)
        }
    }

    private func writeFacts(into writer: inout JSONWriter) {
        writer.member("number", integer: number)
        writer.member("received_at", string: receivedAt.rfc3339)
        writer.member("door", string: door.name)
        if let key { writer.member("key", string: key.text) }
        if let org { writer.member("org", string: org.text) }
        writer.member("code", string: parked.code)
        writer.member("field", string: parked.field)
        writer.member("detail", string: parked.detail)
        writer.key("facts")
        writer.object { writer in
            for fact in parked.facts {
                writer.key(fact.name)
                writer.string(fact.value)
            }
        }
        if let hash = parked.itemHash { writer.member("item_sha256", string: hash.hex) }
    }

    var line: [UInt8] {
        ParkedLine.bytes { writer in
            writeFacts(into: &writer)
            if times > 1 {
                writer.member("times", integer: times)
                writer.member("last_received_at", string: lastReceivedAt.rfc3339)
            }
        }
    }

    /// That it came again: how often and when last, all together.
    var repeatLine: [UInt8] {
        ParkedLine.bytes { writer in
            writer.member("repeat", integer: number)
            writer.member("times", integer: times)
            writer.member("last_received_at", string: lastReceivedAt.rfc3339)
        }
    }
}

/// One line of the file of parked items. Earlier versions wrote items only, without hash and times.
enum ParkedLine {
    case item(ParkedItem)
    case repeated(number: Int, times: Int, lastReceivedAt: Timestamp)
    /// All that was counted in one place until then.
    case dropped(ParkedDropped.Place, ParkedDropped.Bucket)
    /// All that an org's counts that were given up add up to, and which was the last.
    case earlier(Name?, ParkedDropped.Sum, folded: ParkedDropped.Place?)

    fileprivate static func bytes(_ build: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter()
        writer.object(build)
        return writer.bytes + [0x0A]
    }

    /// With its newline.
    var bytes: [UInt8] {
        switch self {
        case .item(let item):
            item.line
        case .repeated(let number, let times, let lastReceivedAt):
            ParkedLine.bytes { writer in
                writer.member("repeat", integer: number)
                writer.member("times", integer: times)
                writer.member("last_received_at", string: lastReceivedAt.rfc3339)
            }
        case .dropped(let place, let bucket):
            ParkedLine.bytes { writer in
                writer.key("dropped")
                writer.object { place.write(into: &$0, bucket) }
            }
        case .earlier(let org, let sum, let folded):
            ParkedLine.bytes { writer in
                writer.key("dropped_earlier")
                writer.object { writer in
                    if let org { writer.member("org", string: org.text) }
                    sum.write(into: &writer)
                }
                if let folded {
                    writer.key("folded")
                    writer.object { folded.write(into: &$0) }
                }
            }
        }
    }

    /// Nil when it is none of ours.
    init?(_ line: ArraySlice<UInt8>) {
        if let value = try? JSONValue.parse(Array(line)) {
            self.init(value)
            return
        }
        // Before, a line that a full disk or a power cut had torn was not cut off: the next item came behind it, on the
        // same line. No text inside of an item can look like its beginning: its quotes are escaped.
        let beginning = Array("{\"number\":".utf8)
        let starts = line.indices.filter { line[$0...].starts(with: beginning) }
        guard let last = starts.last, last > line.startIndex, let value = try? JSONValue.parse(Array(line[last...]))
        else { return nil }
        self.init(value)
    }

    private init?(_ value: JSONValue) {
        if value["door"] != nil, let item = ParkedItem(value) {
            self = .item(item)
        } else if let number = value.integer("repeat"), let times = value.integer("times"),
            let time = value.time("last_received_at")
        {
            self = .repeated(number: number, times: times, lastReceivedAt: time)
        } else if let bucket = value["dropped"], let place = ParkedDropped.Place(bucket),
            let sum = ParkedDropped.Sum(bucket), case .array(let hashes)? = bucket["items_sha256"]
        {
            let hashes = hashes.compactMap { $0.string.flatMap { Digest(hex: $0) } }
            self = .dropped(place, ParkedDropped.Bucket(sum: sum, hashes: hashes))
        } else if let earlier = value["dropped_earlier"], let sum = ParkedDropped.Sum(earlier) {
            self = .earlier(earlier.name("org"), sum, folded: value["folded"].flatMap { ParkedDropped.Place($0) })
        } else {
            return nil
        }
    }
}

extension ParkedItem {
    fileprivate init?(_ value: JSONValue) {
        guard let receivedAt = value.time("received_at"),
            let door = value["door"]?.string.flatMap({ name in Door.allCases.first { $0.name == name } }),
            let code = value["code"]?.string, let field = value["field"]?.string,
            let detail = value["detail"]?.string, case .object(let members)? = value["facts"]
        else { return nil }
        let facts = members.compactMap { member in
            member.value.string.map { Parked.Fact(name: member.name, value: $0) }
        }
        let hash = value["item_sha256"]?.string.flatMap { Digest(hex: $0) }
        self.init(
            receivedAt: receivedAt, door: door, key: value.name("key"), org: value.name("org"),
            parked: Parked(code: code, field: field, detail: detail, facts: facts, itemHash: hash))
        number = value.integer("number") ?? 0
        times = value.integer("times") ?? 1
        lastReceivedAt = value.time("last_received_at") ?? receivedAt
    }
}

extension ParkedDropped.Place {
    fileprivate init?(_ value: JSONValue) {
        guard let code = value["code"]?.string, let hour = value.time("hour") else { return nil }
        self.init(key: value.name("key"), org: value.name("org"), code: code, hour: hour)
    }

    fileprivate func write(into writer: inout JSONWriter) {
        writer.member("hour", string: hour.rfc3339)
        if let key { writer.member("key", string: key.text) }
        if let org { writer.member("org", string: org.text) }
        writer.member("code", string: code)
    }

    /// With what was counted there.
    func write(into writer: inout JSONWriter, _ bucket: ParkedDropped.Bucket) {
        write(into: &writer)
        bucket.sum.write(into: &writer)
        writer.key("items_sha256")
        writer.array(bucket.hashes) { $0.string($1.hex) }
    }
}

extension ParkedDropped.Sum {
    fileprivate init?(_ value: JSONValue) {
        guard let count = value.integer("count"), let first = value.time("first_received_at"),
            let last = value.time("last_received_at")
        else { return nil }
        self.init(count: count, firstAt: first, lastAt: last)
    }

    fileprivate func write(into writer: inout JSONWriter) {
        writer.member("count", integer: count)
        writer.member("first_received_at", string: firstAt.rfc3339)
        writer.member("last_received_at", string: lastAt.rfc3339)
    }
}

extension JSONValue {
    /// A whole number from 0 on, small enough to be counted on from.
    fileprivate func integer(_ name: String) -> Int? {
        self[name]?.number.flatMap { Int($0) }.flatMap { 0...(1 << 53) ~= $0 ? $0 : nil }
    }

    fileprivate func time(_ name: String) -> Timestamp? { self[name]?.string.flatMap { Timestamp(rfc3339: $0) } }

    fileprivate func name(_ name: String) -> Name? { self[name]?.string.flatMap { Name($0) } }
}
