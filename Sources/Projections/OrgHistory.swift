public import Billing
internal import Hashing
public import Records
internal import SQLite

/// What a log says of one org, for an audit pack: what its calls of a period were charged, how its balance moved, into
/// which Lago lines its calls went. Folded in memory from position 1, beside the books of everybody else.
public struct OrgHistory {
    /// What one version of a call was charged.
    public struct Charge: Sendable {
        public var position: UInt64
        public var rating: Rating
        public var parts: [ChargeRecord.Part]
    }

    public struct StatedMovement: Sendable {
        public var position: UInt64
        public var time: Timestamp
        public var movement: Movement
    }

    /// A record that counts in a line, or is taken out of it again.
    public struct Share: Sendable {
        public var position: UInt64
        public var sign: Int64
    }

    public struct Line: Sendable {
        /// Of the closing; nil while it is open.
        public var sealedAt: UInt64?
        public var key: LagoLineKey
        public var sums: LagoSums
        public var shares: [Share]
        /// Nil while it is open.
        public var id: String?
        public var batch: String?
    }

    public let org: Name
    public let period: Range<Timestamp>
    /// Calls of the period, every version of them, in order.
    public private(set) var charges: [Charge] = []
    /// Of the org's account, in order.
    public private(set) var movements: [StatedMovement] = []
    public private(set) var totals = Totals()
    /// Users of its calls and allocations.
    public private(set) var users: Set<Name> = []
    /// Users whose wallets paid for its calls: position of the call's version, and what the wallet's lots gave.
    public private(set) var walletDraws: [(position: UInt64, user: Name, taken: Money)] = []
    /// Subscriptions that it was ever assigned.
    public private(set) var subscriptions: Set<Name> = []
    /// Those of them that calls of others went to as well.
    public private(set) var sharedSubscriptions: Set<Name> = []
    /// Plans that it was ever assigned, and those of its users.
    public var plans: Set<Name> { users.reduce(into: orgPlans) { $0.formUnion(userPlans[$1] ?? []) } }
    /// Users whose wallets paid for its calls, and who made no calls for another org: their wallets can be recomputed.
    public var walletUsers: Set<Name> { Set(walletDraws.map(\.user)).subtracting(usersElsewhere) }
    /// Those who made some.
    public var sharedUsers: Set<Name> { Set(walletDraws.map(\.user)).intersection(usersElsewhere) }

    /// Sums over the calls of the period as they stand.
    public struct Totals: Sendable {
        public var sums = [Int128](repeating: 0, count: 8)
        public static let names = [
            "calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
            "charged_credits", "unpriced_calls",
        ]
    }

    /// What of a call is needed when a correction unwinds it.
    private struct Version {
        var usage: LineUsage
        var subscription: Name?
        var isUnpriced: Bool
    }

    private var book = Book()
    private var versions: [UInt64: Version] = [:]
    private var usersElsewhere: Set<Name> = []
    private var orgPlans: Set<Name> = []
    private var userPlans: [Name: Set<Name>] = [:]
    private var lotOwners: [Name: Owner] = [:]
    private var windowSeconds: Int64 = 3600
    private var open: [LagoLineKey: Line] = [:]
    private var sealed: [Line] = []
    private var lago = Lago()
    private let ids = LineIDs()
    private var lagoGathered = 0

    public init(org: Name, period: Range<Timestamp>) {
        self.org = org
        self.period = period
    }

    /// Folds the next record. Throws `RecordFault`.
    public mutating func apply(_ record: Record, log: any RecordSource) throws {
        let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
        for movement in outcome.movements where movement.owner == .org(org) {
            movements.append(StatedMovement(position: record.position, time: record.occurredAt, movement: movement))
        }
        switch record.event.fact {
        case .call(let call):
            add(call, isCall: true, at: record.occurredAt, outcome, record.position)
        case .usage(let call):
            add(call, isCall: false, at: record.occurredAt, outcome, record.position)
        case .callVoided(let voided):
            if let standing = voided.unwinds { unwind(standing, at: record.position) }
        case .callAmended(let amended):
            guard let standing = amended.unwinds else { break }
            unwind(standing, at: record.position)
            add(amended.call, isCall: standing.isCall, at: standing.occurredAt, outcome, record.position)
        case .creditsGranted(let grant): lotOwners[record.event.id] = grant.owner
        case .creditsAdjusted(let adjustment): lotOwners[record.event.id] = adjustment.owner
        case .creditsAllocated(let allocation):
            if allocation.org == org { users.insert(allocation.user) }
        case .planAssigned(let assignment):
            switch assignment.owner {
            case .org(let name):
                guard name == org else { break }
                orgPlans.insert(assignment.plan)
                if let lago = assignment.lago { subscriptions.insert(lago.externalSubscriptionID) }
            case .user(let name): userPlans[name, default: []].insert(assignment.plan)
            }
        case .lagoWindowClosed(let closed): close(closed, at: record.position)
        default: break
        }
        try follow(record, log: log)
    }

