/// One user's allocation on one org's pool, and what he drew under it.
struct Draw: Sendable {
    struct DayDrawn: Sendable {
        var day: Day
        var amount: Money
        var isChanged = false
    }

    let org: Name
    let user: Name
    var current: UserAllocation?
    /// In order of days.
    var days: [DayDrawn] = []
    var total: Money = .zero
    /// Set aside on the pool for his running calls.
    var held: Money = .zero
    var isChanged = false
    var isReplaced = false

    init(org: Name, user: Name) {
        self.org = org
        self.user = user
    }

    var isCarveOut: Bool { current?.allocation.mode == .carveOut }
    /// An allocation of 0 blocks the user's draw on the pool.
    var blocks: Bool { current?.allocation.credits == .zero }

    /// What was drawn in the allocation's period that `day` is in.
    func drawn(on day: Day) -> Money {
        guard let allocation = current?.allocation, let bounds = allocation.period.bounds(containing: day) else {
            return total
        }
        var sum = Money.zero
        // Late calls are rare: the days asked for are the last ones.
        for entry in days.reversed() {
            if entry.day < bounds.lowerBound { break }
            if entry.day < bounds.upperBound { sum += entry.amount }
        }
        return sum
    }

    /// What is left of the allocation in its period that `day` is in.
    func remaining(on day: Day) -> Money {
        guard let allocation = current?.allocation else { return .zero }
        return max(.zero, allocation.credits - drawn(on: day))
    }

    /// Whether two days are in one period of the allocation.
    func isSamePeriod(_ one: Day, _ other: Day) -> Bool {
        guard let bounds = current?.allocation.period.bounds(containing: one) else { return true }
        return bounds.contains(other)
    }

    mutating func add(_ nanos: Int64, on day: Day) {
        total += Money(nanos: nanos)
        var index = days.count
        while index > 0 && days[index - 1].day >= day { index -= 1 }
        if index < days.count && days[index].day == day {
            days[index].amount += Money(nanos: nanos)
        } else {
            days.insert(DayDrawn(day: day, amount: Money(nanos: nanos)), at: index)
        }
        days[index].isChanged = true
    }

    func status(at time: Timestamp) -> AllocationStatus? {
        guard let allocation = current?.allocation else { return nil }
        let end = allocation.period.bounds(containing: time.day)?.upperBound
        return AllocationStatus(
            allocation: allocation, drawn: drawn(on: time.day), remaining: remaining(on: time.day),
            resetsAt: end?.start)
    }
}
