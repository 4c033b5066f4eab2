import EventLog
import JSON
import Platform
import Projections

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

    /// The parts that read every record, for the progress bar.
    static let walks = ["log", "index"] + ReadModels.all.map { $0.name }

    private struct State {
        var highWater: UInt64 = 0
        var lines: [Line] = []
        var done: [String: UInt64] = [:]
    }

    private let state = Lock(State())

    /// Where the log ended when the verification began; 0 before it was opened.
    var highWater: UInt64 {
        get { state.withLock { $0.highWater } }
        set { state.withLock { $0.highWater = newValue } }
    }

    func add(_ part: String, position: UInt64, digest: String = "", _ outcome: Outcome) {
        state.withLock { state in
            state.lines.append(Line(part: part, position: position, digest: digest, outcome: outcome))
            if Report.walks.contains(part) { state.done[part] = state.highWater }
        }
    }

    /// What ended a check before it was through.
    func add(_ part: String, _ error: any Error) {
        switch error as? LogError {
        case .corrupt(let position, let reason)?:
            let place = position > 0 ? "damaged at position \(position): " : ""
            add(part, position: position, .differs(place + reason))
        case .tooShort?: add(part, position: 0, .differs("\(error)"))
        case .notALog? where part == "index": add(part, position: 0, .differs("\(error)"))
        default: add(part, position: 0, .couldNotRun("\(error)"))
        }
    }

    func reach(_ part: String, _ position: UInt64) {
        state.withLock { $0.done[part] = position }
    }

    var recordsDone: UInt64 { state.withLock { $0.done.values.reduce(0, +) } }

    private var lines: [Line] {
        let order = ["pages", "log", "tiles", "checkpoint", "index"] + ReadModels.all.map { $0.name }
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
