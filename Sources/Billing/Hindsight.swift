/// What a fold of a whole log knows of a call before it comes to it: whether it is corrected later on, and whether what
/// stands in the end costs the same in an alternative. Of prices, plans and corrections only; all other records may be
/// left out. 16 bytes and little more for each call that was ever corrected.
public struct Hindsight: Sendable {
    struct Correction {
        /// The position of the last one.
        var last: UInt64
        /// What stands costs the same in both, or nothing stands.
        var isSettled: Bool
    }

    /// Prices and plans as published, and as in the alternative.
    public private(set) var actual = Catalog()
    public private(set) var alternative: Catalog
    private let ignores: @Sendable (Event) -> Bool
    /// By the position of the call's own record: that of the last correction, doubled, and 1 when it is settled.
    private var corrections: [UInt64: UInt64] = [:]

    public init(_ alternative: WhatIf.Alternative) {
        self.alternative = Catalog(substituting: alternative.substitution)
        ignores = alternative.ignores
    }

    /// Folds the next record.
    public mutating func apply(_ event: Event, position: UInt64, at occurredAt: Timestamp) throws(WhatIf.Fault) {
        switch event.fact {
        case .planDefined, .planAssigned, .pricesPublished:
            actual.apply(event.fact, position: position, at: occurredAt)
            if !ignores(event) { alternative.apply(event.fact, position: position, at: occurredAt) }
        case .callVoided(let voided):
            if let standing = voided.unwinds { corrections[standing.original] = position << 1 | 1 }
        case .callAmended(let amended):
            guard let standing = amended.unwinds else { return }
            let then: Rating
            let now: Rating
            do throws(Rejection) {
                (then, now) = (
                    try actual.rateRemembering(amended.call, at: standing.occurredAt, countsCall: standing.isCall),
                    try alternative.rateRemembering(amended.call, at: standing.occurredAt, countsCall: standing.isCall)
                )
            } catch {
                throw WhatIf.Fault(position: position, rejection: error)
            }
            corrections[standing.original] = position << 1 | (then.charge == now.charge ? 1 : 0)
        default:
            break
        }
    }

    func correction(of position: UInt64) -> Correction? {
        if corrections.isEmpty { return nil }
        return corrections[position].map { Correction(last: $0 >> 1, isSettled: $0 & 1 == 1) }
    }
}
