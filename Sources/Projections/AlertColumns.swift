internal import Billing
internal import SQLite

/// Alerts and firings as cells, and back.
enum AlertColumns {
    private enum Condition: Int64 {
        case balanceBelow = 0
        case callsPercent = 1
        case spend = 2
        case daysLeft = 3
    }

    /// The cells `condition`, `threshold` and, for a definition, `per`.
    static func cells(_ condition: Alert.Condition) -> (condition: Value, threshold: Value, per: Value) {
        func cells(_ tag: Condition, _ threshold: Int64, _ per: Value = .null) -> (Value, Value, Value) {
            (.integer(tag.rawValue), .integer(threshold), per)
        }
        return switch condition {
        case .balanceBelow(let money): cells(.balanceBelow, money.nanos)
        case .callsPercent(let percent): cells(.callsPercent, percent)
        case .spend(let money, let per): cells(.spend, money.nanos, .integer(Int64(per.rawValue)))
        case .daysLeft(let days): cells(.daysLeft, days)
        }
    }

    static func cells(_ entry: Alerts.Entry) -> [Value] {
        let condition = cells(entry.alert.condition)
        return [
            .integer(Calls.number(of: entry.alert.owner)), .text(entry.alert.owner.name.text), condition.condition,
            condition.threshold, condition.per, .integer(entry.alert.isEnabled ? 1 : 0),
            .integer(Int64(entry.position)), .integer(Int64(entry.fired)), .integer(Int64(entry.latestDay.number)),
        ]
    }

    /// A row of all columns of `alerts`.
    static func entry(_ row: Statement) -> Alerts.Entry {
        let alert = Alert(
            name: BookRows.name(row, 0), owner: BookRows.owner(row, 1),
            condition: condition(row, condition: 3, threshold: 4, per: 5), isEnabled: row.integer(at: 6) == 1)
        return Alerts.Entry(
            alert: alert, position: UInt64(row.integer(at: 7)), fired: UInt64(row.integer(at: 8)),
            latestDay: Day(number: Int32(row.integer(at: 9))))
    }

    private static func condition(
        _ row: Statement, condition: Int, threshold: Int, per: Int
    ) -> Alert.Condition {
        let value = row.integer(at: threshold)
        switch Condition(rawValue: row.integer(at: condition)) {
        case .balanceBelow: return .balanceBelow(Money(nanos: value))
        case .callsPercent: return .callsPercent(value)
        case .spend: return .spend(Money(nanos: value), per: self.per(row, per))
        case .daysLeft: return .daysLeft(value)
        case nil: preconditionFailure("alert of condition \(row.integer(at: condition))")
        }
    }

    static func per(_ row: Statement, _ index: Int) -> Alert.Per {
        guard let per = Alert.Per(rawValue: UInt8(row.integer(at: index))) else {
            preconditionFailure("alert over period \(row.integer(at: index))")
        }
        return per
    }

    static func days(_ row: Statement, _ index: Int) -> Range<Day> {
        Day(number: Int32(row.integer(at: index)))..<Day(number: Int32(row.integer(at: index + 1)))
    }

    /// Key and values of a row of `firings`.
    static func cells(_ firing: AlertFiring) -> (key: [Value], values: [Value]) {
        let condition = cells(firing.condition)
        let days = firing.window.flatMap(\.days)
        return (
            [.integer(firing.number)],
            [
                .text(firing.alert.text), .integer(Calls.number(of: firing.owner)), .text(firing.owner.name.text),
                .integer(Int64(firing.kind.rawValue)), .integer(Int64(firing.position)),
                .integer(firing.time.microseconds), condition.condition, condition.threshold,
                firing.window.map { .integer(Int64($0.per.rawValue)) } ?? .null,
                days.map { .integer(Int64($0.lowerBound.number)) } ?? .null,
                days.map { .integer(Int64($0.upperBound.number)) } ?? .null,
                firing.reading.value.map { .integer($0) } ?? .null,
                firing.reading.limit.map { .integer($0) } ?? .null,
            ]
        )
    }

    /// A row of all columns of `firings`.
    static func firing(_ row: Statement) -> AlertFiring {
        guard let kind = AlertFiring.Kind(rawValue: UInt8(row.integer(at: 4))) else {
            preconditionFailure("firing of kind \(row.integer(at: 4))")
        }
        let window = row.isNull(at: 9)
            ? nil : AlertFiring.Window(per: per(row, 9), days: row.isNull(at: 10) ? nil : days(row, 10))
        return AlertFiring(
            number: row.integer(at: 0), alert: BookRows.name(row, 1), owner: BookRows.owner(row, 2), kind: kind,
            position: UInt64(row.integer(at: 5)), time: Timestamp(microseconds: row.integer(at: 6)),
            condition: condition(row, condition: 7, threshold: 8, per: 9), window: window,
            reading: AlertReading(
                isCrossed: kind == .fired, value: row.isNull(at: 12) ? nil : row.integer(at: 12),
                limit: row.isNull(at: 13) ? nil : row.integer(at: 13)))
    }
}
