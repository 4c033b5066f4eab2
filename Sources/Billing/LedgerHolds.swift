/// Credits set aside for calls that are still running. A hold is on accounts, not on lots: what it will burn is decided
/// when the call comes. It moves no balance.
extension Ledger {
    /// What may be held for a call, by who would pay.
    struct Room {
        /// Free on the account that pays first: lots that take part, less debt, holds and what others' carve-outs
        /// reserve. Negative when debt and holds are more.
        var first: Int128
        /// What the user's allocation has left; nil where none limits.
        var allocation: Money?
        /// When that starts afresh, and with how much; nil where it never does.
        var allocationReset: (at: Timestamp, credits: Money)?
        /// Free in the user's wallet behind the pool; 0 where it does not pay.
        var wallet: Int128

        /// What credits cover of `amount` on the first account.
        func first(of amount: Int128) -> Int128 {
            min(amount, max(0, first), Int128(allocation?.nanos ?? .max))
        }
    }

    func room(org: Name?, user: Name?, funding: Assignment.Funding, at time: Timestamp) -> Room {
        guard let payer = Ledger.payer(org: org, user: user, funding: funding) else {
            preconditionFailure("an authorization with neither org nor user")
        }
        guard case .org = payer else {
            return Room(first: free(payer, at: time), allocation: nil, wallet: 0)
        }
        var room = Room(first: 0, allocation: nil, wallet: 0)
        if let index = accountIndex[payer] {
            (room.first, room.allocation) = poolRoom(index, user: user, at: time)
            let draw = user.flatMap { accounts[index].draws[$0] }
            if let status = draw.flatMap({ draws[$0].status(at: time) }), let resetsAt = status.resetsAt {
                room.allocationReset = (resetsAt, status.allocation.credits)
            }
        }
        if funding == .orgThenUser, let user { room.wallet = max(0, free(.user(user), at: time)) }
        return room
    }

    /// Free on an account of which no carve-out reserves anything.
    private func free(_ owner: Owner, at time: Timestamp) -> Int128 {
        guard let index = accountIndex[owner] else { return 0 }
        return free(index, at: time, reserved: 0)
    }

    private func free(_ index: Int, at time: Timestamp, reserved: Int128) -> Int128 {
        let sums = accounts[index].sums
        return Int128(usable(index, at: time).nanos) - Int128(sums.overage.nanos) - Int128(sums.held.nanos) - reserved
    }

    /// What `user` may still draw of a pool: signed, and what his allocation allows where it limits him.
    func poolRoom(_ index: Int, user: Name?, at time: Timestamp) -> (free: Int128, allocation: Money?) {
        let pool = accounts[index]
        let reserved = pool.carveOuts == 0 ? 0 : reservedNow(index, on: time.day, lessHeld: true)
        guard let draw = user.flatMap({ pool.draws[$0] }).map({ draws[$0] }) else {
            return (free(index, at: time, reserved: reserved), nil)
        }
        let own = max(.zero, draw.remaining(on: time.day) - draw.held)
        if draw.blocks { return (free(index, at: time, reserved: reserved), .zero) }
        guard draw.isCarveOut else { return (free(index, at: time, reserved: reserved), own) }
        // His carve-out is his even where the pool is short for the others.
        let others = reserved - Int128(own.nanos)
        let whole = free(index, at: time, reserved: 0)
        return (max(whole - others, min(Int128(own.nanos), whole)), nil)
    }

    // MARK: - Holding

    public func hold(_ key: HoldKey) -> Hold? { holds[key] }

    /// Holds whose end is at or before `time`, in order of (end, key): what the daemon records as expired.
    public func holdsEnding(through time: Timestamp) -> [Hold] {
        holdEndings.keys(through: time).compactMap { holds[$0] }
    }

    /// The earliest end of a running hold: when the daemon has to look again.
    public var nextHoldEnding: Timestamp? { holdEndings.first }

    /// Sets `amount` aside, on the pool as far as its credits go, then on the wallet, and the rest on the first again.
    mutating func hold(
        _ authorization: Authorization, key: HoldKey, funding: Assignment.Funding, position: UInt64, at time: Timestamp
    ) {
        let subject = authorization.subject
        let room = room(org: subject.org, user: subject.user, funding: funding, at: time)
        let amount = Int128(authorization.held.nanos)
        let wallet = min(amount - room.first(of: amount), room.wallet)
        let payer = Ledger.payer(org: subject.org, user: subject.user, funding: funding)
        var isAlone = true
        var isAllocated = false
        if case .org(let org) = payer {
            isAlone = false
            isAllocated = accountIndex[.org(org)].flatMap { index in
                subject.user.flatMap { accounts[index].draws[$0] }
            } != nil
        }
        insert(
            Hold(
                key: key, org: subject.org, user: subject.user, keySource: subject.keySource,
                first: Money(nanos: Int64(amount - wallet)), wallet: Money(nanos: Int64(wallet)),
                isAllocated: isAllocated, isWalletAlone: isAlone, expiresAt: authorization.expiresAt,
                position: position))
    }

    /// Puts a hold in its places, account sums included.
    private mutating func insert(_ hold: Hold) {
        precondition(holds[hold.key] == nil, "the hold \(hold.key) runs already")
        holds[hold.key] = hold
        holdEndings.insert(hold)
        move(hold, sign: 1)
    }

    /// Of a state that is restored: account sums hold them already.
    mutating func restore(_ holds: [Hold]) {
        self.holds = Dictionary(uniqueKeysWithValues: holds.map { ($0.key, $0) })
        holdEndings = HoldEndings(holds)
        for hold in holds { count(hold, sign: 1) }
    }

    /// Takes a hold away; nil when none runs under that key.
    mutating func release(_ key: HoldKey) -> Hold? {
        guard let hold = holds.removeValue(forKey: key) else { return nil }
        holdEndings.remove(hold)
        move(hold, sign: -1)
        return hold
    }

    private mutating func move(_ hold: Hold, sign: Int64) {
        guard let payer = hold.payer else { preconditionFailure("the hold \(hold.key) is on nobody") }
        if hold.first > .zero {
            let index = account(of: payer)
            accounts[index].sums.held += Money(nanos: hold.first.nanos * sign)
            touch(account: index)
        }
        if hold.wallet > .zero, let user = hold.user {
            let index = account(of: .user(user))
            accounts[index].sums.held += Money(nanos: hold.wallet.nanos * sign)
            touch(account: index)
        }
        count(hold, sign: sign)
        if tracksChanges { changedHolds.insert(hold.key) }
    }

    /// Counts it against the user's allocation.
    private mutating func count(_ hold: Hold, sign: Int64) {
        guard hold.isAllocated, let payer = hold.payer, let user = hold.user, let index = accountIndex[payer],
            let draw = accounts[index].draws[user]
        else { return }
        draws[draw].held += Money(nanos: hold.first.nanos * sign)
    }
}
