public import Billing

/// An alert fired or recovered: once for each crossing, and for each window of calls or spend.
public struct AlertFiring: Hashable, Sendable {
    public enum Kind: UInt8, CaseIterable, Sendable {
        case fired = 0
        case recovered = 1
        public var name: String { String(describing: self) }
    }

    /// What calls or charges were summed over.
    public struct Window: Hashable, Sendable {
        public var per: Alert.Per
        /// `[start, end)`; nil for `ever`.
        public var days: Range<Day>?

        public init(per: Alert.Per, days: Range<Day>?) {
            self.per = per
            self.days = days
        }

        /// Whether it is about `day`.
        public func contains(_ day: Day) -> Bool { days?.contains(day) ?? true }
    }

    /// From 1, in the order of the log.
    public var number: Int64
    public var alert: Name
    public var owner: Owner
    public var kind: Kind
    /// Of the record that did it.
    public var position: UInt64
    /// That event's own time.
    public var time: Timestamp
    /// As the alert was defined then.
    public var condition: Alert.Condition
    /// Of calls and spend only.
    public var window: Window?
    /// Nil value: there is no number, or (for calls) the plan has no such limit any more.
    public var reading: AlertReading
}
