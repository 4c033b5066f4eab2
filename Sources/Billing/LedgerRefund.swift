/// How a charge goes back: along its slices in reverse order, what was overage first.
extension Ledger {
    /// A lot that a refund gave to, and what was left of it before.
    struct Refunded {
        var lot: Int
        var before: Money
    }

    /// Why `standing` cannot be unwound: it does not fit what this ledger holds. Nil when it can.
    func refusal(of standing: StandingCall) -> Rejection? {
        func mismatch(_ detail: String) -> Rejection {
            Rejection(code: "correction_mismatch", field: "data.id", detail: detail)
        }
        for part in standing.charge.parts {
            let sums = account(part.owner) ?? Account(owner: part.owner)
            guard sums.spent >= part.total, sums.invoiced >= part.invoiced,
                sums.overage >= part.overage - part.invoiced
            else { return mismatch("\(part.owner.name) was not charged \(part.total.credits) credits") }
            for slice in part.slices {
                guard let lot = lot(slice.lot), lot.owner == part.owner, lot.spent >= slice.amount else {
                    return mismatch("\(slice.amount.credits) credits were not taken from the lot \(slice.lot)")
                }
            }
            if sums.left.adding(part.total) == nil {
                return Rejection(
                    code: "amount_out_of_range", field: "data.id",
                    detail: "what is left to \(part.owner.name) would pass \(Money(nanos: .max).credits) credits")
            }
        }
        if standing.charge.drawn > .zero {
            guard let org = standing.org, let user = standing.user, let index = accountIndex[.org(org)],
                accounts[index].draws[user] != nil
            else { return mismatch("the draw on an allocation that never was") }
        }
        return nil
    }

    /// Why `standing` is not to be unwound by a new correction: what goes back into lots that were voided is void at
    /// once, and would not fit in what was voided so far. Not asked of a stored one.
    public func voidRefusal(of standing: StandingCall) -> Rejection? {
        for part in standing.charge.parts {
            var voided = account(part.owner)?.voided
            for slice in part.slices where lot(slice.lot)?.voided ?? .zero > .zero {
                voided = voided?.adding(slice.amount)
            }
            if account(part.owner) != nil && voided == nil {
                return Rejection(
                    code: "amount_out_of_range", field: "data.id",
                    detail: "what was voided of \(part.owner.name) would pass \(Money(nanos: .max).credits) credits")
            }
        }
        return nil
    }

    /// Gives a charge back to the lots it came from, wherever they stand now; `settle` has to follow. What the user's
    /// allocation had counted is given back on the call's own day.
    mutating func refund(_ standing: StandingCall, into refunded: inout [Refunded]) -> [Movement] {
        var movements: [Movement] = []
        for part in standing.charge.parts.reversed() {
            let index = account(of: part.owner)
            for slice in part.slices.reversed() { give(slice, to: index, noting: &refunded) }
            accounts[index].sums.spent -= part.total
            accounts[index].sums.invoiced -= part.invoiced
            accounts[index].sums.overage -= part.overage - part.invoiced
            touch(account: index)
            movements.append(
                Movement(
                    kind: .refund, owner: part.owner, user: standing.user, amount: part.total,
                    balanceAfter: accounts[index].sums.balance,
                    slices: part.slices.reversed().map { Slice(lot: $0.lot, amount: -$0.amount) },
                    overage: -part.overage, invoiced: -part.invoiced))
        }
        if standing.charge.drawn > .zero, let org = standing.org, let user = standing.user {
            let pool = account(of: .org(org))
            guard let draw = accounts[pool].draws[user] else {
                preconditionFailure("user \(user) drew of \(org) and has no allocation")
            }
            draws[draw].add(-standing.charge.drawn.nanos, on: standing.occurredAt.day)
            touch(draw: draw)
            accounts[pool].reserved = []
        }
        return movements
    }

    private mutating func give(_ slice: Slice, to pool: Int, noting refunded: inout [Refunded]) {
        guard let lot = index(ofLot: slice.lot) else { preconditionFailure("lot \(slice.lot) is unknown") }
        let before = lots[lot].lot.left
        if !refunded.contains(where: { $0.lot == lot }) { refunded.append(Refunded(lot: lot, before: before)) }
        lots[lot].lot.left += slice.amount
        lots[lot].lot.spent -= slice.amount
        accounts[pool].sums.left += slice.amount
        touch(lot: lot)
        if before == .zero { open(lot) }
    }

    /// What a refund put into a lot that has ended by `time`, or was voided, is no credit to spend: what is still there
    /// of it expires, or is void, at once.
    mutating func settle(_ refunded: [Refunded], at time: Timestamp) -> [Movement] {
        var movements: [Movement] = []
        for item in refunded {
            let lot = lots[item.lot].lot
            let amount = lot.left - item.before
            let hasEnded = lot.expired > .zero || lot.expiresAt.map { $0 <= time } ?? false
            guard amount > .zero, lot.voided > .zero || hasEnded else { continue }
            let pool = lots[item.lot].pool
            lots[item.lot].lot.left -= amount
            accounts[pool].sums.left -= amount
            if lot.voided > .zero {
                lots[item.lot].lot.voided += amount
                accounts[pool].sums.voided += amount
            } else {
                lots[item.lot].lot.expired += amount
                accounts[pool].sums.expired += amount
            }
            if lots[item.lot].lot.left == .zero { close(item.lot) }
            touch(lot: item.lot)
            touch(account: pool)
            movements.append(
                Movement(
                    kind: lot.voided > .zero ? .lotVoid : .expiry, owner: lot.owner, amount: -amount,
                    balanceAfter: accounts[pool].sums.balance, slices: [Slice(lot: lot.id, amount: amount)]))
        }
        return movements
    }
}
