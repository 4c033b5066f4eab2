/// Who pays: contract 3, "Charging, in order", steps 3 and 4.
extension Ledger {
    /// Takes a charge of `time` from whoever pays. What no lot covers is overage, on the org's account unless only the
    /// user's wallet pays. An amount of 0 moves nothing.
    mutating func charge(
        _ amount: Money, org: Name?, user: Name?, places: CallPlaces? = nil, funding: Assignment.Funding,
        invoicesOverage: Bool, at time: Timestamp
    ) -> (movements: [Movement], drawn: Money) {
        precondition(amount >= .zero, "charge of \(amount.nanos) n$")
        if amount == .zero { return ([], .zero) }
        var movements: [Movement] = []
        var drawn = Money.zero
        guard let payer = Ledger.payer(org: org, user: user, funding: funding) else {
            preconditionFailure("a charge with neither org nor user")
        }
        let known: Int? =
            switch payer {
            case .org: places?.org
            case .user: places?.user
            }
        let index = known ?? account(of: payer)
        var slices: [Slice] = []
        var wallet: (index: Int, slices: [Slice], amount: Money)?
        let paid: Money
        if case .org = payer {
            paid = burnPool(amount, account: index, user: user, at: time, into: &slices, drawn: &drawn)
            // A wallet that nobody ever granted anything pays nothing, and is not made for that.
            if paid < amount, funding == .orgThenUser, let user, let own = accountIndex[.user(user)] {
                var walletSlices: [Slice] = []
                let amount = burn(amount - paid, account: own, at: time, into: &walletSlices)
                if amount > .zero { wallet = (own, walletSlices, amount) }
            }
        } else {
            paid = burn(amount, account: index, at: time, into: &slices)
        }
        let overage = amount - paid - (wallet?.amount ?? .zero)
        if paid > .zero || overage > .zero {
            let invoiced = invoicesOverage ? overage : .zero
            accounts[index].sums.spent += paid + overage
            accounts[index].sums.invoiced += invoiced
            accounts[index].sums.overage += overage - invoiced
            touch(account: index)
            movements.append(
                Movement(
                    kind: .charge, owner: payer, user: user, amount: -(paid + overage),
                    balanceAfter: accounts[index].sums.balance, slices: slices, overage: overage, invoiced: invoiced))
        }
        if let wallet, let user {
            accounts[wallet.index].sums.spent += wallet.amount
            touch(account: wallet.index)
            movements.append(
                Movement(
                    kind: .charge, owner: .user(user), user: user, amount: -wallet.amount,
                    balanceAfter: accounts[wallet.index].sums.balance, slices: wallet.slices))
        }
        return (movements, drawn)
    }

    /// Whose account a charge goes to first, and its overage with it. A service without a user spends its org's pool
    /// whatever the funding says: there is no wallet.
    static func payer(org: Name?, user: Name?, funding: Assignment.Funding) -> Owner? {
        switch (org, user) {
        case (let org?, nil): .org(org)
        case (let org?, let user?): funding == .user ? .user(user) : .org(org)
        case (nil, let user?): .user(user)
        case (nil, nil): nil
        }
    }

    /// Draws on an org's pool for one of its users, as far as his allocation and the carve-outs of others let him.
    private mutating func burnPool(
        _ amount: Money, account index: Int, user: Name?, at time: Timestamp, into slices: inout [Slice],
        drawn: inout Money
    ) -> Money {
        // Most pools have no allocations: nothing to look up then.
        if accounts[index].draws.isEmpty { return burn(amount, account: index, at: time, into: &slices) }
        let day = time.day
        let draw = user.flatMap { accounts[index].draws[$0] }
        let own = draw.map { draws[$0].remaining(on: day) }
        let isCarveOut = draw.map { draws[$0].isCarveOut } ?? false
        var limit = amount
        if let draw, draws[draw].blocks { limit = .zero }
        if let own, !isCarveOut { limit = min(limit, own) }
        if accounts[index].carveOuts > 0, limit > .zero {
            let carved = isCarveOut ? own ?? .zero : .zero
            let others = reserved(index, on: day) - Int128(carved.nanos)
            // What is free of others' reservations, but never less than the user's own carve-out.
            let free = max(Int128(usable(index, at: time).nanos) - others, Int128(carved.nanos))
            limit = Money(nanos: Int64(max(0, min(Int128(limit.nanos), free))))
        }
        let paid = burn(limit, account: index, at: time, into: &slices)
        if let draw, paid > .zero {
            if isCarveOut { release(min(paid, own ?? .zero), draw: draw, account: index, day: day) }
            draws[draw].add(paid.nanos, on: day)
            touch(draw: draw)
            drawn = paid
        }
        return paid
    }

    /// Takes up to `wanted` from an account's lots in burn order. The account's sums, but for what is left, are the
    /// caller's.
    mutating func burn(
        _ wanted: Money, account index: Int, at time: Timestamp, into slices: inout [Slice]
    ) -> Money {
        var rest = wanted
        var place = 0
        while rest > .zero && place < accounts[index].open.count {
            let lot = Int(accounts[index].open[place])
            guard lots[lot].lot.takesPart(at: time) else {
                place += 1
                continue
            }
            let taken = min(rest, lots[lot].lot.left)
            lots[lot].lot.left -= taken
            lots[lot].lot.spent += taken
            rest -= taken
            slices.append(Slice(lot: lots[lot].lot.id, amount: taken))
            touch(lot: lot)
            if lots[lot].lot.left == .zero { close(lot) } else { place += 1 }
        }
        let paid = wanted - rest
        accounts[index].sums.left -= paid
        return paid
    }

    /// How many days' reservations an account remembers: events of one time mostly, a few late ones between.
    private static let reservedDaysMax = 8

    private mutating func reserved(_ index: Int, on day: Day) -> Int128 {
        if let known = accounts[index].reserved.first(where: { $0.day == day }) { return known.nanos }
        let nanos = reservedNow(index, on: day)
        if accounts[index].reserved.count == Ledger.reservedDaysMax { accounts[index].reserved.removeFirst() }
        accounts[index].reserved.append((day, nanos))
        return nanos
    }

    /// Part of a carve-out is drawn on `day`: it reserves that much less on every day of the same period.
    private mutating func release(_ amount: Money, draw: Int, account index: Int, day: Day) {
        for place in accounts[index].reserved.indices
        where draws[draw].isSamePeriod(day, accounts[index].reserved[place].day) {
            accounts[index].reserved[place].nanos -= Int128(amount.nanos)
        }
    }
}
