/// Why a snapshot was not made, does not hold or was not restored.
public enum SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is not what was written: `part` is the file, or what of the log.
    case differs(part: String, reason: String)
    /// Nothing is known to be wrong with it, but this cannot be done.
    case refused(String)

    public var description: String {
        switch self {
        case .differs(let part, let reason): "\(part): \(reason)"
        case .refused(let reason): reason
        }
    }
}
