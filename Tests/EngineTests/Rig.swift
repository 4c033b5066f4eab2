public import Billing
import EventLog
import Platform
import Records

@testable import Engine

/// A log, its index and a writer in a temporary folder, with a clock that a test sets.
final class Rig: @unchecked Sendable {
    let folder: String
    let time: Lock<Int64>
    private(set) var log: EventLog
    private(set) var index: KeyIndex
    private(set) var writer: LogWriter
    private let limits: WriterLimits
    private let mapBytes: Int
    private let onFatal: @Sendable (String) -> Never

    /// Keys in memory before they go to disk.
    static let memtableMax = 64

    /// 2026-11-22T08:00:00Z.
    static let noon: Int64 = 1_795_334_400_000_000

    init(
        mapBytes: Int = 1 << 30, limits: WriterLimits = Rig.limits,
        onFatal: @escaping @Sendable (String) -> Never = { fatalError($0) }
    ) throws {
        folder = try Folder.makeTemporary(prefix: "engine-test")
        time = Lock(Rig.noon)
        self.limits = limits
        self.mapBytes = mapBytes
        self.onFatal = onFatal
        (log, index, writer) = try Rig.open(folder, time, limits, mapBytes, onFatal)
        writer.start()
    }

    deinit {
        writer.stop()
        try? index.close()
        try? Folder.remove(folder)
    }

    /// A tick long enough that a test decides itself when time passes.
    static var limits: WriterLimits {
        var limits = WriterLimits()
        limits.tickMilliseconds = 20
        return limits
    }

    private static func open(
        _ folder: String, _ time: Lock<Int64>, _ limits: WriterLimits, _ mapBytes: Int,
        _ onFatal: @escaping @Sendable (String) -> Never
    ) throws -> (EventLog, KeyIndex, LogWriter) {
        let log = try EventLog.open(folder: folder + "/log", mode: .readWrite, mapBytes: mapBytes, prezeroBytes: 0)
        let index = try KeyIndex.open(folder: folder + "/index", logID: log.id, memtableMax: memtableMax)
        let writer = try LogWriter(
            log: log, index: index, limits: limits, clock: { time.withLock { $0 } },
            onFatal: onFatal)
        return (log, index, writer)
    }

    /// As after a stop and a start of the daemon.
    func restart() throws {
        writer.stop()
        try index.close()
        (log, index, writer) = try reopened()
        writer.start()
    }

    private func reopened() throws -> (EventLog, KeyIndex, LogWriter) {
        // The folder is locked until the old objects are gone.
        let placeholder = try Folder.makeTemporary(prefix: "engine-gap")
        (log, index, writer) = try Rig.open(placeholder, time, limits, 1 << 24, onFatal)
        try? Folder.remove(placeholder)
        return try Rig.open(folder, time, limits, mapBytes, onFatal)
    }

    func submit(_ submission: Submission) -> Result<Receipt, SubmitError> {
        let done = Condition<Result<Receipt, SubmitError>?>(nil)
        do {
            try writer.submit(submission) { result in done.signal { $0 = result } }
        } catch {
            return .failure(error)
        }
        return done.wait { $0 } ?? .failure(.stopping)
    }

    /// The verdicts of events posted together by the native door.
    func post(_ events: [Event], confinedTo org: Name? = nil) throws -> [Verdict] {
        var submission = Submission(door: .native, key: "test", confinedTo: org, reservingEvents: events.count)
        for event in events { submission.add(event) }
        return try submit(submission).get().verdicts
    }

    func records() throws -> [Record] {
        var records: [Record] = []
        var after: UInt64 = 0
        while after < log.highWater {
            after = try log.read(after: after, recordsMax: 1000, bytesMax: 1 << 20) { _, bytes in
                records.append(try RecordCodec.decode(bytes))
            }
        }
        return records
    }
}

extension Name: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { self.init(checked: text) }
}

func call(
    _ id: Name, org: Name? = "acme", user: Name? = nil, subscription: Name? = nil, source: Name = "gateway",
    time: Timestamp? = nil, tokens: Int64 = 10
) -> Event {
    Event(
        source: source, id: id, time: time,
        fact: .call(
            Call(
                org: org, user: user, subscription: subscription, provider: "openai", model: "gpt-4o",
                operation: .chat, status: .success, usage: Usage(inputTokens: tokens, outputTokens: 5))))
}

extension Verdict {
    /// "stored 1", "duplicate 1", "conflict 1", "rejected time_in_future".
    var summary: String {
        switch self {
        case .stored(let position, _): "stored \(position)"
        case .duplicate(let position): "duplicate \(position)"
        case .conflict(let position): "conflict \(position)"
        case .rejected(let rejection): "rejected \(rejection.code)"
        }
    }
}
