internal import Billing
internal import Hashing
internal import Records

/// Decides what may be stored and in which order: a pure state that the writer obeys. It runs ahead of the log by the
/// group being built; `committed()` says that the group is durable.
struct Admission {
    /// What was stored under an idempotency key.
    struct Stored {
        var position: UInt64
        var contentHash: Digest
    }

    /// What the writer is to do with an event.
    enum Decision {
        /// Append at `position`. `event` differs from what came in when admission found its owner.
        case append(position: UInt64, event: Event, reencode: Bool)
        case answer(Verdict)
    }

    var book = Book(countsCalls: true)
    /// Last position given out.
    var head: UInt64 = 0
    var lago = LagoWindows()
    var keys = KeysInUse()
    let charges: ChargeStore
    /// Records that others stored under ids of the daemon's own events, in a log of before its keys were its alone.
    var foreign: Set<UInt64> = []
    /// By the position of the call's own record.
    var corrected: [UInt64: Corrected] = [:]

    init(charges: ChargeStore) {
        self.charges = charges
    }

    /// Decides one event. Throws what `history` throws.
    mutating func decide(
        _ item: Submission.Item, of submission: Submission, now: Timestamp, futureSecondsMax: Int64, history: History
    ) throws -> Decision {
        var event = item.event
        let occurredAt = event.time ?? now
        if let refusal = Admission.reserved(event, by: submission.door) { return .answer(.rejected(refusal)) }
        let target = try self.target(of: event.fact, confinedTo: submission.confinedTo, history: history)
        var reencode = resolveOwner(
            of: &event, default: submission.subscriptionOwner, at: target?.occurredAt ?? occurredAt)
        // Before the key is looked for: a confined key must not even learn whether another org's event exists.
        if let org = submission.confinedTo {
            if case .refused(let refusal)? = target { return .answer(.rejected(refusal)) }
            if let refusal = confinement(of: event, to: org) { return .answer(.rejected(refusal)) }
        }
        // Order of answers: duplicate, conflict, then rules (design 4).
        if let verdict = try earlier(event, item, in: submission.space, target: target, history: history) {
            return .answer(verdict)
        }
        if let time = item.event.time, time > now.adding(seconds: futureSecondsMax) {
            return .answer(
                .rejected(
                    Rejection(
                        code: "time_in_future", field: "time",
                        detail: "time is more than \(futureSecondsMax) s ahead of the daemon's clock, "
                            + "which says \(now.rfc3339)")))
        }
        switch target {
        case nil: break
        case .refused(let refusal)?: return .answer(.rejected(refusal))
        case .call(let original, let record, _)?:
            switch try standing(of: record, at: original, history: history) {
            case .standing(let standing): event.fact.unwinds = standing
            case .refused(let rejection): return .answer(.rejected(rejection))
            }
            reencode = true
        }
        let outcome: Outcome
        do {
            try book.admitNew(event, at: occurredAt, confinedTo: submission.confinedTo)
            outcome = try book.take(event, position: head + 1, at: occurredAt)
        } catch {
            return .answer(.rejected(error.told(to: submission.confinedTo)))
        }
        assert(!book.ledger.isFaulty, "credits are not conserved: \(book.ledger.fault ?? "")")
        head += 1
        noteCharge(of: event.fact, outcome: outcome, position: head)
        lago.note(event, outcome, at: occurredAt, recordedAt: now, catalog: book.catalog)
        keys.add(item.hashes, at: head, source: event.source, in: submission.space)
        return .append(position: head, event: event, reencode: reencode)
    }

    /// The group is in the log and in the index.
    mutating func committed() {
        keys.committed()
    }

    /// Applies an event that is in the log: how recovery comes back to where admission was.
    mutating func follow(_ record: Record) {
        head = record.position
        let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
        noteCharge(of: record.event.fact, outcome: outcome, position: record.position)
        lago.note(
            record.event, outcome, at: record.occurredAt, recordedAt: record.recordedAt, catalog: book.catalog)
        keys.follow(source: record.event.source, in: record.space)
    }

    /// What was remembered of the shapes of a log's calls is of no use for those that come.
    mutating func forgetShapes() { book.forgetShapes() }

    private func resolveOwner(
        of event: inout Event, default owner: Submission.SubscriptionOwner, at time: Timestamp
    ) -> Bool {
        func resolve(_ call: inout Call) -> Bool {
            guard let subscription = call.subscription else { return false }
            switch book.catalog.owner(ofSubscription: subscription, at: time) {
            case .org(let org)?: call.org = org
            case .user(let user)?: call.user = user
            case nil:
                switch owner {
                case .org: call.org = subscription
                case .user: call.user = subscription
                }
            }
            return true
        }
        switch event.fact {
        case .call(var call):
            guard resolve(&call) else { return false }
            event.fact = .call(call)
        case .usage(var call):
            guard resolve(&call) else { return false }
            event.fact = .usage(call)
        case .callAmended(var amended):
            guard resolve(&amended.call) else { return false }
            event.fact = .callAmended(amended)
        default:
            return false
        }
        return true
    }

    /// What a client may not say by any door: sources that another door makes, lots that the daemon makes.
    private static func reserved(_ event: Event, by door: Door) -> Rejection? {
        if let owner = Door.owning(event.source), owner != door {
            return Rejection(
                code: "reserved_source", field: "source",
                detail: "sources named tallystick, litellm/... and lago/... belong to the daemon's own doors")
        }
        if door != .daemon, event.fact.makesLot, event.statedID.utf8.starts(with: Lot.prefixOfOwn.utf8) {
            return Rejection(
                code: "reserved_id", field: "id", detail: "lots named \(Lot.prefixOfOwn)... are the daemon's own")
        }
        return nil
    }

    /// `event` with its owner found.
    private func confinement(of event: Event, to org: Name) -> Rejection? {
        let isForeign =
            if case .callVoided(let voided) = event.fact {
                // Judged by the call that it names.
                voided.org.map { $0 != org } ?? false
            } else {
                event.fact.org != org || event.fact.corrects?.org.map { $0 != org } ?? false
            }
        guard isForeign else { return nil }
        return Rejection(
            code: "org_forbidden", field: "data.org", detail: "the key is confined to the org \(org)")
    }
}

extension Rejection {
    /// What a key that is confined to an org is told: nothing of what others have.
    fileprivate func told(to org: Name?) -> Rejection {
        guard let org, let holder, holder != .org(org) else { return self }
        return Rejection(
            code: code == "lot_exists" ? "id_taken" : code, field: field,
            detail: "cannot be used here: choose another")
    }
}
