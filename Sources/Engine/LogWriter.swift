public import Billing
public import EventLog
internal import Hashing
public import Platform
internal import Records

/// The only writer of the log: one thread that admits, orders and commits.
///
/// What arrived while the last fsync ran is the next group: no timer, no batch size to tune. A group is one frame, one
/// LMDB transaction, one fsync; every submission in it is answered after that. The thread owns the write transactions
/// (LMDB's must begin and end on one thread), the index and the admission state.
///
/// `@unchecked Sendable`: `mailbox` and `statistics` are locked; everything else is touched by the writer's thread
/// alone, once `start` has handed it over.
public final class LogWriter: @unchecked Sendable {
    public typealias Completion = @Sendable (Result<Receipt, SubmitError>) -> Void

    private enum Command {
        case append(Submission, Completion)
        /// Close every Lago window that has ended; answers the high water after it.
        case closeWindows(@Sendable (Result<UInt64, SubmitError>) -> Void)
        case authorize(AuthorizationOrder, AuthorizationCompletion)
        case release(HoldKey, by: Name?, ReleaseCompletion)
    }

    private struct Mailbox {
        var commands: [Command] = []
        var bytes = 0
        var stopping = false
    }

    let log: EventLog
    private let index: KeyIndex
    let limits: WriterLimits
    private let clock: @Sendable () -> Int64
    private let keepsTime: Bool
    let onFatal: @Sendable (String) -> Never
    private let mailbox = Condition(Mailbox())
    private let shared = Lock(WriterStatistics())
    var admission: Admission
    var group = Group()
    private var lastRecordedAt: Int64
    /// When the log was last found full, on the steady clock; nil while there is room.
    private(set) var fullSince: UInt64?
    private var thread: Thread?

    /// Somebody who is answered once the group is durable, with the high water, or told that it was not stored.
    struct Waiting {
        var verdicts: [Verdict] = []
        var answer: (Result<UInt64, SubmitError>) -> Void
    }

    /// The group being built: what goes into the next frame.
    struct Group {
        var arena: [UInt8] = []
        var ends: [Int] = []
        var hashes: [Digest] = []
        var keys: [(entry: KeyIndex.Entry, alias: KeyIndex.Entry?)] = []
        var waiting: [Waiting] = []

        mutating func clear() {
            arena.removeAll(keepingCapacity: true)
            ends.removeAll(keepingCapacity: true)
            hashes.removeAll(keepingCapacity: true)
            keys.removeAll(keepingCapacity: true)
            waiting.removeAll(keepingCapacity: true)
        }
    }

    /// Recovers the admission state and the index from the log. `clock` gives microseconds since 1970; `onFatal` ends
    /// the process when a commit failed: nothing may be answered after that. `keepsTime`: whether it writes what time
    /// alone brings (ends of lots and holds, of Lago windows), as a daemon does.
    public init(
        log: EventLog, index: KeyIndex, limits: WriterLimits = WriterLimits(), keepsTime: Bool = true,
        clock: @escaping @Sendable () -> Int64 = WallClock.microseconds,
        onFatal: @escaping @Sendable (String) -> Never
    ) throws(RecoveryError) {
        limits.check()
        self.log = log
        self.index = index
        self.limits = limits
        self.clock = clock
        self.keepsTime = keepsTime
        self.onFatal = onFatal
        admission = try LogWriter.recover(from: log, index: index)
        lastRecordedAt = log.lastRecordedAt
    }

    public func start() {
        precondition(thread == nil, "started twice")
        thread = Thread(name: "log-writer") { [self] in run() }
    }

    /// Commits what was taken, then ends. Submissions after this are refused with `stopping`.
    public func stop() {
        mailbox.signal { $0.stopping = true }
        thread?.join()
        thread = nil
    }

    /// Queues a submission; `completion` is called on the writer's thread once its events are durable or refused.
    /// Throws without calling it when the queue is at a limit.
    public func submit(_ submission: Submission, completion: @escaping Completion) throws(SubmitError) {
        try enqueue(.append(submission, completion), bytes: submission.bytes)
    }

