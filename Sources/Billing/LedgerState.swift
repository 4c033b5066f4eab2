/// All of a ledger as plain values in one canonical order: what a read model stores, and what two ledgers at one
/// position must agree on.
public struct LedgerState: Hashable, Sendable {
    /// By owner: orgs first, then bytes of the name.
    public var accounts: [Account]
    /// By bytes of the id.
    public var lots: [Lot]
    /// By org, then user.
    public var allocations: [UserAllocation]
    /// By org, user and day.
    public var drawn: [Drawn]
    /// By key.
    public var holds: [Hold]
    /// Of changes only: holds that run no more. By key.
    public var endedHolds: [HoldKey] = []

    public init(
        accounts: [Account] = [], lots: [Lot] = [], allocations: [UserAllocation] = [], drawn: [Drawn] = [],
        holds: [Hold] = []
    ) {
        self.holds = holds
        self.accounts = accounts
        self.lots = lots
        self.allocations = allocations
        self.drawn = drawn
    }
}

extension Ledger {
    public var state: LedgerState {
        LedgerState(
            accounts: accounts.map(\.sums).sorted { $0.owner < $1.owner },
            lots: lots.map(\.lot).sorted { $0.id < $1.id },
            allocations: draws.compactMap(\.current).sorted {
                ($0.allocation.org, $0.allocation.user) < ($1.allocation.org, $1.allocation.user)
            },
            drawn: draws.flatMap { draw in
                draw.days.map { Drawn(org: draw.org, user: draw.user, day: $0.day, amount: $0.amount) }
            }.sorted { ($0.org, $0.user, $0.day) < ($1.org, $1.user, $1.day) },
            holds: holds.values.sorted { $0.key < $1.key })
    }

    /// The ledger that had this state. Traps when the state contradicts itself: it was stored by us and is guarded by a
    /// digest, so that would be a bug.
    public init(restoring state: LedgerState, tracksChanges: Bool = false) {
        self.init(tracksChanges: tracksChanges)
        for account in state.accounts {
            precondition(account.isConserved, "account \(account) does not add up")
            accounts[self.account(of: account.owner)].sums = account
        }
        for lot in state.lots {
            precondition(lot.isConserved, "lot \(lot) does not add up")
            insert(lot)
        }
        for allocation in state.allocations {
            set(allocation)
        }
        for drawn in state.drawn {
            guard let account = accountIndex[.org(drawn.org)], let draw = accounts[account].draws[drawn.user] else {
                preconditionFailure("user \(drawn.user) drew of \(drawn.org) and has no allocation")
            }
            draws[draw].add(drawn.amount.nanos, on: drawn.day)
        }
        restore(state.holds)
        for index in accounts.indices {
            let left = accounts[index].lots.reduce(Money.zero) { $0 + lots[Int($1)].lot.left }
            precondition(left == accounts[index].sums.left, "lots of \(accounts[index].sums.owner) hold \(left)")
            accounts[index].reserved = []
        }
        _ = takeChanges()
    }

    /// What changed since the last call, each once, as it stands now: the rows that a projection has to write. Empty
    /// for a ledger that does not track changes.
    public mutating func takeChanges() -> LedgerState {
        var changes = LedgerState()
        for index in changedAccounts {
            accounts[index].isChanged = false
            changes.accounts.append(accounts[index].sums)
        }
        for index in changedLots {
            lots[index].isChanged = false
            changes.lots.append(lots[index].lot)
        }
        for index in changedDraws {
            draws[index].isChanged = false
            if draws[index].isReplaced, let current = draws[index].current { changes.allocations.append(current) }
            draws[index].isReplaced = false
            for day in draws[index].days.indices where draws[index].days[day].isChanged {
                draws[index].days[day].isChanged = false
                let drawn = draws[index].days[day]
                changes.drawn.append(
                    Drawn(org: draws[index].org, user: draws[index].user, day: drawn.day, amount: drawn.amount))
            }
        }
        for key in changedHolds.sorted() {
            if let hold = holds[key] { changes.holds.append(hold) } else { changes.endedHolds.append(key) }
        }
        changedHolds.removeAll(keepingCapacity: true)
        changedAccounts.removeAll(keepingCapacity: true)
        changedLots.removeAll(keepingCapacity: true)
        changedDraws.removeAll(keepingCapacity: true)
        return changes
    }
}
