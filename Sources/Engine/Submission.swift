public import Billing
public import Hashing
internal import Records

/// The events of one request, encoded and hashed by the thread that received them, on their way to the writer.
public struct Submission: Sendable {
    /// What a sender's subscription id stands for when no assigned plan names it (contract 3, Lago).
    public enum SubscriptionOwner: Sendable {
        case org, user
    }

    struct Item: Sendable {
        var event: Event
        var start: Int
        var end: Int
        var hashes: RecordHashes
        /// Its sender says it again with other circumstances: the same money under its key is a duplicate.
        var isRetold = false
    }

    public let door: Door
    /// The name of the posting key.
    public let key: Name?
    /// The org that the posting key is confined to: events of any other are rejected.
    public let confinedTo: Name?
    /// Where the idempotency keys of its events are.
    let space: KeySpace
    public let subscriptionOwner: SubscriptionOwner
    private(set) var items: [Item] = []
    private(set) var arena: [UInt8] = []

    public init(
        door: Door, key: Name?, confinedTo: Name? = nil, subscriptionOwner: SubscriptionOwner = .org,
        reservingEvents count: Int = 1
    ) {
        self.door = door
        self.key = key
        self.confinedTo = confinedTo
        space = door == .daemon ? .daemon : confinedTo.map { .org($0) } ?? .common
        self.subscriptionOwner = subscriptionOwner
        items.reserveCapacity(count)
        arena.reserveCapacity(count * 256)
    }

    /// - `isRetold`: the sender says one fact several times and each time otherwise, but for its tokens and cost: a
    ///   later telling is a duplicate where those are the same, a conflict where they are not.
    public mutating func add(_ event: Event, isRetold: Bool = false) {
        let start = arena.count
        let hashes = RecordCodec.encodeHashed(event, door: door, key: key, space: space, into: &arena)
        items.append(Item(event: event, start: start, end: arena.count, hashes: hashes, isRetold: isRetold))
    }

    public var count: Int { items.count }
    public var isEmpty: Bool { items.isEmpty }
    public var bytes: Int { arena.count }
}

/// What became of one event.
public enum Verdict: Hashable, Sendable {
    /// Durable at this position.
    case stored(position: UInt64, hash: Digest)
    /// The same key with the same content was stored before, here.
    case duplicate(position: UInt64)
    /// The same key with other content was stored before, here. Nothing was written.
    case conflict(position: UInt64)
    case rejected(Rejection)
}

/// The writer's answer to a submission: one verdict an event, in order. Given only once everything stored is durable.
public struct Receipt: Sendable {
    public var verdicts: [Verdict]
    /// The recording time of what was stored.
    public var recordedAt: Timestamp
    /// High water after the commit: a reader that waits for it sees everything this answer speaks of.
    public var highWater: UInt64

    public init(verdicts: [Verdict], recordedAt: Timestamp, highWater: UInt64) {
        self.verdicts = verdicts
        self.recordedAt = recordedAt
        self.highWater = highWater
    }
}

/// Why a submission as a whole was not taken. Nothing of it was stored.
public enum SubmitError: Error, Hashable, Sendable {
    /// Over `WriterLimits.pendingBytesMax` or `pendingSubmissionsMax`: try again soon.
    case overloaded
    /// No room in the log: the disk or LMDB's map is full. Reads go on.
    case full
    /// The daemon is going down.
    case stopping
}