    /// Seals what is open in every Lago window that has ended by now. A no-op when there is nothing to seal.
    public func closeLagoWindows(
        completion: @escaping @Sendable (Result<UInt64, SubmitError>) -> Void
    ) throws(SubmitError) {
        try enqueue(.closeWindows(completion), bytes: 0)
    }

    /// Decides whether a call may run. With a hold, grant and denial are events, and `completion` is called once they
    /// are durable; without, it is a look that writes nothing.
    public func authorize(
        _ order: AuthorizationOrder, completion: @escaping AuthorizationCompletion
    ) throws(SubmitError) {
        try enqueue(.authorize(order, completion), bytes: AuthorizationOrder.pendingBytes)
    }

    /// Ends a running hold. `poster`: the name of the key that asks.
    public func release(
        _ key: HoldKey, by poster: Name?, completion: @escaping ReleaseCompletion
    ) throws(SubmitError) {
        try enqueue(.release(key, by: poster, completion), bytes: AuthorizationOrder.pendingBytes)
    }

    public var statistics: WriterStatistics {
        var statistics = shared.withLock { $0 }
        mailbox.withLock {
            statistics.pendingBytes = $0.bytes
            statistics.pendingSubmissions = $0.commands.count
        }
        return statistics
    }

    private func enqueue(_ command: Command, bytes: Int) throws(SubmitError) {
        let refusal: SubmitError? = mailbox.signal { mailbox in
            if mailbox.stopping { return .stopping }
            if mailbox.bytes + bytes > limits.pendingBytesMax && mailbox.bytes > 0
                || mailbox.commands.count >= limits.pendingSubmissionsMax
            {
                return .overloaded
            }
            mailbox.commands.append(command)
            mailbox.bytes += bytes
            return nil
        }
        guard let refusal else { return }
        if refusal == .overloaded { shared.withLock { $0.overloaded += 1 } }
        throw refusal
    }

    // MARK: The writer's thread

    private func run() {
        var nextTick = SteadyClock.nanoseconds()
        while true {
            let now = SteadyClock.nanoseconds()
            let waitMilliseconds = nextTick > now ? Int((nextTick - now) / 1_000_000) + 1 : 0
            var stopping = false
            let taken: [Command]? = mailbox.wait(milliseconds: waitMilliseconds) { mailbox in
                stopping = mailbox.stopping
                guard !mailbox.commands.isEmpty || mailbox.stopping else { return nil }
                defer {
                    mailbox.commands = []
                    mailbox.bytes = 0
                }
                return mailbox.commands
            }
            for command in taken ?? [] { process(command) }
            commitGroup()
            if SteadyClock.nanoseconds() >= nextTick {
                if keepsTime { tick() }
                nextTick = SteadyClock.nanoseconds() + UInt64(limits.tickMilliseconds) * 1_000_000
            }
            if stopping { return }
        }
    }

    private func process(_ command: Command) {
        switch command {
        case .append(let submission, let completion):
            if fullSince != nil && !roomIsBack() {
                shared.withLock { $0.full += 1 }
                completion(.failure(.full))
                return
            }
            let recordedAt = recordingTime()
            let verdicts = admit(submission, at: recordedAt)
            group.waiting.append(
                Waiting(verdicts: verdicts) { result in
                    completion(result.map { Receipt(verdicts: verdicts, recordedAt: recordedAt, highWater: $0) })
                })
            if group.ends.count >= limits.groupRecordsMax || group.arena.count >= limits.groupBytesMax {
                commitGroup()
            }
        case .closeWindows(let completion):
            commitGroup()
            guard fullSince == nil || roomIsBack() else {
                completion(.failure(.full))
                return
            }
            appendDue(closingWindows: true)
            completion(.success(log.highWater))
        case .authorize(let order, let completion):
            decide(order, completion: completion)
        case .release(let key, let poster, let completion):
            end(key, by: poster, completion: completion)
        }
    }

