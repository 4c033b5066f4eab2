/// An amount of money: a 64-bit integer of nano-dollars (contract 2). 1 credit = 0.001 USD = 1,000,000 n$.
public struct Money: Hashable, Comparable, Sendable {
    public static let nanosPerCredit: Int64 = 1_000_000
    public static let nanosPerDollar: Int64 = 1_000_000_000
    public static let zero = Money(nanos: 0)

    public var nanos: Int64

    public init(nanos: Int64) {
        self.nanos = nanos
    }

    public static func < (left: Money, right: Money) -> Bool { left.nanos < right.nanos }

    /// Traps on overflow: whatever could overflow is refused at admission, so an overflow here is a bug.
    public static func + (left: Money, right: Money) -> Money { Money(nanos: left.nanos + right.nanos) }
    public static func - (left: Money, right: Money) -> Money { Money(nanos: left.nanos - right.nanos) }
    public static func += (left: inout Money, right: Money) { left = left + right }
    public static func -= (left: inout Money, right: Money) { left = left - right }
    public static prefix func - (value: Money) -> Money { Money(nanos: -value.nanos) }

    /// Nil when the sum does not fit: for admission, where an amount from outside meets a balance.
    public func adding(_ other: Money) -> Money? {
        let (sum, overflow) = nanos.addingReportingOverflow(other.nanos)
        return overflow ? nil : Money(nanos: sum)
    }

    /// In credits: "9998.5", "0", "-0.009". No exponent, no trailing zeros.
    public var credits: String { Decimal(mantissa: nanos, scale: 6).text }

    /// In dollars: "0.0000135".
    public var dollars: String { Decimal(mantissa: nanos, scale: 9).text }

    /// `decimal` credits (or dollars) to n$, rounded half to even; nil when it does not fit in 64 bits.
    public init?(credits decimal: Decimal) {
        self.init(decimal, nanosPerUnitDigits: 6)
    }

    public init?(dollars decimal: Decimal) {
        self.init(decimal, nanosPerUnitDigits: 9)
    }

    private init?(_ decimal: Decimal, nanosPerUnitDigits digits: Int) {
        guard let rounded = decimal.rescaled(to: digits) else { return nil }
        self.nanos = rounded
    }
}
