internal import Billing
internal import Hashing
internal import Records

/// What admission itself knows of idempotency keys: those of the group being built, which the index has not yet, and in
/// which spaces the log has any, so that most events ask the index once.
struct KeysInUse {
    private var group: [Digest: Admission.Stored] = [:]
    private var groupInAnyOrg: [Digest: [UInt64]] = [:]
    /// Orgs whose space has records: as many as confined keys post for.
    private var orgs: Set<Name> = []
    /// Whether the daemon's own events, or what pretends to be one, are among everybody's keys: so it was before the
    /// daemon had a space of its own.
    private(set) var ownAreCommon = false

    mutating func add(_ hashes: RecordHashes, at position: UInt64, source: Name, in space: KeySpace) {
        group[hashes.key] = Admission.Stored(position: position, contentHash: hashes.content)
        if let hash = hashes.keyInAnyOrg { groupInAnyOrg[hash, default: []].append(position) }
        follow(source: source, in: space)
    }

    /// Takes a record of the log, which the index knows.
    mutating func follow(source: Name, in space: KeySpace) {
        switch space {
        case .daemon: break
        case .common: if source == Admission.source { ownAreCommon = true }
        case .org(let org): if !orgs.contains(org) { orgs.insert(org) }
        }
    }

    mutating func committed() {
        group.removeAll(keepingCapacity: true)
        groupInAnyOrg.removeAll(keepingCapacity: true)
    }

    func inGroup(_ hash: Digest) -> Admission.Stored? { group.isEmpty ? nil : group[hash] }

    func inGroupOfAnyOrg(_ hash: Digest) -> [UInt64] { groupInAnyOrg[hash] ?? [] }

    func hasSpace(_ org: Name) -> Bool { orgs.contains(org) }

    var hasSpaces: Bool { !orgs.isEmpty }
}

extension Admission {
    /// The record under a key, in the log or in the group.
    func find(_ key: IdempotencyKey, hash: Digest? = nil, history: History) throws -> Stored? {
        let hash = hash ?? key.hash
        return try keys.inGroup(hash) ?? history.stored(key, hash)
    }

    /// The verdict on an event that was stored before. Its own space decides; but the same that its org's other kind of
    /// sender stored is the same there too, so that a sender may change its key. A conflict is only within one space.
    mutating func earlier(
        _ event: Event, _ item: Submission.Item, in space: KeySpace, target: Target?, history: History
    ) throws -> Verdict? {
        let key = IdempotencyKey(space: space, source: event.source, id: event.id)
        if let known = try find(key, hash: item.hashes.key, history: history) {
            return try isSame(item, known, history: history)
                ? .duplicate(position: known.position) : .conflict(position: known.position)
        }
        var other = key
        switch space {
        case .org: other.space = .common
        case .daemon:
            guard let known = try ownOfOldLog(event.id, history: history) else { return nil }
            return try isSame(item, known, history: history) ? .duplicate(position: known.position) : nil
        case .common:
            guard let org = target?.org ?? event.fact.org, keys.hasSpace(org) else { return nil }
            other.space = .org(org)
        }
        guard let known = try find(other, history: history), let record = try history.record(known.position) else {
            return nil
        }
        // The same words may be of another call, or name an org only by a subscription that has changed hands since.
        let isOfSame =
            target == nil
            ? record.event.fact.org == event.fact.org : record.event.fact.unwinds?.original == target?.original
        guard isOfSame else { return nil }
        if try isSame(item, known, history: history) { return .duplicate(position: known.position) }
        // Told again by whichever key, it is told: what is not the same is never another.
        return item.isRetold ? .conflict(position: known.position) : nil
    }

    /// Whether an event says what was stored; of one that its sender tells again, whether it states the same tokens and
    /// cost.
    private func isSame(_ item: Submission.Item, _ known: Stored, history: History) throws -> Bool {
        if known.contentHash == item.hashes.content { return true }
        guard item.isRetold, let now = item.event.fact.stated,
            let then = try history.record(known.position)?.event.fact.stated
        else { return false }
        return now.call.usage == then.call.usage && now.call.cost == then.call.cost && now.isCall == then.isCall
    }
}
