public import Billing
internal import Platform
internal import Records

/// Answers as they were: everything folded again from the log, up to a position or a time, and as of an effective time
/// when one is asked for (`Past`). Exact, and as slow as the log is long; on a thread of its own, so that no other
/// question waits for it.
public actor AsOf {
    /// Up to where the log is known.
    public enum Moment: Hashable, Sendable {
        /// All records up to this one.
        case position(UInt64)
        /// All records that were stored by then: what would have been answered at that time.
        case time(Timestamp)
        /// All records there are.
        case now
    }

    /// What an owner had, at the last record that is known.
    public struct Credits: Sendable {
        public var summary: CreditSummary?
        /// Of a user within an org.
        public var available: Money?
        public var spent = Money.zero
        public var overage = Money.zero
    }

    /// Questions waiting or running; past it one is refused.
    public static let pendingMax = 4

    private let executor = ThreadExecutor(name: "as-of")
    private let log: any RecordSource
    private nonisolated let pending = Lock(0)

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(log: any RecordSource) {
        self.log = log
    }

    /// The credits of `owner`, and of `user` within it, at `moment`. Nil: too many ask already.
    public nonisolated func credits(
        of owner: Owner, user: Name? = nil, at moment: Moment, effective: Timestamp? = nil
    ) async throws -> Seen<Credits>? {
        guard enter() else { return nil }
        defer { leave() }
        return try await fold(owner, user, moment, effective)
    }

    /// The answer of a read model as it was. `query` is given the time to ask for: the effective one, else that of the
    /// moment. Nil: too many ask already.
    /// - Parameter owner: whose calls are enough for the answer; nil: everyone's.
    public nonisolated func ask<P: Projection, Q: Query>(
        _ projection: P.Type, of owner: Owner?, at moment: Moment, effective: Timestamp? = nil,
        _ query: @Sendable (Timestamp) -> Q
    ) async throws -> Seen<Q.Answer>? {
        guard enter() else { return nil }
        defer { leave() }
        return try await answer(projection, owner, moment, effective, query)
    }

    private nonisolated func enter() -> Bool {
        pending.withLock { count in
            guard count < AsOf.pendingMax else { return false }
            count += 1
            return true
        }
    }

    private nonisolated func leave() {
        pending.withLock { $0 -= 1 }
    }

    private func fold(
        _ owner: Owner, _ user: Name?, _ moment: Moment, _ effective: Timestamp?
    ) throws -> Seen<Credits> {
        let known = try log.known(at: moment)
        let past = Past(known: known.position, effective: effective)
        var fold = try PastFold(past, log: log)
        var credits = Credits()
        try log.forEach(through: past.known) { record in
            guard let step = try fold.take(record), let user else { return }
            for movement in step.outcome.movements where movement.owner == owner && movement.user == user {
                guard movement.kind == .charge || movement.kind == .refund else { continue }
                credits.spent -= movement.amount
                credits.overage += movement.overage
            }
        }
        let time = effective ?? known.judgedAt
        credits.summary = fold.book.ledger.summary(of: owner, at: time)
        if let user, case .org(let org) = owner {
            credits.available = fold.book.ledger.available(org: org, user: user, at: time)
        }
        return Seen(position: past.known, answer: credits)
    }

    private func answer<P: Projection, Q: Query>(
        _ projection: P.Type, _ owner: Owner?, _ moment: Moment, _ effective: Timestamp?,
        _ query: @Sendable (Timestamp) -> Q
    ) throws -> Seen<Q.Answer> {
        let known = try log.known(at: moment)
        let past = Past(known: known.position, effective: effective)
        var model = try PastModel(projection, log: log)
        // Whatever is known counts as it is: no book is needed to say so.
        var fold = past.effective == nil ? nil : try PastFold(past, log: log)
        try log.forEach(through: past.known) { record in
            guard record.event.fact.concerns(owner) || fold != nil else { return }
            let counted = fold == nil ? record : try fold?.take(record)?.record
            if let counted, counted.event.fact.concerns(owner) { try model.apply(counted) }
        }
        return Seen(position: past.known, answer: try model.answer(query(effective ?? known.judgedAt)))
    }
}

extension Fact {
    /// False for a call of others. Corrections concern everyone: they do not say whose call it was.
    func concerns(_ owner: Owner?) -> Bool {
        guard let owner else { return true }
        switch self {
        case .call(let call), .usage(let call):
            switch owner {
            case .org(let org): return call.org == org
            case .user(let user): return call.user == user
            }
        default: return true
        }
    }
}
