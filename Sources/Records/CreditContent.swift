import Billing

// The contents of `credits.*`. Bits and order as in Schemas/RECORD.md.

extension RecordWriter {
    mutating func grant(_ grant: Grant) {
        owner(grant.owner)
        money(grant.credits)
        byte(grant.category.rawValue)
        byte(grant.priority)
        var bits: UInt8 = bit(0, grant.effectiveAt != nil)
        bits |= bit(1, grant.expiresAt != nil)
        bits |= bit(2, grant.paid != nil)
        bits |= bit(3, grant.reference != nil)
        byte(bits)
        time(grant.effectiveAt)
        time(grant.expiresAt)
        money(grant.paid)
        text(grant.reference)
    }

    mutating func lotVoided(_ voided: LotVoided) {
        name(voided.lot)
        text(voided.reason)
    }

    mutating func lotExpired(_ expired: LotExpired) {
        name(expired.lot)
        money(expired.credits)
    }

    mutating func allocation(_ allocation: Allocation) {
        name(allocation.org)
        name(allocation.user)
        byte(allocation.mode.rawValue)
        money(allocation.credits)
        byte(allocation.period.rawValue)
    }

    mutating func adjustment(_ adjustment: Adjustment) {
        owner(adjustment.owner)
        money(adjustment.credits)
        text(adjustment.reason)
        byte(bit(0, adjustment.reference != nil))
        text(adjustment.reference)
    }
}

extension RecordReader {
    mutating func grant() throws(RecordError) -> Grant {
        var grant = Grant(
            owner: try owner(), credits: try money(), category: try choice(Grant.Category.self, "category"),
            priority: try byte())
        let bits = try bitmap(allowed: 0b1111 as UInt8)
        grant.effectiveAt = try time(if: bits.has(0))
        grant.expiresAt = try time(if: bits.has(1))
        grant.paid = try money(if: bits.has(2))
        grant.reference = try text(if: bits.has(3))
        return grant
    }

    mutating func lotVoided() throws(RecordError) -> LotVoided {
        LotVoided(lot: try name(), reason: try text())
    }

    mutating func lotExpired() throws(RecordError) -> LotExpired {
        LotExpired(lot: try name(), credits: try money())
    }

    mutating func allocation() throws(RecordError) -> Allocation {
        Allocation(
            org: try name(), user: try name(), mode: try choice(Allocation.Mode.self, "allocation mode"),
            credits: try money(), period: try choice(Period.self, "period"))
    }

    mutating func adjustment() throws(RecordError) -> Adjustment {
        var adjustment = Adjustment(owner: try owner(), credits: try money(), reason: try text())
        let bits = try bitmap(allowed: 0b1 as UInt8)
        adjustment.reference = try text(if: bits.has(0))
        return adjustment
    }
}