    func admit(_ submission: Submission, at recordedAt: Timestamp) -> [Verdict] {
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(submission.count)
        let history = self.history
        for item in submission.items {
            let decision: Admission.Decision
            do {
                decision = try admission.decide(
                    item, of: submission, now: recordedAt, futureSecondsMax: limits.futureSecondsMax,
                    history: history)
            } catch {
                onFatal("the log could not be read while looking for a duplicate: \(error)")
            }
            switch decision {
            case .answer(let verdict):
                verdicts.append(verdict)
            case .append(let position, let event, let reencode):
                let start = group.arena.count
                if reencode {
                    RecordCodec.encode(
                        event, door: submission.door, key: submission.key, space: submission.space,
                        into: &group.arena)
                } else {
                    group.arena.append(contentsOf: submission.arena[item.start..<item.end])
                }
                let end = group.arena.count
                let hash = group.arena.withUnsafeMutableBytes { arena in
                    let record = UnsafeMutableRawBufferPointer(rebasing: arena[start..<end])
                    RecordCodec.stamp(record, position: position, recordedAt: recordedAt)
                    return RecordCodec.hash(UnsafeRawBufferPointer(record))
                }
                group.ends.append(end)
                group.hashes.append(hash)
                group.keys.append(KeyIndex.entries(of: item.hashes, at: position))
                verdicts.append(.stored(position: position, hash: hash))
            }
        }
        if !admission.foreign.isEmpty { noteForeign() }
        return verdicts
    }

    var history: History { History(stored: stored, inAnyOrg: inAnyOrg, record: record) }

    /// Looks a key up in the index. A hit is checked against the record itself: truth is the key and the content,
    /// never a prefix of their hashes.
    private func stored(_ key: IdempotencyKey, _ hash: Digest) throws -> Admission.Stored? {
        for entry in try index.entries(for: hash) {
            let record = try log.withRecord(at: entry.position) { try RecordCodec.decode($0) }
            guard let record, record.idempotencyKey == key else { continue }
            return Admission.Stored(position: entry.position, contentHash: RecordCodec.contentHash(record.event))
        }
        return nil
    }

    /// The calls in orgs' spaces with this source and id: the first two, since more than one is too many already.
    private func inAnyOrg(source: Name, id: Name, _ hash: Digest) throws -> [UInt64] {
        var positions: [UInt64] = []
        for entry in try index.entries(for: hash) where positions.count < 2 {
            let record = try log.withRecord(at: entry.position) { try RecordCodec.decode($0) }
            guard let record, record.space.org != nil, record.event.source == source, record.event.id == id,
                record.event.fact.stated != nil
            else { continue }
            positions.append(entry.position)
        }
        return positions
    }

