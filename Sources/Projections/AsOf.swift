public import Billing
internal import Platform
internal import Records

/// Balances as they were: a book folded again from the log, up to a position or a time. Exact, and as slow as the log
/// is long; on a thread of its own, so that no other question waits for it.
public actor AsOf {
    /// Up to where the log counts.
    public enum Moment: Hashable, Sendable {
        /// All records up to this one.
        case position(UInt64)
        /// All records that were stored by then: what would have been answered at that time.
        case time(Timestamp)
    }

    /// What was asked for, at the last record that counts.
    public struct Answer: Sendable {
        public var position: UInt64
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
    public nonisolated func credits(of owner: Owner, user: Name? = nil, at moment: Moment) async throws -> Answer? {
        guard pending.withLock({ count in
            guard count < AsOf.pendingMax else { return false }
            count += 1
            return true
        }) else { return nil }
        defer { pending.withLock { $0 -= 1 } }
        return try await fold(owner, user, moment)
    }

    private func fold(_ owner: Owner, _ user: Name?, _ moment: Moment) throws -> Answer {
        var book = Book()
        var answer = Answer(position: 0)
        var lastRecordedAt = Timestamp.earliest
        let end: UInt64 =
            switch moment {
            case .position(let position): min(position, log.highWater)
            case .time: log.highWater
            }
        var isOver = false
        while answer.position < end && !isOver {
            let before = answer.position
            _ = try log.read(after: before, recordsMax: 10_000, bytesMax: 8 << 20) { record in
                guard !isOver, record.position <= end else { return }
                if case .time(let time) = moment, record.recordedAt > time {
                    isOver = true
                    return
                }
                let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
                for movement in outcome.movements where movement.owner == owner && movement.user == user {
                    guard user != nil, movement.kind == .charge else { continue }
                    answer.spent -= movement.amount
                    answer.overage += movement.overage
                }
                answer.position = record.position
                lastRecordedAt = record.recordedAt
            }
            guard answer.position > before || isOver else {
                throw RecordFault(position: before + 1, reason: "the log ends before it")
            }
        }
        let time: Timestamp =
            switch moment {
            case .position: lastRecordedAt
            case .time(let time): time
            }
        answer.summary = book.ledger.summary(of: owner, at: time)
        if let user, case .org(let org) = owner {
            answer.available = book.ledger.available(org: org, user: user, at: time)
        }
        return answer
    }
}
