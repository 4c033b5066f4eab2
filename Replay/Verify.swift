import EventLog
import Glibc
import Hashing
import JSON
import Platform
import Projections
import Records

/// `verify`: every hash and position of the log, then everything folded again from position 1 and compared with the
/// read models as they are. Two threads share the work, evenly: one walks over the log, checks it and folds most read
/// models, the other folds the one that takes longest; whoever is done first reads the rows of the read models.
func verify(_ arguments: Arguments) throws -> Int32 {
    let folder = try DataFolder(try arguments.folder())
    let highWater = folder.log.highWater
    let report = Report(highWater: highWater)
    let most: [any Projection.Type] = [Lago.self, Tokens.self, Calls.self]
    let longest: [any Projection.Type] = [Credits.self, Alerts.self]
    precondition(most.count + longest.count == ReadModels.all.count, "a read model is not verified")
    let started = SteadyClock.nanoseconds()
    // The rows of this moment; the log ends there or after.
    let withLog = try ReadModelCheck.open(most, in: folder, report: report)
    let apart = try ReadModelCheck.open(longest, in: folder, report: report)
    var jobs: [@Sendable () -> Void] = [
        { refold(apart, in: folder, into: report) },
        { checkLog(folder, through: highWater, folding: withLog, into: report) },
    ]
    // The most rows first.
    for check in apart + withLog { jobs.append { check.readRows() } }
    run(jobs, meter: Meter("verify", total: highWater * UInt64(ReadModels.all.count + 1)), report: report)
    for check in apart + withLog { check.conclude(highWater: highWater, into: report) }
    let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
    report.print(json: arguments.json, milliseconds: milliseconds)
    return report.exitCode
}

/// Runs the jobs on two threads, in order, with one progress bar.
private func run(_ jobs: [@Sendable () -> Void], meter: Meter, report: Report) {
    let next = Lock(0)
    let running = Condition(2)
    let threads = (0..<2).map { number in
        Thread(name: "verify \(number)") {
            while true {
                let index = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard index < jobs.count else { break }
                jobs[index]()
            }
            running.signal { $0 -= 1 }
        }
    }
    var meter = meter
    while running.wait(milliseconds: 100, until: { $0 == 0 ? true : nil }) == nil {
        meter.reach(report.recordsDone)
    }
    _ = meter.end()
    for thread in threads { thread.join() }
}

/// What the checks found.
final class Report: Sendable {
    enum Outcome: Sendable {
        case holds(String)
        case differs(String)
        case couldNotRun(String)
    }

    struct Line: Sendable {
        var part: String
        var position: UInt64
        var digest: String
        var outcome: Outcome
    }

    let highWater: UInt64
    private let state = Lock((lines: [Line](), done: [String: UInt64]()))

    init(highWater: UInt64) {
        self.highWater = highWater
    }

    func add(_ part: String, position: UInt64, digest: String = "", _ outcome: Outcome) {
        state.withLock { state in
            state.lines.append(Line(part: part, position: position, digest: digest, outcome: outcome))
            state.done[part] = highWater
        }
    }

    func reach(_ part: String, _ position: UInt64) {
        state.withLock { $0.done[part] = position }
    }

    var recordsDone: UInt64 { state.withLock { $0.done.values.reduce(0, +) } }

    private var lines: [Line] {
        let order = ["log"] + ReadModels.all.map { $0.name }
        return state.withLock { $0.lines }.sorted { left, right in
            (order.firstIndex(of: left.part) ?? 0) < (order.firstIndex(of: right.part) ?? 0)
        }
    }

    /// 1 wins over 2: what does not hold is worse than what could not be looked at.
    var exitCode: Int32 {
        var code = ExitCode.holds
        for line in lines {
            switch line.outcome {
            case .holds: break
            case .differs: return ExitCode.differs
            case .couldNotRun: code = ExitCode.couldNotRun
            }
        }
        return code
    }

