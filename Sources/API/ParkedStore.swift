internal import Billing
internal import Formats
internal import Hashing
internal import JSON
internal import Platform

/// Items that came in by a compatible door and could not be taken: kept with the reason and a few harmless facts, never
/// with what they said. One NDJSON file in `parked/`, appended to and synced before the sender is answered.
///
/// An item that comes again (LiteLLM sends the same batch many times) is kept once. An actor on a thread of its own,
/// since it waits for the disk.
public actor ParkedStore {
    public static let itemsMax = 100_000
    /// Of the file when it is read at start: `itemsMax` lines of facts stay far below it.
    public static let fileBytesMax = 1 << 30

    struct Item: Hashable, Sendable {
        var number: Int
        var receivedAt: Timestamp
        var door: Door
        var key: Name?
        /// The org that the posting key is confined to: who else is, sees it.
        var org: Name?
        var parked: Parked
    }

    public enum ParkError: Error { case full, failed(String) }

    private let executor = ThreadExecutor(name: "parked")
    private let path: String
    private let file: AppendFile
    private var items: [Item] = []
    private var known: Set<Digest> = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(folder: String) throws {
        try Folder.make(folder + "/parked")
        path = folder + "/parked/parked.ndjson"
        file = try AppendFile(path: path)
        if try File.size(path) > 0 {
            for line in try File.read(path, bytesMax: ParkedStore.fileBytesMax).split(separator: 0x0A) {
                // A line cut off by a crash was never answered for: its sender still has it.
                guard let item = ParkedStore.parse(Array(line), number: items.count + 1) else { continue }
                known.insert(ParkedStore.identity(of: item))
                items.append(item)
            }
        }
    }

    /// Durable when it returns. Gives how many were new.
    @discardableResult
    func add(_ parked: [Parked], door: Door, key: Name?, org: Name?, now: Timestamp) throws(ParkError) -> Int {
        var added: [Item] = []
        var lines: [UInt8] = []
        for one in parked {
            let item = Item(
                number: items.count + added.count + 1, receivedAt: now, door: door, key: key, org: org, parked: one)
            let identity = ParkedStore.identity(of: item)
            guard !known.contains(identity) else { continue }
            guard items.count + added.count < ParkedStore.itemsMax else {
                forget(added)
                throw .full
            }
            known.insert(identity)
            added.append(item)
            lines += ParkedStore.line(item)
        }
        guard !added.isEmpty else { return 0 }
        do {
            try file.append(lines)
        } catch {
            forget(added)
            throw .failed("\(error)")
        }
        items += added
        return added.count
    }

    private func forget(_ added: [Item]) {
        for item in added { known.remove(ParkedStore.identity(of: item)) }
    }

    /// Items after number `after`, oldest first; for a confined reader only those of keys confined alike.
    func items(after: Int, limit: Int, org: Name?) -> [Item] {
        Array(items.lazy.drop { $0.number <= after }.filter { org == nil || $0.org == org }.prefix(limit))
    }

    public var count: Int { items.count }

    private static func identity(of item: Item) -> Digest {
        var hash = SHA256()
        for part in [item.door.name, item.key?.text ?? "", item.parked.code, item.parked.field, item.parked.detail] {
            hash.update(part)
            hash.update([0])
        }
        for (name, value) in item.parked.facts.map({ ($0.name, $0.value) }) {
            hash.update(name)
            hash.update([0])
            hash.update(value)
            hash.update([0])
        }
        return hash.finalize()
    }

    static func write(_ item: Item, into writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("number", integer: item.number)
        writer.member("received_at", string: item.receivedAt.rfc3339)
        writer.member("door", string: item.door.name)
        if let key = item.key { writer.member("key", string: key.text) }
        if let org = item.org { writer.member("org", string: org.text) }
        writer.member("code", string: item.parked.code)
        writer.member("field", string: item.parked.field)
        writer.member("detail", string: item.parked.detail)
        writer.key("facts")
        writer.beginObject()
        for fact in item.parked.facts {
            writer.key(fact.name)
            writer.string(fact.value)
        }
        writer.endObject()
        writer.endObject()
    }

    private static func line(_ item: Item) -> [UInt8] {
        var writer = JSONWriter()
        write(item, into: &writer)
        return writer.bytes + [0x0A]
    }

    private static func parse(_ bytes: [UInt8], number: Int) -> Item? {
        guard let value = try? JSONValue.parse(bytes) else { return nil }
        func text(_ name: String) -> String? {
            if case .string(let text)? = value[name] { return text }
            return nil
        }
        guard let received = text("received_at").flatMap({ Timestamp(rfc3339: $0) }),
            let door = text("door").flatMap({ name in Door.allCases.first { $0.name == name } }),
            let code = text("code"), let field = text("field"), let detail = text("detail"),
            case .object(let members)? = value["facts"]
        else { return nil }
        let facts = members.compactMap { member -> Parked.Fact? in
            guard case .string(let text) = member.value else { return nil }
            return Parked.Fact(name: member.name, value: text)
        }
        return Item(
            number: number, receivedAt: received, door: door, key: text("key").flatMap { Name($0) },
            org: text("org").flatMap { Name($0) },
            parked: Parked(code: code, field: field, detail: detail, facts: facts))
    }
}
