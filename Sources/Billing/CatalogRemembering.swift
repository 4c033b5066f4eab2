extension Catalog {
    /// As `rate`, and remembers the rule it found: what a fold of many calls uses, since a list may have 20,000 rules.
    public mutating func rateRemembering(
        _ call: Call, at time: Timestamp, countsCall: Bool = true
    ) throws(Rejection) -> Rating {
        let plan = governing(call, at: time).flatMap { definition($0.assignment.plan, at: time)?.plan }
        return try rateRemembering(call, at: time, plan: plan, countsCall: countsCall)
    }
}
