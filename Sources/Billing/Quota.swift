/// Calls against a plan's limits (contract 3 and 5): pure arithmetic on counts that a projection or the writer keeps.
public enum Quota {
    /// Where one limit stands.
    public struct Status: Hashable, Sendable {
        public var limit: Plan.CallLimit
        public var used: Int64
        /// Never negative.
        public var remaining: Int64
        /// When the count starts afresh; nil for `ever`.
        public var resetsAt: Timestamp?

        public init(limit: Plan.CallLimit, used: Int64, remaining: Int64, resetsAt: Timestamp?) {
            self.limit = limit
            self.used = used
            self.remaining = remaining
            self.resetsAt = resetsAt
        }

        /// Whether one more call may run. Call number `limit` may, the next may not; a soft limit only reports.
        public var allowsOneMore: Bool { limit.enforce == .soft || remaining > 0 }
    }

    /// Whether a call counts against `plan`'s limits: it succeeded, or something was used; on the user's own provider
    /// key only where the plan counts those. `llm.usage` never does.
    public static func uses(_ call: Call, plan: Plan?) -> Bool {
        guard call.status == .success || call.hasUsage else { return false }
        return call.keySource == .platform || plan?.byokCountsCalls ?? true
    }

    /// The days `[start, end)` over which a limit counts the calls of `day`; nil for `ever`. Months start on the
    /// assignment's anchor day.
    public static func window(_ per: Plan.CallLimit.Per, containing day: Day, anchorDay: Int) -> Range<Day>? {
        switch per {
        case .day: Period.day.bounds(containing: day)
        case .month: Period.month.bounds(containing: day, anchorDay: anchorDay)
        case .ever: nil
        }
    }

    public static func status(_ limit: Plan.CallLimit, used: Int64, at time: Timestamp, anchorDay: Int) -> Status {
        Status(
            limit: limit, used: used, remaining: max(0, limit.limit - used),
            resetsAt: window(limit.per, containing: time.day, anchorDay: anchorDay)?.upperBound.start)
    }
}
