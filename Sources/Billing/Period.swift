/// How often something starts afresh. Periods are half-open `[start, end)`, in UTC, computed from an event's own time.
public enum Period: UInt8, CaseIterable, Sendable {
    case never, day, week, month
    public var name: String { String(describing: self) }

    /// The days `[start, end)` of the period that `day` is in; nil for `never`, which has neither.
    /// Weeks start on Monday (ISO 8601); months on `anchorDay` (1...28).
    public func bounds(containing day: Day, anchorDay: Int = 1) -> Range<Day>? {
        switch self {
        case .never:
            return nil
        case .day:
            return day..<Day(number: day.number + 1)
        case .week:
            // 1970-01-01 was a Thursday, three days after a Monday.
            let offset = (day.number + 3) % 7
            let start = day.number - (offset < 0 ? offset + 7 : offset)
            return Day(number: start)..<Day(number: start + 7)
        case .month:
            precondition((1...28).contains(anchorDay), "anchor day \(anchorDay)")
            let civil = day.civil
            var (year, month) = (civil.year, civil.month)
            if civil.day < anchorDay {
                (year, month) = month == 1 ? (year - 1, 12) : (year, month - 1)
            }
            let next = month == 12 ? (year + 1, 1) : (year, month + 1)
            // Anchor days exist in every month; only the ends of the representable calendar can fail.
            let start = Day(year: year, month: month, day: anchorDay) ?? Timestamp.earliest.day
            let end = Day(year: next.0, month: next.1, day: anchorDay) ?? Timestamp.latest.day
            return start..<end
        }
    }
}
