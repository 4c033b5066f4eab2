/// A non-negative number that is never rounded until the end: an integer of any size x 10^-`scale`.
///
/// Ratings multiply counts, prices, factors and a markup, each a decimal, and divide by powers of ten only; so every
/// product is exact, and one rounding at the end is the only one (contract 2). Nearly all of them fit in 128 bits;
/// those that do not (a hostile list of eight multipliers with twelve decimals each comes to some 700 bits) go on in
/// limbs.
struct Exact: Sendable {
    /// The integer, while it fits.
    private var small: UInt128
    /// The integer from the first overflow on: 64-bit limbs, the lowest first, no zero limb at the top. Empty before.
    private var limbs: [UInt64] = []
    private(set) var scale: Int

    static let zero = Exact(0, scale: 0)

    init(_ value: UInt64, scale: Int) {
        self.small = UInt128(value)
        self.scale = scale
    }

    /// `decimal` must not be negative.
    init(_ decimal: Decimal) {
        precondition(decimal.mantissa >= 0, "negative decimal \(decimal.text) in a product")
        self.init(UInt64(decimal.mantissa), scale: decimal.scale)
    }

    var isZero: Bool { limbs.isEmpty && small == 0 }

    mutating func multiply(by decimal: Decimal) {
        precondition(decimal.mantissa >= 0, "negative decimal \(decimal.text) in a product")
        multiply(by: UInt64(decimal.mantissa))
        scale += decimal.scale
    }

    mutating func multiply(by factor: UInt64) {
        if limbs.isEmpty {
            let (product, overflow) = small.multipliedReportingOverflow(by: UInt128(factor))
            if !overflow {
                small = product
                return
            }
            widen()
        }
        if factor == 0 {
            limbs = []
            small = 0
            return
        }
        var carry: UInt64 = 0
        for index in limbs.indices {
            let (high, low) = limbs[index].multipliedFullWidth(by: factor)
            let (sum, overflow) = low.addingReportingOverflow(carry)
            limbs[index] = sum
            carry = high + (overflow ? 1 : 0)
        }
        if carry > 0 { limbs.append(carry) }
    }

    /// The same number divided by 10^`digits`.
    mutating func shift(right digits: Int) {
        scale += digits
    }

    mutating func add(_ other: Exact) {
        if other.isZero { return }
        if isZero {
            self = other
            return
        }
        var other = other
        if scale < other.scale {
            raise(to: other.scale)
        } else if other.scale < scale {
            other.raise(to: scale)
        }
        if limbs.isEmpty && other.limbs.isEmpty {
            let (sum, overflow) = small.addingReportingOverflow(other.small)
            if !overflow {
                small = sum
                return
            }
        }
        widen()
        other.widen()
        while limbs.count < other.limbs.count { limbs.append(0) }
        var carry: UInt64 = 0
        for index in limbs.indices {
            let addend = index < other.limbs.count ? other.limbs[index] : 0
            let (first, overflow) = limbs[index].addingReportingOverflow(addend)
            let (second, overflowAgain) = first.addingReportingOverflow(carry)
            limbs[index] = second
            carry = (overflow ? 1 : 0) + (overflowAgain ? 1 : 0)
        }
        if carry > 0 { limbs.append(carry) }
    }

    /// The number x 10^`digits`, rounded half to even; nil when that does not fit in 63 bits.
    func rounded(digits: Int) -> Int64? {
        let dropped = scale - digits
        if dropped <= 0 {
            var raised = self
            raised.raise(to: digits)
            return raised.limbs.isEmpty ? Int64(exactly: raised.small) : nil
        }
        if limbs.isEmpty {
            // 10^39 is more than twice the largest 128-bit integer, so all that is left is under a half.
            guard dropped < Exact.powersOfTen.count else { return 0 }
            let divisor = Exact.powersOfTen[dropped]
            let half = divisor / 2
            var quotient: UInt128
            let remainder: UInt128
            if small <= UInt128(UInt64.max), dropped <= 19 {
                let (low, rest) = UInt64(small).quotientAndRemainder(dividingBy: UInt64(divisor))
                (quotient, remainder) = (UInt128(low), UInt128(rest))
            } else {
                (quotient, remainder) = small.quotientAndRemainder(dividingBy: divisor)
            }
            if remainder > half || (remainder == half && quotient & 1 == 1) { quotient += 1 }
            return Int64(exactly: quotient)
        }
        // All but the last of the dropped digits only matter as "nothing" or "something".
        var (quotient, last, something) = (self, UInt64(0), false)
        var left = dropped - 1
        while left > 0 {
            let step = min(left, Exact.digitsPerStep)
            let rest = quotient.divide(by: UInt64(Exact.powersOfTen[step]))
            something = something || rest != 0
            left -= step
        }
        last = quotient.divide(by: 10)
        let isOdd = quotient.limbs.first.map { $0 & 1 == 1 } ?? false
        if last > 5 || (last == 5 && (something || isOdd)) {
            quotient.add(Exact(1, scale: quotient.scale))
        }
        guard quotient.limbs.count <= 1 else { return nil }
        return Int64(exactly: quotient.limbs.first ?? UInt64(quotient.small))
    }

    /// The number x 10^`digits` in plain notation, every digit: what an explanation shows before the rounding.
    func text(digits: Int) -> String {
        var pieces: [UInt8] = []
        var rest = self
        rest.widen()
        while !rest.limbs.isEmpty { pieces.append(UInt8(rest.divide(by: 10)) + 0x30) }
        var decimals = scale - digits
        while decimals < 0 {
            if !pieces.isEmpty { pieces.insert(0x30, at: 0) }
            decimals += 1
        }
        while pieces.count <= decimals { pieces.append(0x30) }
        if pieces.isEmpty { pieces.append(0x30) }
        var fraction = Array(pieces[..<decimals])
        let whole = Array(pieces[decimals...].reversed())
        while fraction.first == 0x30 { fraction.removeFirst() }
        if fraction.isEmpty { return String(decoding: whole, as: UTF8.self) }
        return String(decoding: whole + [0x2E] + fraction.reversed(), as: UTF8.self)
    }

    /// The largest power of ten under 2^64 is 10^19.
    private static let digitsPerStep = 19

    /// 10^0 ... 10^38: those that fit in 128 bits.
    private static let powersOfTen: [UInt128] = {
        var powers: [UInt128] = [1]
        for _ in 1...38 { powers.append(powers[powers.count - 1] * 10) }
        return powers
    }()

    /// The same number with more decimals.
    private mutating func raise(to scale: Int) {
        var missing = scale - self.scale
        while missing > 0 {
            let step = min(missing, Exact.digitsPerStep)
            multiply(by: UInt64(Exact.powersOfTen[step]))
            missing -= step
        }
        self.scale = max(self.scale, scale)
    }

    private mutating func widen() {
        guard limbs.isEmpty else { return }
        limbs = [UInt64(truncatingIfNeeded: small), UInt64(truncatingIfNeeded: small >> 64)]
        while limbs.last == 0 { limbs.removeLast() }
        small = 0
    }

    /// Divides the integer and gives the remainder. Only for a widened number, whose zero is no limb at all.
    private mutating func divide(by divisor: UInt64) -> UInt64 {
        var remainder: UInt64 = 0
        for index in limbs.indices.reversed() {
            (limbs[index], remainder) = divisor.dividingFullWidth((remainder, limbs[index]))
        }
        while limbs.last == 0 { limbs.removeLast() }
        return remainder
    }
}