    func print(json: Bool, milliseconds: UInt64) {
        let perSecond = highWater * 1000 / milliseconds
        if json {
            var writer = JSONWriter()
            writer.beginObject()
            writer.member("holds", bool: exitCode == ExitCode.holds)
            writer.member("high_water", integer: highWater)
            writer.member("milliseconds", integer: milliseconds)
            writer.member("records_per_second", integer: perSecond)
            writer.key("parts")
            writer.beginArray()
            for line in lines {
                let (state, text) = line.outcome.parts
                writer.beginObject()
                writer.member("part", string: line.part)
                writer.member("state", string: state)
                writer.member("position", integer: line.position)
                if !line.digest.isEmpty { writer.member("digest", string: line.digest) }
                writer.member("detail", string: text)
                writer.endObject()
            }
            writer.endArray()
            writer.endObject()
            Swift.print(String(decoding: writer.bytes, as: UTF8.self))
            return
        }
        for line in lines {
            let (state, text) = line.outcome.parts
            let mark = state == "holds" ? "ok  " : state == "differs" ? "FAIL" : "??  "
            Swift.print("\(mark) \(line.part): \(text)")
            if !line.digest.isEmpty { Swift.print("       digest \(line.digest)") }
        }
        let verdict =
            switch exitCode {
            case ExitCode.holds: "holds: every number follows from \(highWater) records"
            case ExitCode.differs: "DOES NOT HOLD"
            default: "could not look at everything"
            }
        Swift.print("\(verdict) (\(milliseconds) ms, \(perSecond) records/s)")
    }
}

extension Report.Outcome {
    var parts: (state: String, text: String) {
        switch self {
        case .holds(let text): ("holds", text)
        case .differs(let text): ("differs", text)
        case .couldNotRun(let text): ("could_not_run", text)
        }
    }
}

/// Hashes, chain, gaps, and that every record is one that this version reads, in its place; in the same pass the read
/// models of `checks` are folded.
private func checkLog(
    _ folder: DataFolder, through highWater: UInt64, folding checks: [ReadModelCheck], into report: Report
) {
    let fold = ReadModelCheck.fold(checks, in: folder, highWater: highWater)
    var foldFault: (any Error)?
    var isWhole = false
    let decoder = RecordDecoder()
    do {
        let result = try folder.log.verify(
            through: highWater,
            progress: { reached in
                report.reach("log", reached)
                for check in checks { report.reach(check.name, reached) }
            },
            record: { position, bytes, _ in
                let record: Record
                do throws(RecordError) {
                    record = try decoder.decode(bytes)
                } catch {
                    throw LogError.corrupt(position: position, reason: "\(error)")
                }
                guard record.position == position else {
                    throw LogError.corrupt(position: position, reason: "it says it is \(record.position)")
                }
                guard foldFault == nil else { return }
                do { try fold.apply(record) } catch { foldFault = error }
            })
        isWhole = true
        report.add(
            "log", position: highWater, digest: result.lastHash.hex,
            .holds("\(highWater) records in \(result.frames) frames, every hash and the chain, no gap"))
    } catch let error as LogError {
        if case .corrupt(let position, _) = error {
            report.add("log", position: position, .differs("\(error)"))
        } else {
            report.add("log", position: 0, .couldNotRun("\(error)"))
        }
    } catch {
        report.add("log", position: 0, .couldNotRun("\(error)"))
    }
    if let foldFault {
        for check in checks { check.fail(foldFault) }
    } else if isWhole {
        // Beside a running daemon a read model may be past the high water that was taken first.
        ReadModelCheck.finish(fold, checks)
    } else {
        // A hash that is wrong says nothing of the records before it, nor always of those after it.
        refold(checks, in: folder, into: report)
    }
}

/// Folds the read models of `checks` by themselves.
private func refold(_ checks: [ReadModelCheck], in folder: DataFolder, into report: Report) {
    let highWater = report.highWater
    let fold = ReadModelCheck.fold(checks, in: folder, highWater: highWater)
    ReadModelCheck.finish(fold, checks) { reached in
        for check in checks { report.reach(check.name, min(reached, highWater)) }
    }
}

