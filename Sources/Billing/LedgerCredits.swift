/// What the `credits.*` events do.
extension Ledger {
    mutating func grant(_ grant: Grant, id: Name, position: UInt64, at time: Timestamp) -> Movement {
        let lot = Lot(
            id: id, owner: grant.owner, category: Lot.Category(grant.category), priority: grant.priority,
            effectiveAt: grant.effectiveAt ?? time, expiresAt: grant.expiresAt, position: position,
            granted: grant.credits)
        let pool = account(of: grant.owner)
        accounts[pool].sums.granted += grant.credits
        return add(lot, kind: .grant)
    }

    /// More credits are a lot of their own, without an end; fewer burn lots as a charge does, and what no lot covers is
    /// overage. A correction of a pool is the org's own: it does not stop at what carve-outs reserve.
    mutating func adjust(_ adjustment: Adjustment, id: Name, position: UInt64, at time: Timestamp) -> Movement {
        let pool = account(of: adjustment.owner)
        accounts[pool].sums.adjusted += adjustment.credits
        if adjustment.credits > .zero {
            let lot = Lot(
                id: id, owner: adjustment.owner, category: .adjustment, priority: Grant.priorityDefault,
                effectiveAt: time, expiresAt: nil, position: position, granted: adjustment.credits)
            return add(lot, kind: .adjustment)
        }
        var slices: [Slice] = []
        let wanted = -adjustment.credits
        let overage = wanted - burn(wanted, account: pool, at: time, into: &slices)
        accounts[pool].sums.overage += overage
        touch(account: pool)
        return Movement(
            kind: .adjustment, owner: adjustment.owner, amount: adjustment.credits,
            balanceAfter: accounts[pool].sums.balance, slices: slices, overage: overage)
    }

    /// What is left of a lot is recorded as expired.
    mutating func expire(_ id: Name) -> Movement? {
        empty(id, kind: .expiry) { lot, sums, amount in
            lot.expired += amount
            sums.expired += amount
        }
    }

    mutating func void(_ id: Name) -> Movement? {
        empty(id, kind: .lotVoid) { lot, sums, amount in
            lot.voided += amount
            sums.voided += amount
        }
    }

    private mutating func add(_ lot: Lot, kind: Movement.Kind) -> Movement {
        let index = insert(lot)
        let pool = lots[index].pool
        accounts[pool].sums.left += lot.granted
        touch(account: pool)
        touch(lot: index)
        return Movement(
            kind: kind, owner: lot.owner, amount: lot.granted, balanceAfter: accounts[pool].sums.balance,
            slices: [Slice(lot: lot.id, amount: -lot.granted)])
    }

    private mutating func empty(
        _ id: Name, kind: Movement.Kind, _ book: (inout Lot, inout Account, Money) -> Void
    ) -> Movement? {
        guard let index = index(ofLot: id) else { preconditionFailure("lot \(id) is unknown") }
        let left = lots[index].lot.left
        if left == .zero { return nil }
        let pool = lots[index].pool
        lots[index].lot.left = .zero
        book(&lots[index].lot, &accounts[pool].sums, left)
        accounts[pool].sums.left -= left
        close(index)
        touch(account: pool)
        touch(lot: index)
        return Movement(
            kind: kind, owner: accounts[pool].sums.owner, amount: -left, balanceAfter: accounts[pool].sums.balance,
            slices: [Slice(lot: id, amount: left)])
    }
}