    private mutating func add(
        _ call: Call, isCall: Bool, at time: Timestamp, _ outcome: Outcome, _ position: UInt64
    ) {
        let subscription = book.catalog.subscription(for: call, at: time)
        guard call.org == org else {
            if let user = call.user, call.org != nil { usersElsewhere.insert(user) }
            if let subscription, subscriptions.contains(subscription) { sharedSubscriptions.insert(subscription) }
            return
        }
        if let user = call.user { users.insert(user) }
        guard let rating = outcome.rating else { preconditionFailure("position \(position): a call without a rating") }
        let charge = outcome.charge ?? ChargeRecord()
        for part in charge.parts {
            guard case .user(let user) = part.owner else { continue }
            walletDraws.append((position, user, part.total - part.overage))
        }
        if period.contains(time) { charges.append(Charge(position: position, rating: rating, parts: charge.parts)) }
        let usage = LineUsage(
            call: call, isCall: isCall, at: time, charge: rating.charge, invoiced: charge.invoiced)
        let version = Version(usage: usage, subscription: subscription, isUnpriced: rating.unpriced != nil)
        versions[position] = version
        count(version, sign: 1, at: position)
    }

    private mutating func unwind(_ standing: StandingCall, at position: UInt64) {
        guard let version = versions.removeValue(forKey: standing.position) else { return }
        count(version, sign: -1, at: position)
    }

    private mutating func count(_ version: Version, sign: Int64, at position: UInt64) {
        let usage = version.usage
        let call = usage.call
        if period.contains(usage.at) {
            let counts = [
                usage.isCall && Quota.uses(call, plan: nil) ? 1 : 0, call.usage?.inputTokens, call.usage?.outputTokens,
                call.usage?.cacheReadTokens, call.usage?.cacheWriteTokens, call.usage?.reasoningTokens,
                usage.charge.nanos, version.isUnpriced ? 1 : 0,
            ]
            for (index, count) in counts.enumerated() { totals.sums[index] += Int128(sign) * Int128(count ?? 0) }
        }
        guard usage.isAny, let subscription = version.subscription, subscriptions.contains(subscription) else { return }
        let key = LagoLineKey(
            subscription: subscription, windowStart: LagoLineKey.windowStart(of: usage.at, seconds: windowSeconds),
            windowSeconds: windowSeconds, provider: call.provider, model: call.model, operation: call.operation)
        var line = open[key] ?? Line(key: key, sums: LagoSums(at: usage.at, position: position), shares: [])
        line.sums.add(usage, sign: sign, position: position)
        line.shares.append(Share(position: position, sign: sign))
        open[key] = sign < 0 && line.sums.isZero ? nil : line
    }

    private mutating func close(_ closed: LagoWindowClosed, at position: UInt64) {
        windowSeconds = closed.windowSeconds
        for (key, line) in open
        where key.windowEnd * Timestamp.microsecondsPerSecond <= closed.through.microseconds {
            var line = line
            line.sealedAt = position
            sealed.append(line)
            open[key] = nil
        }
    }

    /// Numbers and batches of lines depend on everybody's: the read model's own fold gives them.
    private mutating func follow(_ record: Record, log: any RecordSource) throws {
        try lago.apply(record, log: log)
        lagoGathered += 1
        var isDue = lagoGathered >= Refold.flushRecords
        if case .lagoWindowClosed = record.event.fact { isDue = true }
        guard isDue else { return }
        ids.subscriptions = subscriptions
        try lago.flush(into: ids)
        lagoGathered = 0
    }

    /// Lines of its subscriptions whose windows begin in the period, in the order of their keys and closings.
    public func lines() -> [Line] {
        var found: [Line] = []
        for var line in sealed + Array(open.values) {
            let start = Timestamp(microseconds: line.key.windowStart * Timestamp.microsecondsPerSecond)
            guard period.contains(start) else { continue }
            if let position = line.sealedAt {
                // A line that others share may be gone where theirs took back what it held.
                let place = ids.found[LineIDs.Place(position: position, key: line.key)]
                line.id = place.map { "l-\(position)-\($0.number)" }
                line.batch = place.map { "b-\(position)-\($0.batch)" }
            }
            found.append(line)
        }
        return found.sorted { ($0.key, $0.sealedAt ?? .max) < ($1.key, $1.sealedAt ?? .max) }
    }

