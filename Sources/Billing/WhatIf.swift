/// History folded twice side by side: as it happened, and as it would have been with other prices or plans. What is
/// asked for is a difference, so both books take the same records, and everything but the rating of calls is as it was:
/// grants, allocations, corrections, holds.
///
/// A call that was corrected and that costs, as it stands, what the alternative says is left as it happened: it was
/// charged that way, and amended. So where nothing differs any more, the two books are the same to the digit.
public struct WhatIf: Sendable {
    /// What is compared with what happened.
    public struct Alternative: Sendable {
        public var substitution: Substitution
        /// Records of prices and plans that the alternative does not know of.
        public var ignores: @Sendable (Event) -> Bool

        public init(
            substitution: Substitution = Substitution(),
            ignoring ignores: @escaping @Sendable (Event) -> Bool = { _ in false }
        ) {
            self.substitution = substitution
            self.ignores = ignores
        }
    }

    /// One owner's calls in the time that the substitution covers, as they stand; by their own org, or by user where
    /// they have none.
    public struct Row: Hashable, Sendable {
        public let owner: Owner
        /// `llm.call`s that were not voided.
        public internal(set) var calls: Int64 = 0
        /// n$ charged, as it happened and as it would have been.
        public internal(set) var chargedThen: Int128 = 0
        public internal(set) var chargedNow: Int128 = 0
        /// Calls and usage that cost otherwise.
        public internal(set) var differing: Int64 = 0
        /// Calls that an authorization, asked for just before, would have refused.
        public internal(set) var deniedThen: Int64 = 0
        public internal(set) var deniedNow: Int64 = 0
        /// Calls and usage charged 0 for want of a price.
        public internal(set) var unpricedThen: Int64 = 0
        public internal(set) var unpricedNow: Int64 = 0

        public init(owner: Owner) {
            self.owner = owner
        }

        public mutating func add(_ other: Row) {
            calls += other.calls
            chargedThen += other.chargedThen
            chargedNow += other.chargedNow
            differing += other.differing
            deniedThen += other.deniedThen
            deniedNow += other.deniedNow
            unpricedThen += other.unpricedThen
            unpricedNow += other.unpricedNow
        }
    }

    /// A call or usage that costs otherwise, as it stands.
    public struct Difference: Sendable {
        /// The call's own key, by which a correction names it.
        public var source: Name
        public var id: Name
        /// Org in whose space of keys it is; nil where it is among everybody's.
        public var spaceOrg: Name?
        /// Of the record that states the version that stands.
        public var position: UInt64
        public var occurredAt: Timestamp
        /// False for `llm.usage`.
        public var isCall: Bool
        public var call: Call
        public var then: Money
        public var now: Money
    }

    /// A record that the alternative cannot take: an amount that fits in no balance.
    public struct Fault: Error, CustomStringConvertible {
        public var position: UInt64
        public var rejection: Rejection
        public var description: String { "record \(position): \(rejection.field): \(rejection.detail)" }
    }

    public private(set) var actual = Book(countsCalls: true)
    public private(set) var alternative: Book
    private let ignores: @Sendable (Event) -> Bool
    private let substitution: Substitution
    private let hindsight: Hindsight
    /// Versions of corrected calls that are not as their records say, by the call's position.
    private var versions: [UInt64: Version] = [:]
    /// Of calls that are corrected later on and are in some org's space of keys, by the position of their own records.
    private var spaceOrgs: [UInt64: Name] = [:]
    private var rowIndex: [Owner: Int] = [:]
    private var rowOfShape = ShapeMemory<Int>()
    /// In order of their first calls.
    public private(set) var rows: [Row] = []

    /// `hindsight`: of the same records and the same alternative.
    public init(_ alternative: Alternative, hindsight: Hindsight) {
        self.alternative = Book(countsCalls: true)
        self.alternative.catalog = Catalog(substituting: alternative.substitution)
        ignores = alternative.ignores
        substitution = alternative.substitution
        self.hindsight = hindsight
    }

