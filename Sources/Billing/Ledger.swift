/// Who owns which credits: accounts, lots, allocations, and what was drawn of them.
///
/// A value that is changed in place: one dictionary look-up finds an account, and from there on all is array indexes.
public struct Ledger: Sendable {
    /// An account with its lots and allocations, by index.
    struct Pool: Sendable {
        var sums: Account
        /// All lots, in order of arrival.
        var lots: [Int32] = []
        /// Lots of which something is left, in burn order.
        var open: [Int32] = []
        /// By user.
        var draws: [Name: Int] = [:]
        var carveOuts = 0
        /// What all carve-outs still reserve in their periods containing a day: computed once a day asked for.
        var reserved: [(day: Day, nanos: Int128)] = []
        var isChanged = false
    }
    struct Entry: Sendable {
        var lot: Lot
        let pool: Int
        var isChanged = false
    }
    /// Indexes of accounts; nil for none.
    struct CallPlaces: Sendable {
        var org: Int?
        var user: Int?
        /// How many accounts there were: a missing one may have been made since.
        var accounts: Int
    }
    private struct Ending: Sendable {
        var time: Timestamp
        var lot: Int32
    }

    var accounts: [Pool] = []
    var accountIndex: [Owner: Int] = [:]
    /// Where the accounts of calls of a shape are, found before.
    private var callPlaces = ShapeMemory<CallPlaces>()
    var lots: [Entry] = []
    private var lotIndex: [Name: Int] = [:]
    var draws: [Draw] = []
    /// Lots with an end of which something is left, in order of (end, id).
    private var endings: [Ending] = []

    var holds: [HoldKey: Hold] = [:]
    var holdEndings = HoldEndings()

    /// The first lot or account that did not add up after it was moved (I6); nil while every credit is accounted for.
    private var firstFault: String?

    let tracksChanges: Bool
    var changedHolds: Set<HoldKey> = []
    var changedAccounts: [Int] = []
    var changedLots: [Int] = []
    var changedDraws: [Int] = []

    /// - Parameter tracksChanges: whether `takeChanges` has something to give. The writer has no use for it.
    public init(tracksChanges: Bool = false) {
        self.tracksChanges = tracksChanges
    }

    // MARK: - Questions

    public func lot(_ id: Name) -> Lot? { lotIndex[id].map { lots[$0].lot } }

    /// A lot's number in this ledger: by order of arrival, from 0.
    public func number(ofLot id: Name) -> Int? { lotIndex[id] }

    /// Traps on a number that is none.
    public func lot(number: Int) -> Lot { lots[number].lot }

    /// Everybody who has an account.
    public var owners: Set<Owner> { Set(accountIndex.keys) }

    public func account(_ owner: Owner) -> Account? { accountIndex[owner].map { accounts[$0].sums } }

    /// Lots of which something is left and whose end is at or before `time`, in order of (end, id): what the daemon
    /// records as expired.
    public func lotsEnding(through time: Timestamp) -> [LotExpired] {
        endings.prefix { $0.time <= time }.map { ending in
            let lot = lots[Int(ending.lot)].lot
            return LotExpired(lot: lot.id, credits: lot.left)
        }
    }

    /// The earliest end of a lot of which something is left: when the daemon has to look again.
    public var nextEnding: Timestamp? { endings.first?.time }

    /// What an owner has at `time`; nil for one the ledger never heard of.
    public func summary(of owner: Owner, at time: Timestamp) -> CreditSummary? {
        guard let index = accountIndex[owner] else { return nil }
        let pool = accounts[index]
        return CreditSummary(
            account: pool.sums,
            available: Ledger.clamped(poolRoom(index, user: nil, at: time).free),
            lots: pool.lots.map { lots[Int($0)].lot }.sorted { $0.burns(before: $1) },
            allocations: pool.draws.values.compactMap { draws[$0].status(at: time) }
                .sorted { $0.allocation.user < $1.allocation.user })
    }