    // MARK: Which records

    public enum Belonging: Sendable {
        case no
        case whole
        /// It is about the org, and says something of another owner too.
        case withheld
    }

    /// Whether a record is to be in the pack. Asked once all records are folded.
    /// - Parameters: what it needs of this value, made once.
    public struct Selection: Sendable {
        let org: Name
        let users: Set<Name>
        let walletUsers: Set<Name>
        let plans: Set<Name>
        let lotOwners: [Name: Owner]

        public func belonging(of record: Record) -> Belonging {
            func has(_ owner: Owner?) -> Belonging {
                switch owner {
                case .org(let name)?: name == org ? .whole : .no
                case .user(let name)?: walletUsers.contains(name) ? .whole : .no
                case nil: .no
                }
            }
            func has(_ org: Name?, _ user: Name?) -> Belonging { has(org.map { .org($0) } ?? user.map { .user($0) }) }
            switch record.event.fact {
            case .call(let call), .usage(let call): return has(call.org, call.user)
            case .callVoided(let voided): return has(voided.unwinds?.org, voided.unwinds?.user)
            case .callAmended(let amended):
                let before = has(amended.unwinds?.org, amended.unwinds?.user)
                let after = has(amended.call.org, amended.call.user)
                return before == after ? before : .withheld
            case .creditsGranted(let grant): return has(grant.owner)
            case .creditsAdjusted(let adjustment): return has(adjustment.owner)
            case .creditsVoided(let voided): return has(lotOwners[voided.lot])
            case .creditsExpired(let expired): return has(lotOwners[expired.lot])
            case .creditsAllocated(let allocation): return allocation.org == org ? .whole : .no
            case .planDefined(let plan): return plans.contains(plan.name) ? .whole : .no
            case .planAssigned(let assignment):
                switch assignment.owner {
                case .org(let name): return name == org ? .whole : .no
                case .user(let name): return users.contains(name) ? .whole : .no
                }
            case .pricesPublished, .lagoWindowClosed: return .whole
            case .authorizationGranted(let granted): return granted.subject.org == org ? .whole : .no
            case .authorizationDenied(let denied): return denied.subject.org == org ? .whole : .no
            case .authorizationReleased(let ended), .authorizationExpired(let ended):
                return ended.org == org ? .whole : .no
            case .alertDefined(let alert): return alert.owner == .org(org) ? .whole : .no
            // Batches mix subscriptions, and what is said of them may be about any.
            case .lagoBatchDelivered, .lagoBatchFailed: return .no
            }
        }
    }

    public var selection: Selection {
        Selection(org: org, users: users, walletUsers: walletUsers, plans: plans, lotOwners: lotOwners)
    }
}

/// Picks the numbers of some subscriptions' sealed lines out of what the Lago fold writes.
private final class LineIDs: RowSink {
    struct Place: Hashable {
        var position: UInt64
        var key: LagoLineKey
    }

    var digest: MultisetDigest { MultisetDigest() }
    var prefersKeyOrder: Bool { false }
    var subscriptions: Set<Name> = []
    private(set) var found: [Place: (number: Int64, batch: Int64)] = [:]

    func append(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {
        guard table.name == Lago.lines.name else { return }
        var cells = RowCells()
        for index in 0..<count {
            table.fill(&cells, index, fill)
            guard case .text(let text) = cells.value(3), let subscription = Name(text),
                subscriptions.contains(subscription), case .text(let provider) = cells.value(6),
                case .text(let model) = cells.value(7), let provider = Name(provider), let model = Name(model),
                let operation = Call.Operation(rawValue: UInt8(cells[8].integer))
            else { continue }
            let key = LagoLineKey(
                subscription: subscription, windowStart: cells[4].integer, windowSeconds: cells[5].integer,
                provider: provider, model: model, operation: operation)
            found[Place(position: UInt64(cells[0].integer), key: key)] = (cells[1].integer, cells[2].integer)
        }
    }

    func add(_ count: Int, to table: Table, _ fill: (Int, inout RowCells) -> Void) throws {}
    func put(_ count: Int, in table: Table, _ fill: (Int, inout RowCells) -> Void) throws {}
    func remove(key: [Value], from table: Table) throws {}
    func values(key: [Value], in table: Table) throws -> [Value]? { nil }
}
