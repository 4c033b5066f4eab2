/// What the writer has done since it started, for `/metrics`. Counters only grow.
public struct WriterStatistics: Sendable {
    /// Upper bounds of the commit time histogram, in microseconds; the last bucket has none.
    public static let commitBoundsMicroseconds: [UInt64] = [
        250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    ]

    public var stored: UInt64 = 0
    public var duplicates: UInt64 = 0
    public var conflicts: UInt64 = 0
    public var rejected: UInt64 = 0
    public var overloaded: UInt64 = 0
    public var full: UInt64 = 0
    public var commits: UInt64 = 0
    public var recordBytes: UInt64 = 0
    public var commitMicroseconds: UInt64 = 0
    public var commitBuckets = [UInt64](repeating: 0, count: commitBoundsMicroseconds.count + 1)
    /// Not counters: as of now.
    public var pendingBytes = 0
    public var pendingSubmissions = 0
    public var isFull = false
    /// Events of the daemon's own that are due and not taken: the code by the type.
    public var ownRefused: [String: String] = [:]
    /// Records of clients, from before the daemon's keys were its alone, under ids of its own events: those that were
    /// met, the first `foreignMax`.
    public var foreign: Set<UInt64> = []
    static let foreignMax = 1000

    mutating func count(_ verdicts: [Verdict]) {
        for verdict in verdicts {
            switch verdict {
            case .stored: stored += 1
            case .duplicate: duplicates += 1
            case .conflict: conflicts += 1
            case .rejected: rejected += 1
            }
        }
    }

    mutating func countCommit(microseconds: UInt64, bytes: Int) {
        commits += 1
        recordBytes += UInt64(bytes)
        commitMicroseconds += microseconds
        let bucket =
            WriterStatistics.commitBoundsMicroseconds.firstIndex { microseconds <= $0 }
            ?? WriterStatistics.commitBoundsMicroseconds.count
        commitBuckets[bucket] += 1
    }
}
