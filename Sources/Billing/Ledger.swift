/// Who owns which credits: lots, allocations, and what was drawn of them.
public struct Ledger: Sendable {
    public init() {}

    /// Lots of which something is left and whose end is at or before `time`, in order of (end, id): what the daemon
    /// records as expired.
    public func lotsEnding(through time: Timestamp) -> [LotExpired] { [] }
}
