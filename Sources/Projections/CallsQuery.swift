public import Billing
internal import SQLite

/// How many calls an owner made in a period, and what his plan leaves him.
public struct CallsQuery: Query {
    public static let model = "calls"

    /// Which calls to count.
    public enum Span: Hashable, Sendable {
        /// The month window that `now` is in. It starts on the assignment's anchor day.
        case current
        /// The month window that starts in this calendar month ("2025-11").
        case month(year: Int, month: Int)
        /// One UTC day ("2025-11-03").
        case day(Day)

        /// "2025-11" or "2025-11-03"; nil for anything else.
        public init?(_ text: String) {
            let bytes = Array(text.utf8)
            func number(_ range: Range<Int>) -> Int? {
                var value = 0
                for byte in bytes[range] {
                    guard (0x30...0x39).contains(byte) else { return nil }
                    value = value * 10 + Int(byte - 0x30)
                }
                return value
            }
            guard bytes.count == 7 || bytes.count == 10, bytes[4] == 0x2D, let year = number(0..<4),
                let month = number(5..<7), (1...12).contains(month)
            else { return nil }
            if bytes.count == 7 {
                self = .month(year: year, month: month)
                return
            }
            guard bytes[7] == 0x2D, let dayOfMonth = number(8..<10),
                let day = Day(year: year, month: month, day: dayOfMonth)
            else { return nil }
            self = .day(day)
        }

        /// The days `[start, end)` of the calendar, whatever anybody's plan says; nil for `current`.
        public var calendarDays: Range<Day>? {
            switch self {
            case .current: return nil
            case .day(let day): return day..<Day(number: day.number + 1)
            case .month(let year, let month):
                guard let first = Day(year: year, month: month, day: 1) else { return nil }
                return Period.month.bounds(containing: first)
            }
        }
    }

    public var owner: Owner
    public var span: Span
    public var now: Timestamp

    public init(owner: Owner, span: Span, now: Timestamp) {
        self.owner = owner
        self.span = span
        self.now = now
    }

    public func answer(from reader: Reader) throws -> CallsAnswer {
        let catalog = try reader.catalogNow()
        // The anchor day decides where the period lies, and the period decides which assignment holds: the one at the
        // end of the period, or now if that is earlier.
        let anchorDay = catalog.standing(of: owner, at: latest(before: now))?.assignment.anchorDay ?? 1
        let period = days(anchorDay: anchorDay)
        let last = Timestamp(microseconds: period.upperBound.start.microseconds - 1)
        let reference = max(period.lowerBound.start, min(now, last))
        let standing = catalog.standing(of: owner, at: reference)
        let countsByok = standing?.plan.byokCountsCalls ?? true

        var answer = CallsAnswer(
            owner: owner, isKnown: standing != nil, plan: standing?.plan.name, period: period)
        var byStatus: [Call.Status: Int64] = [:]
        var byKeySource: [Call.KeySource: Int64] = [:]
        try reader.database.rows(
            """
            SELECT status, key_source, sum(counted), sum(uncounted) FROM calls
            WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND day >= ? AND day < ?
            GROUP BY status, key_source
            """, .integer(Calls.number(of: owner)), .text(owner.name.text),
            .integer(Int64(period.lowerBound.number)), .integer(Int64(period.upperBound.number))
        ) { row in
            guard let status = Call.Status(rawValue: UInt8(row.integer(at: 0))),
                let keySource = Call.KeySource(rawValue: UInt8(row.integer(at: 1)))
            else { preconditionFailure("row of no status or key source") }
            let counted = row.integer(at: 2)
            byStatus[status, default: 0] += counted + row.integer(at: 3)
            byKeySource[keySource, default: 0] += counted
            if keySource == .platform || countsByok { answer.used += counted }
            answer.isKnown = true
        }
        answer.byStatus = Call.Status.allCases.map {
            CallsAnswer.StatusCount(status: $0, count: byStatus[$0] ?? 0)
        }
        answer.byKeySource = Call.KeySource.allCases.map {
            CallsAnswer.KeySourceCount(keySource: $0, count: byKeySource[$0] ?? 0)
        }
        if let standing {
            for limit in standing.plan.calls {
                let anchorDay = standing.assignment.anchorDay
                let window = Quota.window(limit.per, containing: reference.day, anchorDay: anchorDay)
                let used = try used(in: window, countsByok: countsByok, reader: reader)
                answer.limits.append(Quota.status(limit, used: used, at: reference, anchorDay: anchorDay))
            }
        }
        if !answer.isKnown {
            answer.isKnown =
                try reader.database.integer(
                    """
                    SELECT 1 FROM calls WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) LIMIT 1
                    """, .integer(Calls.number(of: owner)), .text(owner.name.text)) != nil
        }
        return answer
    }

    /// The last instant of the span, or now if that is earlier; before an anchor day is known.
    private func latest(before now: Timestamp) -> Timestamp {
        switch span {
        case .current:
            return now
        case .month(let year, let month):
            // A window that starts in this month has its start in it: judged by the assignment at the month's end.
            let last = Day(year: year, month: month, day: Day.count(year: year, month: month)) ?? now.day
            return min(now, Timestamp(microseconds: last.start.microseconds + Timestamp.microsecondsPerDay - 1))
        case .day(let day):
            return min(now, Timestamp(microseconds: day.start.microseconds + Timestamp.microsecondsPerDay - 1))
        }
    }

    private func days(anchorDay: Int) -> Range<Day> {
        switch span {
        case .current:
            return month(containing: now.day, anchorDay: anchorDay)
        case .month(let year, let month):
            guard let start = Day(year: year, month: month, day: anchorDay) else {
                preconditionFailure("no day \(year)-\(month)-\(anchorDay)")
            }
            return self.month(containing: start, anchorDay: anchorDay)
        case .day(let day):
            return day..<Day(number: day.number + 1)
        }
    }

    private func month(containing day: Day, anchorDay: Int) -> Range<Day> {
        guard let bounds = Period.month.bounds(containing: day, anchorDay: anchorDay) else {
            preconditionFailure("a month has bounds")
        }
        return bounds
    }

    /// Without a window: ever.
    private func used(in window: Range<Day>?, countsByok: Bool, reader: Reader) throws -> Int64 {
        let start = window.map { Int64($0.lowerBound.number) } ?? Int64(Int32.min)
        let end = window.map { Int64($0.upperBound.number) } ?? Int64(Int32.max)
        return try reader.database.integer(
            """
            SELECT sum(counted) FROM calls
            WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND day >= ? AND day < ?
                AND (key_source = 0 OR ?)
            """, .integer(Calls.number(of: owner)), .text(owner.name.text), .integer(start), .integer(end),
            .integer(countsByok ? 1 : 0)) ?? 0
    }
}
