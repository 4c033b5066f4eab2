import Billing
import Engine
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Projections
import Records

/// What became of events that were handed over.
struct Posted {
    var stored: UInt64 = 0
    var duplicates: UInt64 = 0
    var refused: UInt64 = 0
    /// The first one, for a person.
    var refusal: String?

    mutating func add(_ other: Posted) {
        stored += other.stored
        duplicates += other.duplicates
        refused += other.refused
        refusal = refusal ?? other.refusal
    }
}

/// A way into the log for events that a verb writes. Each call gives the verdicts of all; what was given is durable.
protocol EventDoor {
    func post(_ events: [Event]) throws -> Posted
    func close() throws
}

/// Where a verb reads, and by which door it writes: the folder itself when no daemon has it, a daemon at `--url`, or a
/// file for `curl`.
struct Place {
    let log: EventLog
    private let make: () throws -> any EventDoor

    init(_ arguments: Arguments, isWriting: Bool) throws {
        let path = try arguments.folder()
        for option in ["events", "url", "key"] where !isWriting && arguments[option] != nil {
            throw Refusal(text: "--\(option) says how to write: --apply or --revert")
        }
        if let file = arguments["events"] {
            guard arguments["url"] == nil else { throw Refusal(text: "--events or --url, not both") }
            log = try DataFolder(path).log
            make = { try FileDoor(file) }
        } else if let url = arguments["url"] {
            log = try DataFolder(path).log
            guard let key = arguments["key"] ?? getenv("TALLYSTICK_KEY").map({ String(cString: $0) }) else {
                throw Refusal(text: "--url needs a key of scope admin: --key KEY, or TALLYSTICK_KEY")
            }
            make = { try HTTPDoor(url, key: key) }
        } else if isWriting {
            guard Folder.isFolder(path + "/log") else {
                throw Refusal(text: "\(path) is no data folder: it has no log/")
            }
            guard let lock = try FolderLock(folder: path) else {
                throw Refusal(
                    text: "a daemon has \(path) open: write through it with --url URL --key KEY, or to a file with "
                        + "--events FILE")
            }
            let log = try EventLog.open(folder: path + "/log", mode: .readWrite)
            self.log = log
            make = { try FolderDoor(path, log: log, lock: lock) }
        } else {
            log = try DataFolder(path).log
            make = { preconditionFailure("a verb that does not write opened its door") }
        }
    }

    func door() throws -> any EventDoor { try make() }
}

/// The folder itself: the single writer, started here. It leaves to the daemon what time alone brings.
private final class FolderDoor: EventDoor {
    private let path: String
    private let log: EventLog
    private let lock: FolderLock
    private let index: KeyIndex
    private let writer: LogWriter

    init(_ path: String, log: EventLog, lock: FolderLock) throws {
        self.path = path
        self.log = log
        self.lock = lock
        index = try KeyIndex.open(folder: path + "/index", logID: log.id)
        writer = try LogWriter(log: log, index: index, keepsTime: false) { reason in
            Console.error("tallystick-replay: \(reason). What was stored before stays; run it again\n")
            _exit(ExitCode.couldNotRun)
        }
        writer.start()
    }

    func post(_ events: [Event]) throws -> Posted {
        var submission = Submission(door: .native, key: nil, reservingEvents: events.count)
        for event in events { submission.add(event) }
        let answer = Condition<Result<Receipt, SubmitError>?>(nil)
        try writer.submit(submission) { result in answer.signal { $0 = result } }
        var posted = Posted()
        guard let receipt = try answer.wait(until: { $0 })?.get() else { preconditionFailure("waited without an end") }
        for (event, verdict) in zip(events, receipt.verdicts) {
            switch verdict {
            case .stored: posted.stored += 1
            case .duplicate: posted.duplicates += 1
            case .conflict(let position):
                posted.refused += 1
                posted.refusal = posted.refusal ?? "\(event.id): position \(position) has this id and says otherwise"
            case .rejected(let rejection):
                posted.refused += 1
                posted.refusal = posted.refusal ?? "\(event.id): \(rejection.code): \(rejection.detail)"
            }
        }
        return posted
    }

    func close() throws {
        writer.stop()
        try index.close()
        // A folder at rest is level, as a daemon leaves it: what reads it next finds what was written.
        let readModels = path + "/readmodels"
        if Folder.isFolder(readModels) {
            let source = EventLogSource(log)
            _ = try blocking { try await ReadModels.catchUp(folder: readModels, source: source) }
        }
        withExtendedLifetime(lock) {}
    }
}

/// A file of NDJSON, to be posted in order: `split -l 2000 FILE part. && for f in part.*; do curl ... --data-binary
/// @$f; done`.
private final class FileDoor: EventDoor {
    private let path: String
    private let file: Int32

    init(_ path: String) throws {
        self.path = path
        file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Refusal(text: "\(path): \(String(cString: strerror(errno)))") }
    }

    func post(_ events: [Event]) throws -> Posted {
        var writer = JSONWriter(reservingCapacity: 512 * events.count)
        var lines: [UInt8] = []
        for event in events {
            writer.removeAll()
            NativeFormat.write(event, into: &writer)
            lines += writer.bytes
            lines.append(0x0A)
        }
        guard Console.write(lines, to: file) else {
            throw Refusal(text: "\(path): \(String(cString: strerror(errno)))")
        }
        return Posted(stored: UInt64(events.count))
    }

    func close() throws {
        guard fsync(file) == 0, Glibc.close(file) == 0 else {
            throw Refusal(text: "\(path): \(String(cString: strerror(errno)))")
        }
    }
}
