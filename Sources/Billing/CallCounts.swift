/// Calls that use quota, by owner and UTC day, and the holds that may become one: what the writer decides limits by. 12
/// bytes for each day of each owner.
public struct CallCounts: Sendable {
    private struct Counted: Sendable {
        var day: Day
        var platform: Int32
        var byok: Int32
    }
    private struct Calls: Sendable {
        /// In order of days.
        var days: [Counted] = []
        var runningPlatform: Int32 = 0
        var runningByok: Int32 = 0
    }

    private var calls: [Owner: Calls] = [:]

    public init() {}

    /// Adds `amount` calls on a day; a negative one takes back.
    mutating func add(_ amount: Int32, _ keySource: Call.KeySource, org: Name?, user: Name?, on day: Day) {
        if let org { CallCounts.add(amount, keySource, on: day, to: &calls[.org(org), default: Calls()]) }
        if let user { CallCounts.add(amount, keySource, on: day, to: &calls[.user(user), default: Calls()]) }
    }

    private static func add(_ amount: Int32, _ keySource: Call.KeySource, on day: Day, to calls: inout Calls) {
        var index = calls.days.count
        while index > 0 && calls.days[index - 1].day >= day { index -= 1 }
        if index == calls.days.count || calls.days[index].day != day {
            calls.days.insert(Counted(day: day, platform: 0, byok: 0), at: index)
        }
        switch keySource {
        case .platform: calls.days[index].platform += amount
        case .byok: calls.days[index].byok += amount
        }
    }

    /// Whether calls of an owner, or holds, were ever counted.
    func knows(_ owner: Owner) -> Bool { calls[owner] != nil }

    /// Adds `amount` running holds.
    mutating func run(_ amount: Int32, _ keySource: Call.KeySource, org: Name?, user: Name?) {
        for owner in [org.map(Owner.org), user.map(Owner.user)] {
            guard let owner else { continue }
            switch keySource {
            case .platform: calls[owner, default: Calls()].runningPlatform += amount
            case .byok: calls[owner, default: Calls()].runningByok += amount
            }
        }
    }

    /// Calls within `days`, nil for all there ever were.
    public func used(by owner: Owner, in days: Range<Day>?, countsByok: Bool) -> Int64 {
        guard let calls = calls[owner] else { return 0 }
        var sum: Int64 = 0
        for counted in calls.days.reversed() {
            if let days, counted.day < days.lowerBound { break }
            if let days, counted.day >= days.upperBound { continue }
            sum += Int64(counted.platform) + (countsByok ? Int64(counted.byok) : 0)
        }
        return sum
    }

    /// Holds that will count.
    public func running(by owner: Owner, countsByok: Bool) -> Int64 {
        guard let calls = calls[owner] else { return 0 }
        return Int64(calls.runningPlatform) + (countsByok ? Int64(calls.runningByok) : 0)
    }
}
