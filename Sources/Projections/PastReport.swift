public import Billing
public import Records

/// What could be said of an owner at one moment of the past.
public struct PastReport: Hashable, Sendable {
    /// What it is judged at: the effective time, the time that was asked about, or when the last record that is known
    /// was stored.
    public var judgedAt: Timestamp
    /// Nil for an owner that the ledger never heard of, and when nobody is asked about.
    public var credits: CreditSummary?
    public var calls: CallsAnswer?
    public var tokens: TokensAnswer
}

/// Folds a log for reports on an owner, or on the tokens of all: record by record, and a report whenever one is asked
/// for. Each part by the code that answers for today.
public struct PastReporter {
    private let owner: Owner?
    private let past: Past
    private var fold: PastFold
    private var calls: PastModel<Calls>?
    private var tokens: PastModel<Tokens>
    /// Which calls are counted, and which days of tokens are summed.
    public var span = CallsQuery.Span.current
    public var from: Day?
    public var to: Day?
    public var groups: [TokensAnswer.Dimension] = []
    /// Of the last record that was taken.
    public private(set) var position: UInt64 = 0
    private var recordedAt = Timestamp.earliest

    /// - Parameter owner: nil: tokens alone, of everyone.
    public init(
        _ past: Past, of owner: Owner?, log: any RecordSource, progress: (UInt64) -> Void = { _ in }
    ) throws {
        self.owner = owner
        self.past = past
        fold = try PastFold(past, log: log, progress: progress)
        calls = owner == nil ? nil : try PastModel(Calls.self, log: log)
        tokens = try PastModel(Tokens.self, log: log)
    }

    /// Takes the next record. Gives it back as it counts, with what it did; nil when it does not count.
    @discardableResult
    public mutating func take(_ record: Record) throws -> PastFold.Step? {
        position = record.position
        recordedAt = record.recordedAt
        guard let step = try fold.take(record) else { return nil }
        if step.record.event.fact.concerns(owner) {
            try calls?.apply(step.record)
            try tokens.apply(step.record)
        }
        return step
    }

    /// - Parameter time: what was said at this time; nil: when the last record that was taken was stored. An effective
    ///   time goes before.
    public mutating func report(at time: Timestamp? = nil) throws -> PastReport {
        let time = past.effective ?? time ?? recordedAt
        var query = TokensQuery(from: from, to: to, groups: groups)
        var user: Name?
        switch owner {
        case .org(let org): query.org = org
        case .user(let name):
            user = name
            if !groups.contains(.user) { query.groups.append(.user) }
        case nil: break
        }
        var answer = try tokens.answer(query)
        if let user { answer.keep(user, groups: groups) }
        return PastReport(
            judgedAt: time, credits: owner.flatMap { fold.book.ledger.summary(of: $0, at: time) },
            calls: try owner.flatMap { try calls?.answer(CallsQuery(owner: $0, span: span, now: time)) },
            tokens: answer)
    }
}

extension TokensAnswer {
    /// Only the rows of one user, grouped by `groups`, which may lack the user.
    fileprivate mutating func keep(_ user: Name, groups: [Dimension]) {
        rows.removeAll { $0.user != user }
        totals = Totals()
        for row in rows { totals += row.totals }
        if !groups.contains(.user) {
            for index in rows.indices { rows[index].user = nil }
        }
        self.groups = groups
        if groups.isEmpty { rows = [] }
    }
}
