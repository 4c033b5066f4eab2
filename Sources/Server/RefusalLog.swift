/// When a line of the log is due that tells of requests without a key that opens: with the first, then at most once a
/// second, so that whoever tries keys fills no disk.
struct RefusalLog {
    static let nanosecondsBetween: UInt64 = 1_000_000_000

    private var nextAt: UInt64 = 0
    private var count = 0

    /// How many refusals the line to be written now stands for, this one counted; nil when it is too early for one.
    /// - Parameter now: the steady clock, nanoseconds.
    mutating func note(now: UInt64) -> Int? {
        count += 1
        guard now >= nextAt else { return nil }
        defer { count = 0 }
        nextAt = now + RefusalLog.nanosecondsBetween
        return count
    }
}
