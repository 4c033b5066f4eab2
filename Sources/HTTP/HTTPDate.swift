/// IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), always 29 bytes.
public enum HTTPDate {
    /// `seconds` since 1970-01-01T00:00:00Z, not negative, up to the year 9999.
    public static func format(seconds: Int64) -> [UInt8] {
        precondition((0...253_402_300_799).contains(seconds), "seconds \(seconds)")
        let day = seconds / 86400
        let second = Int(seconds % 86400)
        // Days to a date, counting from March so that the leap day comes last: 146,097 days are 400 years.
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let dayOfMonth = Int(dayOfYear - (153 * marchMonth + 2) / 5 + 1)
        let month = Int(marchMonth < 10 ? marchMonth + 3 : marchMonth - 9)
        let year = Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0))

        var bytes: [UInt8] = []
        bytes.reserveCapacity(29)
        bytes.append(contentsOf: weekdays[Int((day + 4) % 7)].utf8)
        bytes.append(contentsOf: ", ".utf8)
        appendTwo(dayOfMonth, to: &bytes)
        bytes.append(Octet.space)
        bytes.append(contentsOf: months[month - 1].utf8)
        bytes.append(Octet.space)
        appendTwo(year / 100, to: &bytes)
        appendTwo(year % 100, to: &bytes)
        bytes.append(Octet.space)
        appendTwo(second / 3600, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        appendTwo(second / 60 % 60, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        appendTwo(second % 60, to: &bytes)
        bytes.append(contentsOf: " GMT".utf8)
        return bytes
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func appendTwo(_ number: Int, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "0") + UInt8(number / 10))
        bytes.append(UInt8(ascii: "0") + UInt8(number % 10))
    }
}
