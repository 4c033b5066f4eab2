/// An exact decimal number as somebody wrote it: `mantissa` x 10^-`scale`. Prices, factors and amounts come in as this;
/// binary floating point never takes part (contract 2).
public struct Decimal: Hashable, Sendable {
    /// Always in lowest terms: no trailing zero in `mantissa` unless `scale` is 0.
    public let mantissa: Int64
    /// 0...18.
    public let scale: Int

    public static let scaleMax = 18
    public static let integerDigitsMax = 18
    public static let zero = Decimal(mantissa: 0, scale: 0)
    public static let one = Decimal(mantissa: 1, scale: 0)

    public init(mantissa: Int64, scale: Int) {
        precondition((0...Decimal.scaleMax).contains(scale), "scale \(scale) is out of 0...\(Decimal.scaleMax)")
        var mantissa = mantissa
        var scale = scale
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10
            scale -= 1
        }
        self.mantissa = mantissa
        self.scale = scale
    }

    /// Why a text is not an amount we take.
    public enum ParseError: Error, Hashable, Sendable {
        case notANumber
        /// More than 18 integer digits, or too many significant digits for 64 bits after rounding.
        case tooLarge
    }

    /// Parses a JSON number (RFC 8259 section 6) or the same inside a string: sign, digits, fraction, exponent.
    /// More than `decimalsMax` decimals are rounded half to even, from the digits as written.
    /// "1.35e-05" is exactly 0.0000135. Linear in the length of the text, whatever the exponent.
    public init(parsing text: some Collection<UInt8>, decimalsMax: Int = 12) throws(ParseError) {
        precondition((0...Decimal.scaleMax).contains(decimalsMax), "\(decimalsMax) decimals")
        let plain = text.withContiguousStorageIfAvailable { Decimal.plain($0, decimalsMax: decimalsMax) }
        if let plain, let plain {
            self = plain
            return
        }
        var digits: [UInt8] = []
        var negative = false
        var fractionDigits = 0
        var exponent = 0
        var rest = text[...]

        func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

        if rest.first == 0x2D {
            negative = true
            rest = rest.dropFirst()
        }
        guard isDigit(rest.first) else { throw .notANumber }
        if rest.first == 0x30, isDigit(rest.dropFirst().first) { throw .notANumber }
        while let byte = rest.first, isDigit(byte) {
            if !(digits.isEmpty && byte == 0x30) { digits.append(byte - 0x30) }
            rest = rest.dropFirst()
        }
        if rest.first == 0x2E {
            rest = rest.dropFirst()
            guard isDigit(rest.first) else { throw .notANumber }
            while let byte = rest.first, isDigit(byte) {
                if !(digits.isEmpty && byte == 0x30) { digits.append(byte - 0x30) }
                fractionDigits += 1
                rest = rest.dropFirst()
            }
        }
        if rest.first == 0x65 || rest.first == 0x45 {
            rest = rest.dropFirst()
            var exponentNegative = false
            if rest.first == 0x2B || rest.first == 0x2D {
                exponentNegative = rest.first == 0x2D
                rest = rest.dropFirst()
            }
            guard isDigit(rest.first) else { throw .notANumber }
            while let byte = rest.first, isDigit(byte) {
                // Saturates: beyond a million the answer (zero or too large) no longer depends on it.
                if exponent < 1_000_000 { exponent = exponent * 10 + Int(byte - 0x30) }
                rest = rest.dropFirst()
            }
            if exponentNegative { exponent = -exponent }
        }
        guard rest.isEmpty else { throw .notANumber }

        // The value is 0.d1d2d3... x 10^pointAt.
        while digits.last == 0 {
            digits.removeLast()
            fractionDigits -= 1
        }
        guard !digits.isEmpty else {
            self = .zero
            return
        }
        let pointAt = digits.count - fractionDigits + exponent
        if pointAt > Decimal.integerDigitsMax { throw .tooLarge }
        let kept = pointAt + decimalsMax
        var mantissa: Int64 = 0
        var scale = digits.count - pointAt
        if kept < 0 {
            self = .zero
            return
        }
        for digit in digits.prefix(kept) {
            let (tens, overflow) = mantissa.multipliedReportingOverflow(by: 10)
            let (sum, overflowSum) = tens.addingReportingOverflow(Int64(digit))
            if overflow || overflowSum { throw .tooLarge }
            mantissa = sum
        }
        if digits.count > kept {
            scale = decimalsMax
            let next = digits[kept]
            let beyondHalf = next > 5 || (next == 5 && digits.count > kept + 1)
            let half = next == 5 && digits.count == kept + 1
            if beyondHalf || (half && mantissa & 1 == 1) {
                let (sum, overflow) = mantissa.addingReportingOverflow(1)
                if overflow { throw .tooLarge }
                mantissa = sum
            }
        }
        while scale < 0 {
            let (tens, overflow) = mantissa.multipliedReportingOverflow(by: 10)
            if overflow { throw .tooLarge }
            mantissa = tens
            scale += 1
        }
        self.init(mantissa: negative ? -mantissa : mantissa, scale: scale)
    }

    /// What most amounts look like, quickly: at most 18 digits in all, no exponent, nothing to round. Nil for the rest,
    /// faults included: `init(parsing:)` goes the long way with them.
    private static func plain(_ bytes: UnsafeBufferPointer<UInt8>, decimalsMax: Int) -> Decimal? {
        var index = 0
        let isNegative = bytes.first == 0x2D
        if isNegative { index = 1 }
        let first = index
        guard bytes.count - first <= 19 else { return nil }
        var mantissa: Int64 = 0
        var point: Int?
        while index < bytes.count {
            let byte = bytes[index]
            if byte == 0x2E && point == nil {
                point = index
            } else {
                guard (0x30...0x39).contains(byte) else { return nil }
                mantissa = mantissa &* 10 &+ Int64(byte - 0x30)
            }
            index += 1
        }
        let integerDigits = (point ?? index) - first
        let scale = point.map { index - $0 - 1 } ?? 0
        guard integerDigits >= 1, integerDigits + scale <= integerDigitsMax, point == nil || scale >= 1,
            scale <= decimalsMax, integerDigits == 1 || bytes[first] != 0x30
        else { return nil }
        return Decimal(mantissa: isNegative ? -mantissa : mantissa, scale: scale)
    }

    /// The value as an integer of 10^-`digits`, rounded half to even; nil when it does not fit.
    public func rescaled(to digits: Int) -> Int64? {
        if digits >= scale {
            var value = mantissa
            for _ in scale..<digits {
                let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
                if overflow { return nil }
                value = tens
            }
            return value
        }
        var divisor: Int64 = 1
        for _ in digits..<scale { divisor *= 10 }
        let (quotient, remainder) = mantissa.quotientAndRemainder(dividingBy: divisor)
        let twice = remainder.magnitude * 2
        let away = twice > divisor.magnitude || (twice == divisor.magnitude && quotient & 1 != 0)
        guard away else { return quotient }
        return quotient + (mantissa < 0 ? -1 : 1)
    }

    /// Plain notation, no exponent, no trailing zeros: "0.0000135", "-3", "0".
    public var text: String {
        let digits = String(mantissa.magnitude)
        let sign = mantissa < 0 ? "-" : ""
        if scale == 0 { return sign + digits }
        let padded = String(repeating: "0", count: max(0, scale + 1 - digits.utf8.count)) + digits
        let point = padded.index(padded.endIndex, offsetBy: -scale)
        return sign + padded[..<point] + "." + padded[point...]
    }
}
