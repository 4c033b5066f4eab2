public import Billing

/// How far one projector is, and whether it moves.
public struct ProjectorStatus: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        /// Working through records that were there before, or not yet started.
        case catchingUp
        /// Has been where the log ended when it looked: a new record is visible at once, or within the pace of flushes.
        case live
        /// Does not move: the reason, with the position where it has one. The others go on.
        case stopped(String)

        var isStopped: Bool {
            if case .stopped = self { true } else { false }
        }

        public var name: String {
            switch self {
            case .catchingUp: "catching_up"
            case .live: "live"
            case .stopped: "stopped"
            }
        }
    }

    public var name: String
    /// The last position folded and visible.
    public var progress: UInt64
    /// Of the log, when the status was asked for.
    public var highWater: UInt64
    public var state: State
    /// Of the rows at `progress`, 64 hexadecimal digits.
    public var digest: String
    /// When the daemon stored the record at `progress`; nil at 0.
    public var recordedAt: Timestamp?
    /// Transactions since the start.
    public var flushes: UInt64

    public var lag: UInt64 { highWater - min(progress, highWater) }
}