    /// Folds the next record, and gives the call that stands with it from here on, when that costs otherwise.
    /// - Parameter spaceOrg: the org in whose space of keys the record is.
    public mutating func apply(
        _ event: Event, position: UInt64, at occurredAt: Timestamp, recordedAt: Timestamp, spaceOrg: Name? = nil
    ) throws(Fault) -> Difference? {
        expireLots(at: recordedAt)
        do {
            switch event.fact {
            case .call(let call), .usage(let call):
                return try take(event, call: call, position: position, at: occurredAt, spaceOrg: spaceOrg)
            case .callVoided, .callAmended:
                return try correct(event, position: position, at: occurredAt)
            default:
                actual.apply(event, position: position, at: occurredAt)
                try takeControl(event, position: position, at: occurredAt)
                return nil
            }
        } catch {
            throw Fault(position: position, rejection: error)
        }
    }

    private mutating func take(
        _ event: Event, call: Call, position: UInt64, at time: Timestamp, spaceOrg: Name?
    ) throws(Rejection) -> Difference? {
        let correction = hindsight.correction(of: position)
        if correction != nil, let spaceOrg { spaceOrgs[position] = spaceOrg }
        let terms = actual.catalog.rememberTerms(for: call, at: time)
        let (then, deniedThen) = try actual.takeAsking(event.fact, call: call, charging: terms, asking: terms, at: time)
        let ownTerms = alternative.catalog.rememberTerms(for: call, at: time)
        let (now, deniedNow) = try alternative.takeAsking(
            event.fact, call: call, charging: correction?.isSettled == true ? terms : ownTerms, asking: ownTerms,
            at: time)
        let cost = Cost(then: then, now: now)
        if correction != nil { keep(Version(cost, then: then, now: now), of: position) }
        if substitution.covers(time) {
            let row = row(of: call)
            count(cost, isCall: event.fact.countsCall, in: row, sign: 1)
            if deniedThen { rows[row].deniedThen += 1 }
            if deniedNow { rows[row].deniedNow += 1 }
        }
        guard correction == nil, cost.then != cost.now else { return nil }
        return difference(
            (event.source, event.id, spaceOrg), call, cost, at: position, occurredAt: time,
            isCall: event.fact.countsCall)
    }

    private mutating func correct(
        _ event: Event, position: UInt64, at time: Timestamp
    ) throws(Rejection) -> Difference? {
        guard let standing = event.fact.unwinds else {
            preconditionFailure("position \(position) corrects a call and does not say which")
        }
        let old = versions[standing.original] ?? Version(standing.charge)
        let correction = hindsight.correction(of: standing.original)
        let then = actual.apply(event, position: position, at: time)
        var altered = event
        altered.fact.unwinds?.charge = old.charge
        // What is settled is judged as it was. Moved in and out: no catalog is copied.
        if correction?.isSettled == true { swap(&actual.catalog, &alternative.catalog) }
        defer { if correction?.isSettled == true { swap(&actual.catalog, &alternative.catalog) } }
        let now = try alternative.take(altered, position: position, at: time)
        if substitution.covers(standing.occurredAt) {
            guard let owner = standing.org.map(Owner.org) ?? standing.user.map(Owner.user) else {
                preconditionFailure("position \(position) corrects a call of nobody")
            }
            count(old.cost, isCall: standing.isCall, in: row(of: owner), sign: -1)
        }
        guard case .callAmended(let amended) = event.fact else {
            versions[standing.original] = nil
            return nil
        }
        let cost = Cost(then: then, now: now)
        keep(Version(cost, then: then, now: now), of: standing.original)
        if substitution.covers(standing.occurredAt) {
            count(cost, isCall: standing.isCall, in: row(of: amended.call), sign: 1)
        }
        guard correction?.last == position, cost.then != cost.now else { return nil }
        return difference(
            (amended.source, amended.id, spaceOrgs[standing.original]), amended.call, cost, at: position,
            occurredAt: standing.occurredAt, isCall: standing.isCall)
    }

    private mutating func difference(
        _ key: (source: Name, id: Name, spaceOrg: Name?), _ call: Call, _ cost: Cost, at position: UInt64,
        occurredAt: Timestamp, isCall: Bool
    ) -> Difference {
        let row = row(of: call)
        rows[row].differing += 1
        return Difference(
            source: key.source, id: key.id, spaceOrg: key.spaceOrg, position: position, occurredAt: occurredAt,
            isCall: isCall, call: call, then: cost.then, now: cost.now)
    }

