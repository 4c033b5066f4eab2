internal import CLMDB
import Glibc
import Platform

/// What can go wrong with a log or an index. The description says what the operator should do.
public enum LogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another process, or another object of this one, has the folder open.
    case locked(folder: String)
    /// The folder holds something else, or nothing where a log was expected.
    case notALog(folder: String, reason: String)
    /// Written by a later version of the program.
    case newerFormat(folder: String, found: UInt64, known: UInt64)
    /// The data file has lost its end: reading it would kill the process (SIGBUS).
    case tooShort(folder: String, bytes: UInt64, needed: UInt64)
    /// The disk (`ENOSPC`, `EDQUOT`, `EFBIG`) or the map (`MDB_MAP_FULL`) is full. Nothing was changed; the log stays
    /// usable.
    case full(code: Int32)
    /// A commit or sync failed in a way that leaves unknown what is on disk. The process must end: after it LMDB would
    /// take the next commit as if nothing had been (reliability: after EIO the page cache may lie).
    case commitFailed(code: Int32, operation: String)
    /// Stored bytes are not what was written. `position`: the first record that is concerned.
    case corrupt(position: UInt64, reason: String)
    /// Any other error of LMDB.
    case lmdb(code: Int32, operation: String)
    /// An error of the file system around it.
    case file(operation: String, path: String, code: Int32)

    public var description: String {
        switch self {
        case .locked(let folder):
            "\(folder) is open already: one daemon a folder. Stop the other one, or use another data folder"
        case .notALog(let folder, let reason):
            "\(folder) is not an event log: \(reason). Check the path; restore the log from a snapshot if it is damaged"
        case .newerFormat(let folder, let found, let known):
            "\(folder) has format \(found), this program knows up to \(known): use the newer program"
        case .tooShort(let folder, let bytes, let needed):
            "\(folder)/data.mdb has \(bytes) bytes and needs \(needed): its end is lost. Restore it from a snapshot"
        case .full(let code):
            "the log is full (\(LogError.text(of: code))): nothing was stored. "
                + (code == MDB_MAP_FULL ? "Restart with a larger map" : "Make room on the disk")
        case .commitFailed(let code, let operation):
            "\(operation) failed (\(LogError.text(of: code))): what is on disk is unknown, so the process ends. "
                + "Check the disk, then start again: the start finds out"
        case .corrupt(let position, let reason):
            "the log is damaged at position \(position): \(reason). Keep the file; restore from a snapshot"
        case .lmdb(let code, let operation):
            "\(operation): \(LogError.text(of: code))"
        case .file(let operation, let path, let code):
            FileError(operation: operation, path: path, code: code).description
        }
    }

    init(_ error: FileError) {
        self = .file(operation: error.operation, path: error.path, code: error.code)
    }

    /// The error for an LMDB code outside of a commit.
    init(code: Int32, operation: String) {
        self = LogError.isFull(code) ? .full(code: code) : .lmdb(code: code, operation: operation)
    }

    /// Codes after which the same append can succeed later, once there is room.
    static func isFull(_ code: Int32) -> Bool {
        code == MDB_MAP_FULL || code == ENOSPC || code == EDQUOT || code == EFBIG
    }

    private static func text(of code: Int32) -> String {
        guard let text = mdb_strerror(code) else { return "code \(code)" }
        return "\(String(cString: text)) (code \(code))"
    }
}

/// Runs file operations, turning their errors into the log's.
func filing<Result>(_ body: () throws(FileError) -> Result) throws(LogError) -> Result {
    do throws(FileError) { return try body() } catch { throw LogError(error) }
}
