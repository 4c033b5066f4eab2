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
    /// What of the calls that Lago is to hear of may still be in an open window.
    private var lagoOpen: LagoOpen?
    private var lagoClosedThrough: Timestamp?
    private var group: [Digest: Stored] = [:]
    let charges: ChargeStore
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
        var reencode = resolveOwner(of: &event, default: submission.subscriptionOwner)
        // Before the key is looked for: a confined key must not even learn whether another org's event exists.
        if let org = submission.confinedTo {
            if let (source, id) = event.fact.corrects, try self.org(correctedBy: event.fact, history: history) != org {
                return .answer(.rejected(.unknownCall(source: source, id: id)))
            }
            if let refusal = confinement(of: event, to: org) { return .answer(.rejected(refusal)) }
        }
        // Order of answers: duplicate, conflict, then rules (design 4).
        var earlier = group[item.keyHash]
        if earlier == nil { earlier = try history.stored(item) }
        if let earlier {
            let isSame = earlier.contentHash == item.contentHash
            // The same content names the same org, but where only a subscription does: it may have been another's then.
            if let org = submission.confinedTo, !isSame || reencode,
                try history.record(earlier.position)?.event.fact.org != org
            {
                return .answer(.rejected(Admission.taken))
            }
            return .answer(isSame ? .duplicate(position: earlier.position) : .conflict(position: earlier.position))
        }
        if let time = item.event.time, time > now.adding(seconds: futureSecondsMax) {
            return .answer(
                .rejected(
                    Rejection(
                        code: "time_in_future", field: "time",
                        detail: "time is more than \(futureSecondsMax) s ahead of the daemon's clock, "
                            + "which says \(now.rfc3339)")))
        }
        if let refusal = event.fact.costRefusal { return .answer(.rejected(refusal)) }
        if event.fact.corrects != nil {
            switch try standing(of: event.fact, history: history) {
            case .standing(let standing): event.fact.unwinds = standing
            case .refused(let rejection): return .answer(.rejected(rejection))
            }
            reencode = true
        }
        let occurredAt = event.time ?? now
        let outcome: Outcome
        do {
            outcome = try book.take(event, position: head + 1, at: occurredAt)
        } catch {
            return .answer(.rejected(error))
        }
        assert(!book.ledger.isFaulty, "credits are not conserved: \(book.ledger.fault ?? "")")
        head += 1
        noteCharge(of: event.fact, outcome: outcome, position: head)
        noteLagoUsage(event, outcome, at: occurredAt, recordedAt: now)
        group[item.keyHash] = Stored(position: head, contentHash: item.contentHash)
        return .append(position: head, event: event, reencode: reencode)
    }

    /// The group is in the log and in the index.
    mutating func committed() {
        group.removeAll(keepingCapacity: true)
    }

    /// The position of an event of the group.
    func positionInGroup(source: Name, id: Name) -> UInt64? {
        group.isEmpty ? nil : group[RecordCodec.keyHash(source: source, id: id)]?.position
    }

    /// Applies an event that is in the log: how recovery comes back to where admission was.
    mutating func follow(
        _ event: Event, position: UInt64, at occurredAt: Timestamp, recordedAt: Timestamp
    ) {
        head = position
        let outcome = book.apply(event, position: position, at: occurredAt)
        noteCharge(of: event.fact, outcome: outcome, position: position)
        noteLagoUsage(event, outcome, at: occurredAt, recordedAt: recordedAt)
    }

    /// What was remembered of the shapes of a log's calls is of no use for those that come.
    mutating func forgetShapes() { book.forgetShapes() }

    private mutating func noteLagoUsage(
        _ event: Event, _ outcome: borrowing Outcome, at occurredAt: Timestamp, recordedAt: Timestamp
    ) {
        switch event.fact {
        case .call, .usage:
            guard outcome.subscription != nil else { return }
            lagoOpen = LagoOpen(
                storedSince: lagoOpen?.storedSince ?? recordedAt,
                latest: max(lagoOpen?.latest ?? occurredAt, occurredAt))
        case .callVoided, .callAmended:
            // Which subscription the call was told to is the fold's to find; a closing too many seals nothing.
            guard book.catalog.hasSubscriptions else { return }
            lagoOpen = LagoOpen(
                storedSince: lagoOpen?.storedSince ?? recordedAt,
                latest: max(lagoOpen?.latest ?? occurredAt, occurredAt))
        case .lagoWindowClosed(let closed):
            lagoClosedThrough = closed.through
            // A call of the window that is still running stays open.
            if let open = lagoOpen, open.latest < closed.through { lagoOpen = nil }
        default:
            break
        }
    }

    /// Calls that wait for the end of their window.
    private struct LagoOpen {
        /// When the first of them was stored: late calls wait for the end of the window they were stored in.
        var storedSince: Timestamp
        /// The latest time at which one of them happened.
        var latest: Timestamp
    }

    /// The daemon's own events that are due at `now`: lots whose end has passed, windows to close.
    func due(at now: Timestamp, lagoWindowSeconds: Int64, closingWindows: Bool) -> [Event] {
        var events: [Event] = []
        for ending in book.ledger.lotsEnding(through: now) {
            guard let end = book.ledger.lot(ending.lot)?.expiresAt else {
                preconditionFailure("lot \(ending.lot) ends and has no end")
            }
            // By hash: a lot's id may be as long as an id can be.
            let id = Name(checked: "expired/" + SHA256.hash(Array(ending.lot.text.utf8)).hex)
            events.append(Event(source: Admission.source, id: id, time: end, fact: .creditsExpired(ending)))
        }
        for hold in book.ledger.holdsEnding(through: now) {
            let ended = AuthorizationEnded(
                id: hold.key.id, org: hold.org, user: hold.user, credits: hold.amount)
            events.append(
                Event(
                    source: Admission.source, id: Admission.id(of: hold.key, "expired"), time: hold.expiresAt,
                    fact: .authorizationExpired(ended)))
        }
        if closingWindows && lagoOpen != nil {
            let through = windowStart(containing: now, seconds: lagoWindowSeconds)
            events.append(
                Event(
                    source: Admission.source,
                    id: Name(checked: "window/\(through.rfc3339)/\(head + UInt64(events.count) + 1)"),
                    time: now,
                    fact: .lagoWindowClosed(LagoWindowClosed(windowSeconds: lagoWindowSeconds, through: through))))
        }
        return events
    }

    /// The id of an authorization's event: by hash, since the names in it may each be as long as an id can be.
    static func id(of key: HoldKey, _ what: String) -> Name {
        let kind =
            switch key.owner {
            case .org: "org"
            case .user: "user"
            }
        let text = kind + "\0" + key.owner.name.text + "\0" + key.id.text
        return Name(checked: "authorization/\(what)/" + SHA256.hash(Array(text.utf8)).hex)
    }

    /// Whether the window in which something waits has ended and was not closed since.
    func windowHasEnded(at now: Timestamp, seconds: Int64) -> Bool {
        guard let open = lagoOpen else { return false }
        return windowStart(containing: now, seconds: seconds) > max(
            lagoClosedThrough ?? .earliest, windowStart(containing: open.storedSince, seconds: seconds))
    }

    /// The `source` of every event that the daemon itself writes. No client may use it.
    static let source = Name(checked: "tallystick")

    private func resolveOwner(of event: inout Event, default owner: Submission.SubscriptionOwner) -> Bool {
        func resolve(_ call: inout Call) -> Bool {
            guard let subscription = call.subscription else { return false }
            switch book.catalog.owner(ofSubscription: subscription) {
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

    /// `event` with its owner found.
    private func confinement(of event: Event, to org: Name) -> Rejection? {
        // Judged by the call that it names.
        if case .callVoided = event.fact { return nil }
        if event.fact.org == org { return nil }
        return Rejection(
            code: "org_forbidden", field: "data.org", detail: "the key is confined to the org \(org)")
    }

    /// What a confined key is told of a key (source, id) that another org has used. That it is taken cannot be hidden,
    /// since all orgs share the space of keys; by whom, when and where can.
    private static let taken = Rejection(
        code: "conflict", field: "id",
        detail: "this source and id were stored before with other content; nothing was changed")

    private func windowStart(containing time: Timestamp, seconds: Int64) -> Timestamp {
        let length = seconds * Timestamp.microsecondsPerSecond
        var remainder = time.microseconds % length
        if remainder < 0 { remainder += length }
        return Timestamp(microseconds: time.microseconds - remainder)
    }
}