    /// What `user` may draw of the pool of `org` at `time`, by his allocation and what is there. Nil when the ledger
    /// never heard of the org.
    public func available(org: Name, user: Name, at time: Timestamp) -> Money? {
        guard let index = accountIndex[.org(org)] else { return nil }
        let (free, allocation) = poolRoom(index, user: user, at: time)
        return min(Ledger.clamped(free), allocation ?? Money(nanos: .max))
    }

    private static func clamped(_ nanos: Int128) -> Money { Money(nanos: Int64(max(0, nanos))) }

    /// What is left in lots that take part at `time`.
    func usable(_ index: Int, at time: Timestamp) -> Money {
        accounts[index].open.reduce(.zero) { sum, lot in
            let lot = lots[Int(lot)].lot
            return lot.takesPart(at: time) ? sum + lot.left : sum
        }
    }

    /// What all carve-outs of a pool keep from others on `day`, less what is held of them when `lessHeld`.
    func reservedNow(_ index: Int, on day: Day, lessHeld: Bool = false) -> Int128 {
        accounts[index].draws.values.reduce(0) { sum, draw in
            guard draws[draw].isCarveOut else { return sum }
            let held = lessHeld ? draws[draw].held : .zero
            return sum + Int128(max(.zero, draws[draw].remaining(on: day) - held).nanos)
        }
    }

    mutating func forgetShapes() { callPlaces = ShapeMemory() }

    // MARK: - Parts

    /// The accounts that a call may touch, as far as there are any.
    mutating func places(of call: Call) -> CallPlaces {
        if let known = callPlaces[call.shape], known.accounts == accounts.count { return known }
        let places = findPlaces(of: call)
        callPlaces[call.shape] = places
        return places
    }

    func findPlaces(of call: Call) -> CallPlaces {
        CallPlaces(
            org: call.org.flatMap { accountIndex[.org($0)] }, user: call.user.flatMap { accountIndex[.user($0)] },
            accounts: accounts.count)
    }

    /// The index of an owner's account, made when there is none.
    mutating func account(of owner: Owner) -> Int {
        if let index = accountIndex[owner] { return index }
        accounts.append(Pool(sums: Account(owner: owner)))
        accountIndex[owner] = accounts.count - 1
        return accounts.count - 1
    }

    /// Puts a lot in its places. The account's sums are the caller's.
    @discardableResult
    mutating func insert(_ lot: Lot) -> Int {
        precondition(lotIndex[lot.id] == nil, "lot \(lot.id) exists")
        let pool = account(of: lot.owner)
        let index = lots.count
        lots.append(Entry(lot: lot, pool: pool))
        lotIndex[lot.id] = index
        accounts[pool].lots.append(Int32(index))
        if lot.left > .zero { open(index) }
        return index
    }

    /// Puts a lot of which something is left in the ways of charges and endings.
    mutating func open(_ index: Int) {
        let lot = lots[index].lot
        let pool = lots[index].pool
        let place = Ledger.partition(accounts[pool].open) { !lots[Int($0)].lot.burns(before: lot) }
        accounts[pool].open.insert(Int32(index), at: place)
        guard let end = lot.expiresAt else { return }
        endings.insert(Ending(time: end, lot: Int32(index)), at: endingPlace(of: lot, end: end))
    }

    /// Takes a lot of which nothing is left out of the ways of charges and endings.
    mutating func close(_ index: Int) {
        let lot = lots[index].lot
        precondition(lot.left == .zero, "lot \(lot.id) is closed with \(lot.left) left")
        let pool = lots[index].pool
        let place = Ledger.partition(accounts[pool].open) { !lots[Int($0)].lot.burns(before: lot) }
        precondition(accounts[pool].open[place] == Int32(index), "lot \(lot.id) is not open")
        accounts[pool].open.remove(at: place)
        guard let end = lot.expiresAt else { return }
        endings.remove(at: endingPlace(of: lot, end: end))
    }

    private func endingPlace(of lot: Lot, end: Timestamp) -> Int {
        Ledger.partition(endings) { other in
            if other.time != end { return other.time > end }
            return lots[Int(other.lot)].lot.id >= lot.id
        }
    }

