import EventLog
import Glibc
import Hashing
import JSON
import Platform
import Projections
import Records

/// `verify`: every hash and position of the log, then everything folded again from position 1 and compared with the
/// read models as they are. Two threads share the work; each piece is one scan of the log.
func verify(_ arguments: Arguments) throws -> Int32 {
    let folder = try DataFolder(try arguments.folder())
    let highWater = folder.log.highWater
    let report = Report(highWater: highWater)
    // Folded together, projections share one decoding of the log; apart, they share the two threads.
    let groups: [[any Projection.Type]] = [[Credits.self], [Calls.self, Tokens.self], [Lago.self], [Alerts.self]]
    precondition(groups.joined().count == ReadModels.all.count, "a read model is not verified")
    var jobs: [@Sendable () -> Void] = groups.map { group in
        { checkReadModels(group, in: folder, through: highWater, into: report) }
    }
    jobs.append { checkLog(folder, through: highWater, into: report) }
    let started = SteadyClock.nanoseconds()
    run(jobs, meter: Meter("verify", total: highWater * UInt64(ReadModels.all.count + 1)), report: report)
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

/// Hashes, chain, gaps, and that every record is one that this version reads, in its place.
private func checkLog(_ folder: DataFolder, through highWater: UInt64, into report: Report) {
    do {
        let result = try folder.log.verify(
            through: highWater, progress: { report.reach("log", $0) },
            record: { position, bytes, _ in
                do {
                    let record = try RecordCodec.decode(bytes)
                    guard record.position == position else {
                        throw LogError.corrupt(position: position, reason: "it says it is \(record.position)")
                    }
                } catch let error as RecordError {
                    throw LogError.corrupt(position: position, reason: "\(error)")
                }
            })
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
}

/// Folds the log again to where each read model is, all of them in one pass, and compares the rows.
private func checkReadModels(
    _ types: [any Projection.Type], in folder: DataFolder, through highWater: UInt64, into report: Report
) {
    var stored: [(type: any Projection.Type, model: StoredReadModel?)] = []
    for type in types {
        do {
            stored.append((type, try type.stored(in: folder.readModels)))
        } catch {
            report.add(type.name, position: 0, .couldNotRun("\(error)"))
        }
    }
    do {
        // Beside a running daemon a read model may be past the high water that was taken first.
        try folder.log.refresh()
        let end = folder.log.highWater
        for (type, model) in stored {
            guard let position = model?.position, position > end else { continue }
            report.add(
                type.name, position: position,
                .differs(
                    "it has seen position \(position), but the log ends at \(end): the log lost its tail or is an "
                        + "older copy"))
        }
        stored.removeAll { ($0.model?.position ?? 0) > end }
        let digests = try Refold.run(
            stored.map { (type: $0.type, through: $0.model?.position ?? highWater) }, log: folder.source
        ) { reached in
            for (type, _) in stored { report.reach(type.name, min(reached, highWater)) }
        }
        for ((type, model), folded) in zip(stored, digests) {
            report.add(type.name, model, folded, highWater: highWater)
        }
    } catch {
        for (type, _) in stored {
            switch error {
            case let fault as RecordFault:
                report.add(type.name, position: fault.position, .differs("\(fault)"))
            case LogError.corrupt(let position, let reason):
                report.add(type.name, position: position, .differs("damaged at position \(position): \(reason)"))
            default:
                report.add(type.name, position: 0, .couldNotRun("\(error)"))
            }
        }
    }
}

extension Report {
    /// Compares what a read model holds with what the log gives.
    fileprivate func add(_ name: String, _ model: StoredReadModel?, _ folded: MultisetDigest, highWater: UInt64) {
        let digest = folded.hex
        guard let model else {
            add(
                name, position: highWater, digest: digest,
                .holds("refolded to \(highWater); there is no read model to compare with"))
            return
        }
        let position = model.position
        if model.digestOfRows != folded {
            add(
                name, position: position, digest: digest,
                .differs(
                    "at position \(position) the rows are not what the log gives: digest \(model.digestOfRows.hex)"))
        } else if model.digest != folded {
            add(
                name, position: position, digest: digest,
                .differs("at position \(position) the rows are right, but the digest kept beside them is not"))
        } else {
            add(name, position: position, digest: digest, .holds("at position \(position), as refolded from the log"))
        }
    }
}
