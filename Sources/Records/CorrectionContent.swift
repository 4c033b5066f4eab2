import Billing

// What admission found of the call that a correction names: part of the resolution section. Order as in
// Schemas/RECORD.md.

private enum StandingBit {
    static let isCall = 0
    static let org = 1
    static let user = 2
    static let byok = 3
    static let isCounted = 4
    static let allowed: UInt8 = 0b11111
}

extension RecordWriter {
    mutating func standing(_ standing: StandingCall) {
        precondition(
            1 <= standing.original && standing.original <= standing.position,
            "version \(standing.position) of the call \(standing.original)")
        varint(standing.original)
        varint(standing.position - standing.original)
        time(standing.occurredAt)
        var bits: UInt8 = bit(StandingBit.isCall, standing.isCall)
        bits |= bit(StandingBit.org, standing.org != nil)
        bits |= bit(StandingBit.user, standing.user != nil)
        bits |= bit(StandingBit.byok, standing.keySource == .byok)
        bits |= bit(StandingBit.isCounted, standing.isCounted)
        byte(bits)
        name(standing.org)
        name(standing.user)
        let parts = standing.charge.parts
        precondition(parts.count <= Owner.kinds, "a charge of \(parts.count) parts")
        byte(UInt8(parts.count))
        for part in parts {
            switch part.owner {
            case .org(let org):
                precondition(org == standing.org, "a charge to \(org), which is not the call's org")
                byte(0)
            case .user(let user):
                precondition(user == standing.user, "a charge to \(user), who is not the call's user")
                byte(1)
            }
            count(part.slices.count, max: ChargeRecord.slicesMax, of: "slices")
            for slice in part.slices {
                name(slice.lot)
                amount(slice.amount)
            }
            amount(part.overage)
            amount(part.invoiced)
        }
        amount(standing.charge.drawn)
    }

    /// Money that is never negative.
    private mutating func amount(_ money: Money) {
        precondition(money >= .zero, "an amount of \(money.nanos) n$")
        varint(UInt64(money.nanos))
    }
}

extension RecordReader {
    mutating func standing() throws(RecordError) -> StandingCall {
        let start = offset
        let original = try integer(in: 1...Int64.max, "as a position")
        let later = try integer(in: 0...Int64.max - original, "positions later")
        let occurredAt = try time()
        let bits = try bitmap(allowed: StandingBit.allowed)
        let org = try name(if: bits.has(StandingBit.org))
        let user = try name(if: bits.has(StandingBit.user))
        if bits.has(StandingBit.isCounted) && !bits.has(StandingBit.isCall) {
            throw failure("usage that counts a call", at: start)
        }
        guard org != nil || user != nil else { throw failure("a call of nobody", at: start) }
        var charge = ChargeRecord()
        let count = Int(try byte())
        guard count <= Owner.kinds else { throw failure("a charge of \(count) parts", at: offset - 1) }
        for _ in 0..<count { charge.parts.append(try part(org: org, user: user)) }
        charge.drawn = try amount()
        guard Money.fits(charge.parts) else { throw failure("a charge of over 64 bits", at: start) }
        return StandingCall(
            original: UInt64(original), position: UInt64(original + later), occurredAt: occurredAt,
            isCall: bits.has(StandingBit.isCall), org: org, user: user,
            keySource: bits.has(StandingBit.byok) ? .byok : .platform, isCounted: bits.has(StandingBit.isCounted),
            charge: charge)
    }

    private mutating func part(org: Name?, user: Name?) throws(RecordError) -> ChargeRecord.Part {
        let start = offset
        let owner: Owner
        switch (try byte(), org, user) {
        case (0, let org?, _): owner = .org(org)
        case (1, _, let user?): owner = .user(user)
        default: throw failure("a charge to an owner that the call has not", at: start)
        }
        var part = ChargeRecord.Part(owner: owner, slices: [])
        let count = try integer(in: 0...Int64(ChargeRecord.slicesMax), "slices")
        for _ in 0..<count { part.slices.append(Slice(lot: try name(), amount: try amount())) }
        part.overage = try amount()
        part.invoiced = try amount()
        guard part.invoiced <= part.overage else { throw failure("more invoiced than was overage", at: start) }
        return part
    }

    private mutating func amount() throws(RecordError) -> Money {
        Money(nanos: try integer(in: 0...Int64.max, "as an amount"))
    }
}

extension Owner {
    fileprivate static let kinds = 2
}

extension Money {
    fileprivate static func fits(_ parts: [ChargeRecord.Part]) -> Bool {
        var sum = Money.zero
        for part in parts {
            for amount in part.slices.map(\.amount) + [part.overage] {
                guard let next = sum.adding(amount) else { return false }
                sum = next
            }
        }
        return true
    }
}
