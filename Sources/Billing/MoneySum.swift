/// A sum of amounts of several events: 128 bits of nano-dollars. An amount has 64 bits and so has every balance, which
/// admission keeps there; but nothing keeps a sum over many calls or owners within them, and what was acknowledged must
/// be counted. What a record can state at most is under 2^94 n$ a call, so that 2^33 such calls fit.
public struct MoneySum: Hashable, Comparable, Sendable {
    public static let zero = MoneySum(nanos: 0)

    public var nanos: Int128

    public init(nanos: Int128) {
        self.nanos = nanos
    }

    public init(_ amount: Money) {
        nanos = Int128(amount.nanos)
    }

    public static func < (left: MoneySum, right: MoneySum) -> Bool { left.nanos < right.nanos }

    public static func + (left: MoneySum, right: MoneySum) -> MoneySum { MoneySum(nanos: left.nanos + right.nanos) }
    public static func - (left: MoneySum, right: MoneySum) -> MoneySum { MoneySum(nanos: left.nanos - right.nanos) }
    public static func += (left: inout MoneySum, right: MoneySum) { left = left + right }
    public static func -= (left: inout MoneySum, right: MoneySum) { left = left - right }
    public static func += (left: inout MoneySum, right: Money) { left.nanos += Int128(right.nanos) }
    public static func -= (left: inout MoneySum, right: Money) { left.nanos -= Int128(right.nanos) }
    public static prefix func - (value: MoneySum) -> MoneySum { MoneySum(nanos: -value.nanos) }

    /// In credits: "9998.5", "0", "-0.009". No exponent, no trailing zeros.
    public var credits: String { Decimal.text(nanos, scale: 6) }

    /// In dollars: "0.0000135".
    public var dollars: String { Decimal.text(nanos, scale: 9) }
}

extension Decimal {
    /// `value` x 10^-`scale` in plain notation, no exponent, no trailing zeros: what a sum is written as.
    public static func text(_ value: Int128, scale: Int) -> String {
        if let mantissa = Int64(exactly: value) { return Decimal(mantissa: mantissa, scale: scale).text }
        var digits = String(value.magnitude)[...]
        var decimals = scale
        while decimals > 0 && digits.last == "0" {
            digits.removeLast()
            decimals -= 1
        }
        let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.utf8.count)) + digits
        let sign = value < 0 ? "-" : ""
        if decimals == 0 { return sign + padded }
        let point = padded.index(padded.endIndex, offsetBy: -decimals)
        return sign + padded[..<point] + "." + padded[point...]
    }

    /// The value as an integer of 10^-`digits`, rounded half to even, as `rescaled`: in 128 bits every decimal fits.
    public func sum(of digits: Int) -> Int128 {
        precondition((0...Decimal.scaleMax).contains(digits), "\(digits) decimals")
        if let narrow = rescaled(to: digits) { return Int128(narrow) }
        // Only what is raised does not fit: 2^63 x 10^18 is under 2^123.
        var value = Int128(mantissa)
        for _ in scale..<digits { value *= 10 }
        return value
    }
}
