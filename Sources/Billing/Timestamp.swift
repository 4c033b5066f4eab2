/// An instant: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted. RFC 3339 in and out, always UTC.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var microseconds: Int64

    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// 0000-01-01T00:00:00Z and the end of 9999, the range that RFC 3339 can write.
    public static let earliest = Timestamp(microseconds: -62_167_219_200_000_000)
    public static let latest = Timestamp(microseconds: 253_402_300_799_999_999)
    public static let microsecondsPerSecond: Int64 = 1_000_000
    public static let microsecondsPerDay: Int64 = 86_400_000_000

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    public func adding(seconds: Int64) -> Timestamp {
        Timestamp(microseconds: microseconds + seconds * Timestamp.microsecondsPerSecond)
    }

    /// The UTC day this instant is in.
    public var day: Day {
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: Timestamp.microsecondsPerDay)
        return Day(number: Int32(remainder < 0 ? quotient - 1 : quotient))
    }

    /// Parses RFC 3339 section 5.6 `date-time`: "2026-11-22T07:52:05.320818+00:00". `T` and `Z` in either case; any
    /// number of fraction digits, those past the sixth cut off; second 60 is taken as the next second. Nil when it is
    /// not one.
    public init?(rfc3339 text: some Collection<UInt8>) {
        let bytes = Array(text)
        guard bytes.count >= 20 && bytes.count <= 64 else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            guard range.upperBound <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int(byte - 0x30)
            }
            return value
        }
        func has(_ byte: UInt8, at index: Int) -> Bool { index < bytes.count && bytes[index] == byte }
        guard let year = number(0..<4), has(0x2D, at: 4), let month = number(5..<7), has(0x2D, at: 7),
            let dayOfMonth = number(8..<10), has(0x54, at: 10) || has(0x74, at: 10), let hour = number(11..<13),
            has(0x3A, at: 13), let minute = number(14..<16), has(0x3A, at: 16), let second = number(17..<19),
            let day = Day(year: year, month: month, day: dayOfMonth), hour < 24, minute < 60, second <= 60
        else { return nil }
        var index = 19
        var fraction: Int64 = 0
        if has(0x2E, at: index) {
            index += 1
            let first = index
            var weight: Int64 = 100_000
            while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
                fraction += Int64(bytes[index] - 0x30) * weight
                weight /= 10
                index += 1
            }
            guard index > first else { return nil }
        }
        var offsetMinutes = 0
        if has(0x5A, at: index) || has(0x7A, at: index) {
            index += 1
        } else if has(0x2B, at: index) || has(0x2D, at: index) {
            guard let hours = number(index + 1..<index + 3), has(0x3A, at: index + 3),
                let minutes = number(index + 4..<index + 6), hours < 24, minutes < 60
            else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (bytes[index] == 0x2D ? -1 : 1)
            index += 6
        } else {
            return nil
        }
        guard index == bytes.count else { return nil }
        let seconds = Int64(hour * 3600 + minute * 60 + second - offsetMinutes * 60)
        self.microseconds = day.start.microseconds + seconds * Timestamp.microsecondsPerSecond + fraction
        guard Timestamp.earliest <= self && self <= Timestamp.latest else { return nil }
    }

    public init?(rfc3339 text: String) {
        self.init(rfc3339: text.utf8)
    }

    /// Unix seconds as a decimal number, rounded half to even to a microsecond: how LiteLLM and Lago write times.
    public init?(unixSeconds text: some Collection<UInt8>) {
        guard let decimal = try? Decimal(parsing: text, decimalsMax: 6), let micros = decimal.rescaled(to: 6)
        else { return nil }
        self.microseconds = micros
        guard Timestamp.earliest <= self && self <= Timestamp.latest else { return nil }
    }

    /// "2026-11-22T07:52:05Z", with ".320818" only when there is a fraction.
    public var rfc3339: String {
        let day = self.day
        let inDay = microseconds - day.start.microseconds
        let (seconds, fraction) = inDay.quotientAndRemainder(dividingBy: Timestamp.microsecondsPerSecond)
        var text = day.text
        text += "T" + padded(seconds / 3600, to: 2) + ":" + padded(seconds / 60 % 60, to: 2)
        text += ":" + padded(seconds % 60, to: 2)
        if fraction != 0 {
            var digits = padded(fraction, to: 6)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += "." + digits
        }
        return text + "Z"
    }

    /// Unix seconds with exactly six decimals only when needed: "1795334519.805458", "1795334519".
    public var unixSeconds: String {
        Decimal(mantissa: microseconds, scale: 6).text
    }
}

/// A UTC day, counted from 1970-01-01 (which is 0).
public struct Day: Hashable, Comparable, Sendable {
    public var number: Int32

    public init(number: Int32) {
        self.number = number
    }

    /// Proleptic Gregorian calendar, years 0...9999. Nil when there is no such day.
    public init?(year: Int, month: Int, day: Int) {
        guard (0...9999).contains(year), (1...12).contains(month), day >= 1,
            day <= Day.count(year: year, month: month)
        else { return nil }
        // Days from civil: years start in March, so that the leap day is the last of its year.
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        self.number = Int32(era * 146_097 + dayOfEra - 719_468)
    }

    public static func < (left: Day, right: Day) -> Bool { left.number < right.number }

    /// How many days a month has.
    public static func count(year: Int, month: Int) -> Int {
        switch month {
        case 2: return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: return 30
        default: return 31
        }
    }

    public var start: Timestamp {
        Timestamp(microseconds: Int64(number) * Timestamp.microsecondsPerDay)
    }

    /// Year, month (1...12) and day of the month (1...31).
    public var civil: (year: Int, month: Int, day: Int) {
        let shifted = Int(number) + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthShifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthShifted + 2) / 5 + 1
        let month = monthShifted < 10 ? monthShifted + 3 : monthShifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, day)
    }

    /// "2026-11-22".
    public var text: String {
        let (year, month, day) = civil
        return padded(Int64(year), to: 4) + "-" + padded(Int64(month), to: 2) + "-" + padded(Int64(day), to: 2)
    }
}

func padded(_ value: Int64, to width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