    /// Lots that ended with something left in the alternative only: nobody recorded their end. Where both books have
    /// something left, the record of it comes.
    private mutating func expireLots(at time: Timestamp) {
        guard let ending = alternative.ledger.nextEnding, ending <= time else { return }
        for ended in alternative.ledger.lotsEnding(through: time)
        where actual.ledger.lot(ended.lot)?.left == .zero {
            _ = alternative.ledger.expire(ended.lot)
        }
    }

    private mutating func takeControl(_ event: Event, position: UInt64, at time: Timestamp) throws(Rejection) {
        switch event.fact {
        case .planAssigned, .alertDefined:
            alternative.apply(event, position: position, at: time)
        case .planDefined, .pricesPublished:
            if !ignores(event) { alternative.apply(event, position: position, at: time) }
        case .creditsVoided, .creditsExpired:
            // As much as is left there, or nothing.
            alternative.apply(event, position: position, at: time)
        default:
            _ = try alternative.take(event, position: position, at: time)
        }
    }

    // MARK: - What a version cost

    private struct Cost: Sendable {
        var then: Money
        var now: Money
        var isUnpricedThen = false
        var isUnpricedNow = false

        init(_ amount: Money) {
            then = amount
            now = amount
        }

        init(then: Outcome, now: Outcome) {
            self.then = then.rating?.charge ?? .zero
            self.now = now.rating?.charge ?? .zero
            isUnpricedThen = then.rating?.unpriced != nil
            isUnpricedNow = now.rating?.unpriced != nil
        }
    }

    private struct Version: Sendable {
        var cost: Cost
        /// What the alternative took from which lots.
        var charge: ChargeRecord
        /// Whether it is what happened.
        var isSame = true

        /// As a record says it.
        init(_ charge: ChargeRecord) {
            cost = Cost(charge.total)
            self.charge = charge
        }

        init(_ cost: Cost, then: Outcome, now: Outcome) {
            self.cost = cost
            charge = now.charge ?? ChargeRecord()
            isSame = charge == then.charge ?? ChargeRecord()
        }
    }

    /// For the correction that comes. What its record says of the version needs no place.
    private mutating func keep(_ version: Version, of original: UInt64) {
        let isKept = !version.isSame || version.cost.isUnpricedThen || version.cost.isUnpricedNow
        versions[original] = isKept ? version : nil
    }

    // MARK: - Rows

    private mutating func row(of call: Call) -> Int {
        if let known = rowOfShape[call.shape] { return known }
        guard let owner = call.org.map(Owner.org) ?? call.user.map(Owner.user) else {
            preconditionFailure("a call of nobody")
        }
        let row = row(of: owner)
        rowOfShape[call.shape] = row
        return row
    }

    private mutating func row(of owner: Owner) -> Int {
        if let known = rowIndex[owner] { return known }
        rows.append(Row(owner: owner))
        rowIndex[owner] = rows.count - 1
        return rows.count - 1
    }

    private mutating func count(_ cost: Cost, isCall: Bool, in row: Int, sign: Int64) {
        if isCall { rows[row].calls += sign }
        rows[row].chargedThen += Int128(cost.then.nanos) * Int128(sign)
        rows[row].chargedNow += Int128(cost.now.nanos) * Int128(sign)
        if cost.isUnpricedThen { rows[row].unpricedThen += sign }
        if cost.isUnpricedNow { rows[row].unpricedNow += sign }
    }
}

extension Book {
    /// Admits a call and applies it, and says whether an authorization would have refused it just before. What it costs
    /// is by the terms `charging`; `asking` are this book's own.
    fileprivate mutating func takeAsking(
        _ fact: Fact, call: Call, charging terms: Terms, asking: Terms, at time: Timestamp
    ) throws(Rejection) -> (outcome: Outcome, isDenied: Bool) {
        let rating = try Catalog.rate(call, by: terms, countsCall: fact.countsCall)
        let places = ledger.places(of: call)
        try admit(call, charge: rating.charge, at: places)
        // Its own hold was made for it.
        if let id = call.authorization, let key = HoldKey(org: call.org, user: call.user, id: id) { end(key) }
        let isDenied = fact.countsCall && refusal(of: call, charge: rating.charge, by: asking, at: time) != nil
        let outcome = chargeStated(
            call, countsCall: fact.countsCall, rating: rating, terms: terms, places: places, at: time)
        return (outcome, isDenied)
    }
}
