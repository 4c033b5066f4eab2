import Billing

// The content of `alert.defined`. Bits and order as in Schemas/RECORD.md.

private enum ConditionTag: UInt8, CaseIterable {
    case balanceBelow = 0
    case callsPercent = 1
    case spend = 2
    case daysLeft = 3
}

private let percents: ClosedRange<Int64> = 1...100
private let days: ClosedRange<Int64> = 1...Alert.daysMax

extension RecordWriter {
    mutating func alert(_ alert: Alert) {
        name(alert.name)
        owner(alert.owner)
        switch alert.condition {
        case .balanceBelow(let threshold):
            byte(ConditionTag.balanceBelow.rawValue)
            money(threshold)
        case .callsPercent(let percent):
            precondition(percents.contains(percent), "\(percent) % of calls")
            byte(ConditionTag.callsPercent.rawValue)
            varint(UInt64(percent))
        case .spend(let threshold, let per):
            byte(ConditionTag.spend.rawValue)
            money(threshold)
            byte(per.rawValue)
        case .daysLeft(let count):
            precondition(days.contains(count), "\(count) days left")
            byte(ConditionTag.daysLeft.rawValue)
            varint(UInt64(count))
        }
        byte(bit(0, alert.isEnabled))
    }
}

extension RecordReader {
    mutating func alert() throws(RecordError) -> Alert {
        let name = try name()
        let owner = try owner()
        let condition: Alert.Condition =
            switch try choice(ConditionTag.self, "alert condition") {
            case .balanceBelow: .balanceBelow(try money())
            case .callsPercent: .callsPercent(try integer(in: percents, "percent of calls"))
            case .spend: .spend(try money(), per: try choice(Alert.Per.self, "alert period"))
            case .daysLeft: .daysLeft(try integer(in: days, "days left"))
            }
        let bits = try bitmap(allowed: 0b1 as UInt8)
        return Alert(name: name, owner: owner, condition: condition, isEnabled: bits.has(0))
    }
}