/// One read model: its file at the moment when the verification began, and what was found of it since.
private final class ReadModelCheck: Sendable {
    let name: String
    private let type: any Projection.Type
    /// Nil: there is no read model to compare with.
    private let file: ReadModelSnapshot?
    private let found = Lock(Found())

    private struct Found {
        var folded: Result<MultisetDigest, any Error>?
        var rows: Result<MultisetDigest, any Error>?
    }

    private init(_ type: any Projection.Type, file: ReadModelSnapshot?) {
        name = type.name
        self.type = type
        self.file = file
    }

    /// Those that can be compared; what is wrong with the others is reported.
    static func open(
        _ types: [any Projection.Type], in folder: DataFolder, report: Report
    ) throws -> [ReadModelCheck] {
        var checks: [ReadModelCheck] = []
        for type in types {
            do {
                checks.append(ReadModelCheck(type, file: try type.snapshot(in: folder.readModels)))
            } catch {
                report.add(type.name, position: 0, .couldNotRun("\(error)"))
            }
        }
        // Beside a running daemon a read model may be past the high water that was taken first.
        try folder.log.refresh()
        let end = folder.log.highWater
        return checks.filter { check in
            guard let position = check.file?.position, position > end else { return true }
            report.add(
                check.name, position: position,
                .differs(
                    "it has seen position \(position), but the log ends at \(end): the log lost its tail or is an "
                        + "older copy"))
            return false
        }
    }

    static func fold(_ checks: [ReadModelCheck], in folder: DataFolder, highWater: UInt64) -> Refold {
        Refold(checks.map { (type: $0.type, through: $0.file?.position ?? highWater) }, log: folder.source)
    }

    static func finish(
        _ fold: Refold, _ checks: [ReadModelCheck], progress: (UInt64) throws -> Void = { _ in }
    ) {
        do {
            for (check, digest) in zip(checks, try fold.finish(progress: progress)) {
                check.found.withLock { $0.folded = .success(digest) }
            }
        } catch {
            for check in checks { check.fail(error) }
        }
    }

    func fail(_ error: any Error) {
        found.withLock { $0.folded = .failure(error) }
    }

    func readRows() {
        guard let file else { return }
        let rows = Result { try file.digestOfRows() }
        found.withLock { $0.rows = rows }
    }

    /// Compares what the read model holds with what the log gives.
    func conclude(highWater: UInt64, into report: Report) {
        do {
            let found = found.withLock { $0 }
            guard let folded = try found.folded?.get() else { preconditionFailure("\(name) was not folded") }
            report.add(name, highWater: highWater, file, rows: try found.rows?.get(), folded: folded)
        } catch let fault as RecordFault {
            report.add(name, position: fault.position, .differs("\(fault)"))
        } catch LogError.corrupt(let position, let reason) {
            report.add(name, position: position, .differs("damaged at position \(position): \(reason)"))
        } catch {
            report.add(name, position: 0, .couldNotRun("\(error)"))
        }
    }
}

extension Report {
    /// - Parameter rows: what the rows of `file` say.
    fileprivate func add(
        _ name: String, highWater: UInt64, _ file: ReadModelSnapshot?, rows: MultisetDigest?, folded: MultisetDigest
    ) {
        let digest = folded.hex
        guard let file, let rows else {
            add(
                name, position: highWater, digest: digest,
                .holds("refolded to \(highWater); there is no read model to compare with"))
            return
        }
        let position = file.position
        if rows != folded {
            add(
                name, position: position, digest: digest,
                .differs("at position \(position) the rows are not what the log gives: digest \(rows.hex)"))
        } else if file.digest != folded {
            add(
                name, position: position, digest: digest,
                .differs("at position \(position) the rows are right, but the digest kept beside them is not"))
        } else {
            add(name, position: position, digest: digest, .holds("at position \(position), as refolded from the log"))
        }
    }
}
