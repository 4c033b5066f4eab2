internal import Billing
internal import Hashing
internal import Records

// The daemon's own events: which are due, and what they are called.

extension Admission {
    /// The `source` of every event that the daemon itself writes. No client may use it.
    static let source = Name(checked: "tallystick")

    /// The daemon's own events that are due at `now`: lots whose end has passed, windows to close.
    func due(at now: Timestamp, lagoWindowSeconds: Int64, closingWindows: Bool) -> [Event] {
        var events: [Event] = []
        for ending in book.ledger.lotsEnding(through: now) {
            guard let end = book.ledger.lot(ending.lot)?.expiresAt else {
                preconditionFailure("lot \(ending.lot) ends and has no end")
            }
            events.append(
                Event(
                    source: Admission.source, id: Admission.expiryID(of: ending.lot), time: end,
                    fact: .creditsExpired(ending)))
        }
        for hold in book.ledger.holdsEnding(through: now) {
            let ended = AuthorizationEnded(
                id: hold.key.id, org: hold.org, user: hold.user, credits: hold.amount)
            events.append(
                Event(
                    source: Admission.source, id: Admission.id(of: hold.key, "expired"), time: hold.expiresAt,
                    fact: .authorizationExpired(ended)))
        }
        if closingWindows && lago.isOpen {
            let through = LagoWindows.start(containing: now, seconds: lagoWindowSeconds)
            events.append(
                Event(
                    source: Admission.source,
                    id: Name(checked: "window/\(through.rfc3339)/\(head + UInt64(events.count) + 1)"),
                    time: now,
                    fact: .lagoWindowClosed(LagoWindowClosed(windowSeconds: lagoWindowSeconds, through: through))))
        }
        return events
    }

    /// The id of a lot's expiry: by hash, since a lot's id may be as long as an id can be.
    static func expiryID(of lot: Name) -> Name {
        Name(checked: "expired/" + SHA256.hash(Array(lot.text.utf8)).hex)
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

    /// Where the daemon's own event with this id is.
    mutating func ownPosition(of id: Name, history: History) throws -> UInt64? {
        let key = IdempotencyKey(space: .daemon, source: Admission.source, id: id)
        return try (find(key, history: history) ?? ownOfOldLog(id, history: history))?.position
    }

    /// The daemon's own event with this id, of the time before its keys were its alone. What a client stored under it
    /// then is none, and noted.
    mutating func ownOfOldLog(_ id: Name, history: History) throws -> Stored? {
        guard keys.ownAreCommon,
            let known = try find(IdempotencyKey(source: Admission.source, id: id), history: history)
        else { return nil }
        if try history.record(known.position)?.door == .daemon { return known }
        foreign.insert(known.position)
        return nil
    }
}

/// What of the calls that Lago is to hear of may still be in an open window.
struct LagoWindows {
    /// Calls that wait for the end of their window.
    private struct Open {
        /// When the first of them was stored: late calls wait for the end of the window they were stored in.
        var storedSince: Timestamp
        /// The latest time at which one of them happened.
        var latest: Timestamp
    }

    private var open: Open?
    private var closedThrough: Timestamp?

    var isOpen: Bool { open != nil }

    mutating func note(
        _ event: Event, _ outcome: borrowing Outcome, at occurredAt: Timestamp, recordedAt: Timestamp,
        catalog: borrowing Catalog
    ) {
        switch event.fact {
        case .call, .usage:
            guard outcome.subscription != nil else { return }
            add(occurredAt, recordedAt)
        case .callVoided, .callAmended:
            // Which subscription the call was told to is the fold's to find; a closing too many seals nothing.
            guard catalog.hasSubscriptions else { return }
            add(occurredAt, recordedAt)
        case .lagoWindowClosed(let closed):
            closedThrough = closed.through
            // A call of the window that is still running stays open.
            if let open, open.latest < closed.through { self.open = nil }
        default:
            break
        }
    }

    private mutating func add(_ occurredAt: Timestamp, _ recordedAt: Timestamp) {
        open = Open(
            storedSince: open?.storedSince ?? recordedAt, latest: max(open?.latest ?? occurredAt, occurredAt))
    }

    /// Whether the window in which something waits has ended and was not closed since.
    func hasEnded(at now: Timestamp, seconds: Int64) -> Bool {
        guard let open else { return false }
        return LagoWindows.start(containing: now, seconds: seconds) > max(
            closedThrough ?? .earliest, LagoWindows.start(containing: open.storedSince, seconds: seconds))
    }

    static func start(containing time: Timestamp, seconds: Int64) -> Timestamp {
        let length = seconds * Timestamp.microsecondsPerSecond
        var remainder = time.microseconds % length
        if remainder < 0 { remainder += length }
        return Timestamp(microseconds: time.microseconds - remainder)
    }
}