    /// The first index whose element satisfies `condition`, which holds from some element on.
    private static func partition<Element>(_ items: [Element], _ condition: (Element) -> Bool) -> Int {
        var (low, high) = (0, items.count)
        while low < high {
            let middle = (low + high) / 2
            if condition(items[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    func index(ofLot id: Name) -> Int? { lotIndex[id] }

    mutating func set(_ allocation: UserAllocation) {
        let pool = account(of: .org(allocation.allocation.org))
        let user = allocation.allocation.user
        let index: Int
        if let known = accounts[pool].draws[user] {
            index = known
        } else {
            index = draws.count
            draws.append(Draw(org: allocation.allocation.org, user: user))
            accounts[pool].draws[user] = index
        }
        if draws[index].isCarveOut { accounts[pool].carveOuts -= 1 }
        draws[index].current = allocation
        if draws[index].isCarveOut { accounts[pool].carveOuts += 1 }
        draws[index].isReplaced = true
        accounts[pool].reserved = []
        touch(account: pool)
        touch(draw: index)
    }

    /// Whether some movement so far left a lot or an account that does not add up: looked at with each movement.
    public var isFaulty: Bool { firstFault != nil }

    /// What does not add up, with the lot or account named; nil when every credit is accounted for (I6).
    public var fault: String? {
        if let firstFault { return firstFault }
        for entry in lots where !entry.lot.isConserved { return entry.lot.fault }
        for pool in accounts {
            let name = "account of \(pool.sums.owner.name)"
            if !pool.sums.isConserved { return pool.sums.fault }
            let left = pool.lots.reduce(Int128(0)) { $0 + Int128(lots[Int($1)].lot.left.nanos) }
            if left != Int128(pool.sums.left.nanos) {
                return "\(name): its lots hold \(left) n$, the account says \(pool.sums.left.nanos) n$"
            }
        }
        var held: [Owner: Int128] = [:]
        for hold in holds.values {
            for (owner, amount) in [(hold.payer, hold.first), (hold.user.map(Owner.user), hold.wallet)] {
                if let owner, amount > .zero { held[owner, default: 0] += Int128(amount.nanos) }
            }
        }
        for pool in accounts where held[pool.sums.owner] ?? 0 != Int128(pool.sums.held.nanos) {
            return "account of \(pool.sums.owner.name): running holds are not the held \(pool.sums.held.credits)"
        }
        return nil
    }

    mutating func touch(account index: Int) {
        if !accounts[index].sums.isConserved { firstFault = firstFault ?? accounts[index].sums.fault }
        assert(
            accounts[index].open.reduce(Money.zero) { $0 + lots[Int($1)].lot.left } == accounts[index].sums.left,
            "lots of \(accounts[index].sums.owner) do not hold what is left")
        guard tracksChanges, !accounts[index].isChanged else { return }
        accounts[index].isChanged = true
        changedAccounts.append(index)
    }

    mutating func touch(lot index: Int) {
        if !lots[index].lot.isConserved { firstFault = firstFault ?? lots[index].lot.fault }
        guard tracksChanges, !lots[index].isChanged else { return }
        lots[index].isChanged = true
        changedLots.append(index)
    }

    mutating func touch(draw index: Int) {
        guard tracksChanges, !draws[index].isChanged else { return }
        draws[index].isChanged = true
        changedDraws.append(index)
    }
}

/// What an owner has: the answer of contract 4's credits queries.
public struct CreditSummary: Hashable, Sendable {
    public var account: Account
    /// What may be spent now: lots that take part now, less debt, holds and what carve-outs reserve; never negative.
    public var available: Money
    /// In burn order, those with nothing left included.
    public var lots: [Lot]
    /// By user.
    public var allocations: [AllocationStatus]

    public init(account: Account, available: Money, lots: [Lot], allocations: [AllocationStatus]) {
        self.account = account
        self.available = available
        self.lots = lots
        self.allocations = allocations
    }
}
