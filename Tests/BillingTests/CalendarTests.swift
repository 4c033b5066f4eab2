import Billing
import Testing

@Suite struct CalendarTests {
    @Test func `times are read as RFC 3339 writes them`() {
        let rows: [(text: String, expected: String?)] = [
            ("2026-11-22T07:52:05.320818+00:00", "2026-11-22T07:52:05.320818Z"),
            ("2026-11-22T07:52:05Z", "2026-11-22T07:52:05Z"),
            ("2026-11-22t07:52:05z", "2026-11-22T07:52:05Z"), ("2026-11-22T07:52:05.5Z", "2026-11-22T07:52:05.5Z"),
            ("2026-11-22T07:52:05.1234567Z", "2026-11-22T07:52:05.123456Z"),
            ("2026-11-22T00:30:00+01:00", "2026-11-21T23:30:00Z"),
            ("2026-11-22T23:30:00-01:00", "2026-11-23T00:30:00Z"), ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"), ("2023-02-29T00:00:00Z", nil),
            ("2100-02-29T00:00:00Z", nil),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"), ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"), ("9999-12-31T23:59:59-00:01", nil),
            ("0000-01-01T00:00:00+00:01", nil), ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
            ("2026-11-22 07:52:05Z", nil), ("2026-11-22T07:52:05", nil), ("2026-11-22T24:00:00Z", nil),
            ("2026-11-22T07:60:00Z", nil), ("2026-11-22T07:52:61Z", nil), ("2026-13-01T00:00:00Z", nil),
            ("2026-00-01T00:00:00Z", nil), ("2026-11-00T00:00:00Z", nil), ("2026-11-31T00:00:00Z", nil),
            ("2026-11-22T07:52:05.Z", nil), ("2026-11-22T07:52:05+0100", nil), ("2026-11-22T07:52:05+24:00", nil),
            ("2026-11-22T07:52:05Zx", nil), ("+026-11-22T07:52:05Z", nil), ("", nil), ("2026-11-22", nil),
        ]
        for row in rows { #expect(Timestamp(rfc3339: row.text)?.rfc3339 == row.expected, "\(row.text)") }
    }

    @Test func `unix seconds keep their microseconds`() {
        let rows: [(text: String, micros: Int64?, back: String)] = [
            ("1795334519.805458", 1_795_334_519_805_458, "1795334519.805458"),
            ("1795334519", 1_795_334_519_000_000, "1795334519"),
            ("0", 0, "0"), ("-1.5", -1_500_000, "-1.5"), ("x", nil, ""), ("999999999999999", nil, ""),
        ]
        for row in rows {
            let time = Timestamp(unixSeconds: row.text.utf8)
            #expect(time?.microseconds == row.micros, "\(row.text)")
            if let time { #expect(time.unixSeconds == row.back) }
        }
    }

    @Test func `days count on without gaps through four centuries`() {
        var expected = Day(year: 1896, month: 1, day: 1)?.number ?? 0
        for year in 1896...2300 {
            for month in 1...12 {
                for dayOfMonth in 1...Day.count(year: year, month: month) {
                    let day = Day(year: year, month: month, day: dayOfMonth)
                    if day?.number != expected || day.map({ $0.civil == (year, month, dayOfMonth) }) != true {
                        Issue.record("\(year)-\(month)-\(dayOfMonth)")
                    }
                    expected += 1
                }
            }
        }
        #expect(Day(number: 0).text == "1970-01-01")
        #expect(Day(year: 2026, month: 11, day: 22)?.text == "2026-11-22")
        #expect(Timestamp(microseconds: -1).day == Day(number: -1))
        #expect(Timestamp(microseconds: 0).day == Day(number: 0))
    }

    @Test func `periods are half-open and meet without gaps`() {
        let rows: [(period: Period, anchor: Int, day: String, start: String, end: String)] = [
            (.day, 1, "2026-11-22", "2026-11-22", "2026-11-23"),
            (.week, 1, "2026-11-22", "2026-11-16", "2026-11-23"),  // a Sunday
            (.week, 1, "2026-11-23", "2026-11-23", "2026-11-30"), (.week, 1, "1969-12-31", "1969-12-29", "1970-01-05"),
            (.month, 1, "2026-11-30", "2026-11-01", "2026-12-01"),
            (.month, 1, "2026-12-31", "2026-12-01", "2027-01-01"),
            (.month, 15, "2026-01-14", "2025-12-15", "2026-01-15"),
            (.month, 28, "2026-02-28", "2026-02-28", "2026-03-28"),
            (.month, 28, "2026-03-01", "2026-02-28", "2026-03-28"),
        ]
        for row in rows {
            guard let day = Timestamp(rfc3339: row.day + "T00:00:00Z")?.day else { preconditionFailure(row.day) }
            let bounds = row.period.bounds(containing: day, anchorDay: row.anchor)
            #expect(bounds?.lowerBound.text == row.start)
            #expect(bounds?.upperBound.text == row.end)
        }
        #expect(Period.never.bounds(containing: Day(number: 0)) == nil)
        for period in [Period.day, .week, .month] {
            for anchor in [1, 9, 28] {
                var day = Day(number: -800)
                for _ in 0..<60 {
                    guard let bounds = period.bounds(containing: day, anchorDay: anchor) else { break }
                    #expect(bounds.contains(day))
                    #expect(
                        period.bounds(containing: Day(number: bounds.upperBound.number - 1), anchorDay: anchor)
                            == bounds)
                    day = bounds.upperBound
                    #expect(period.bounds(containing: day, anchorDay: anchor)?.lowerBound == day)
                }
            }
        }
    }
}
