public import SQLite

/// Why read models cannot be brought up at all.
public enum ProjectionError: Error, Sendable, CustomStringConvertible {
    /// The read model has seen more than the log holds: the log is an older copy, and would give its positions again.
    case logOlderThanReadModel(name: String, progress: UInt64, highWater: UInt64)
    /// The record at the read model's progress is another one than the read model folded.
    case otherLog(name: String, progress: UInt64)
    /// The log cannot be read where the read model ends.
    case log(name: String, reason: String)
    case sqlite(name: String, SQLiteError)

    public var description: String {
        switch self {
        case .logOlderThanReadModel(let name, let progress, let highWater):
            """
            read model \(name) is at position \(progress), but the log ends at \(highWater): the log is an older copy. \
            Restore the newest log; if this one is meant, delete the folder readmodels and start again
            """
        case .otherLog(let name, let progress):
            """
            read model \(name) was built from another log: record \(progress) differs. Restore the log that belongs to \
            it; if this one is meant, delete the folder readmodels and start again
            """
        case .log(let name, let reason):
            "read model \(name) cannot be compared with the log: \(reason)"
        case .sqlite(let name, let error):
            "read model \(name) cannot be opened: \(error)"
        }
    }
}
