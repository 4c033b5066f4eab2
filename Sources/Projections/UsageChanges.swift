public import Billing
public import Records

/// What one record adds to counts and totals, or takes out: a version of a call, as the record that states it says.
public struct UsageChange: Hashable, Sendable {
    /// +1 or -1.
    public var sign: Int64
    /// Of the record that states the version.
    public var position: UInt64
    public var call: Call
    /// False for `llm.usage`.
    public var isCall: Bool
    /// The call's own time: the day that it counts in.
    public var occurredAt: Timestamp
    /// All that it adds or takes, the sign applied. `calls` is what uses quota.
    public var totals: TokensAnswer.Totals

    /// Whether it is among an owner's.
    public func isOf(_ owner: Owner?) -> Bool {
        switch owner {
        case .org(let org): call.org == org
        case .user(let user): call.user == user
        case nil: true
        }
    }
}

/// Says of each record in turn what it changes in counts and totals. The read models keep the sums; this keeps none, so
/// that sums can be checked against their parts.
public struct UsageChanges {
    private let log: any RecordSource
    private var controls = Controls(table: Controls.table(tag: 0), keepsPrices: true)
    private var corrections = Corrections(table: Corrections.table(tag: 0))

    public init(log: any RecordSource) {
        self.log = log
    }

    /// Takes the next record of the log (or of a past of it).
    public mutating func changes(of record: Record) throws -> [UsageChange] {
        switch record.event.fact {
        case .call, .usage:
            guard let version = Corrections.Version(record) else { return [] }
            return [try change(1, version, by: controls.catalog)]
        case .callVoided(let fact):
            guard let old = try corrections.void(fact, at: record.position, log: log) else { return [] }
            return [try change(-1, old, by: controls.catalog(at: old.position))]
        case .callAmended(let fact):
            let (old, new) = try corrections.amend(fact, at: record.position, log: log)
            var changes: [UsageChange] = []
            if let old { changes.append(try change(-1, old, by: controls.catalog(at: old.position))) }
            changes.append(try change(1, new, by: controls.catalog))
            return changes
        default:
            controls.apply(record)
            return []
        }
    }

    private func change(_ sign: Int64, _ version: Corrections.Version, by catalog: Catalog) throws -> UsageChange {
        let rating = try catalog.rate(version.call, at: version.occurredAt, countsCall: version.isCall)
        let totals = TokensAnswer.Totals(version.call, isCall: version.isCall, rating: rating)
        return UsageChange(
            sign: sign, position: version.position, call: version.call, isCall: version.isCall,
            occurredAt: version.occurredAt, totals: sign < 0 ? totals.negated : totals)
    }
}
