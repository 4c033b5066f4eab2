/// All rules of money in one value: who has which plan, what prices hold, who owns which credits. The writer keeps one to
/// admit against; projections keep one to fold with. Applying the same facts in the same order gives the same book.
public struct Book: Sendable {
    public var catalog: Catalog
    public var ledger: Ledger

    public init() {
        catalog = Catalog()
        ledger = Ledger()
    }

    /// Whether `event` may be stored now, for reasons beyond its shape and its key: an unknown plan, a lot id that is
    /// taken, an amount that some balance cannot hold. `occurredAt` is the event's time, or of receipt when it said none.
    public func admit(_ event: Event, at occurredAt: Timestamp) throws(Rejection) {}

    /// Applies a stored event. Traps on what `admit` would have refused.
    @discardableResult
    public mutating func apply(_ event: Event, position: UInt64, at occurredAt: Timestamp) -> Outcome {
        Outcome()
    }
}