    /// A record of the log or of the group being built.
    func record(at position: UInt64) throws -> Record? {
        if let record = try log.withRecord(at: position, { try RecordCodec.decode($0) }) { return record }
        guard position > log.highWater, position <= log.highWater + UInt64(group.ends.count) else { return nil }
        let index = Int(position - log.highWater) - 1
        let range = (index == 0 ? 0 : group.ends[index - 1])..<group.ends[index]
        return try group.arena.withUnsafeBytes { try RecordCodec.decode(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Makes the group durable and answers everyone in it.
    private func commitGroup() {
        guard !group.waiting.isEmpty || !group.ends.isEmpty else { return }
        defer { group.clear() }
        if !group.ends.isEmpty {
            let started = SteadyClock.nanoseconds()
            do {
                try log.append(
                    records: group.arena, ends: group.ends, hashes: group.hashes, recordedAt: lastRecordedAt)
            } catch .full {
                // The transaction was aborted, the log is as before: admission goes back to what the log holds.
                abandonGroup()
                return
            } catch {
                onFatal("a commit failed, so nothing may be acknowledged any more: \(error)")
            }
            let microseconds = (SteadyClock.nanoseconds() - started) / 1000
            for key in group.keys { index.insert(key.entry, alias: key.alias) }
            switch index.failure {
            case nil, .full?: break
            case let failure?: onFatal("the key index could not be written: \(failure)")
            }
            admission.committed()
            shared.withLock { $0.countCommit(microseconds: microseconds, bytes: group.arena.count) }
        }
        let highWater = log.highWater
        shared.withLock { statistics in
            for waiting in group.waiting { statistics.count(waiting.verdicts) }
        }
        for waiting in group.waiting { waiting.answer(.success(highWater)) }
    }

    private func abandonGroup() {
        fullSince = SteadyClock.nanoseconds()
        shared.withLock {
            $0.full += UInt64(group.waiting.count)
            $0.isFull = true
        }
        restoreAdmission()
        for waiting in group.waiting { waiting.answer(.failure(.full)) }
    }

    private func restoreAdmission() {
        do {
            admission = try LogWriter.recover(from: log, index: index)
        } catch {
            onFatal("the log could not be read again: \(error)")
        }
    }

    func roomIsBack() -> Bool {
        guard let since = fullSince else { return true }
        guard SteadyClock.nanoseconds() - since >= UInt64(limits.fullRetryMilliseconds) * 1_000_000 else {
            return false
        }
        // The next commit finds out; if it fails, this starts over.
        fullSince = nil
        shared.withLock { $0.isFull = false }
        return true
    }

    // MARK: The daemon's own events

    private func tick() {
        _ = try? log.dropDeadReaders()
        if fullSince != nil && !roomIsBack() { return }
        let now = recordingTime()
        appendDue(closingWindows: admission.lago.hasEnded(at: now, seconds: limits.lagoWindowSeconds))
    }

    private func appendDue(closingWindows: Bool) {
        let now = recordingTime()
        let events = admission.due(
            at: now, lagoWindowSeconds: limits.lagoWindowSeconds, closingWindows: closingWindows)
        guard !events.isEmpty else { return }
        appendOwn(events)
        commitGroup()
    }

    /// Admits events of the daemon's own. One that is not taken is named until it is: it is due still, and tried again
    /// with the next tick. It cannot be there already, since then it would not be due.
    func appendOwn(_ events: [Event]) {
        var submission = Submission(door: .daemon, key: nil, reservingEvents: events.count)
        for event in events { submission.add(event) }
        for (event, verdict) in zip(events, admit(submission, at: recordingTime())) { note(verdict, on: event) }
    }

    /// Keeps account of events of the daemon's own that are not taken.
    func note(_ verdict: Verdict, on event: Event) {
        let code: String
        let detail: String
        switch verdict {
        case .stored:
            // Nearly always: nothing is refused.
            shared.withLock { if !$0.ownRefused.isEmpty { $0.ownRefused[event.fact.type] = nil } }
            return
        case .rejected(let rejection): (code, detail) = (rejection.code, rejection.detail)
        case .duplicate(let position), .conflict(let position):
            (code, detail) = ("taken", "its id is that of the record at position \(position)")
        }
        let isNew = shared.withLock { $0.ownRefused.updateValue(code, forKey: event.fact.type) != code }
        guard isNew else { return }
        LogLine.write(
            .error, "an event of the daemon's own is not taken; it is tried again",
            ["type": event.fact.type, "id": event.id.text, "code": code, "detail": detail])
    }

    /// What a client once stored under the id of an event of the daemon's own does no harm any more; somebody meant it
    /// to.
    func noteForeign() {
        let positions = admission.foreign.sorted()
        admission.foreign = []
        let added = shared.withLock { statistics in
            let added = positions.filter { !statistics.foreign.contains($0) }
            statistics.foreign.formUnion(added.prefix(WriterStatistics.foreignMax - statistics.foreign.count))
            return added
        }
        for position in added.prefix(WriterStatistics.foreignMax) {
            LogLine.write(
                .error, "a client's record has the id of an event of the daemon's own, which is stored beside it",
                ["position": String(position)])
        }
    }

    /// Now, never going back: positions and recording times have the same order.
    func recordingTime() -> Timestamp {
        lastRecordedAt = max(lastRecordedAt, clock())
        return Timestamp(microseconds: lastRecordedAt)
    }
}
