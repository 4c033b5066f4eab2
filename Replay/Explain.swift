import Billing
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Projections

/// `explain`: a number taken apart down to the records it is made of, from the log alone; and whether the parts add up.
func explain(_ rest: [String]) throws -> Int32 {
    let arguments = try Arguments(
        rest, options: ["position", "lago-line", "org", "user", "known", "period", "from", "to", "group-by"],
        flags: ["balance", "calls", "tokens"])
    let what =
        ["position", "lago-line"].filter { arguments[$0] != nil }
        + ["balance", "calls", "tokens"].filter { arguments.has($0) }
    guard what.count == 1 else {
        throw Refusal(text: "explain what? One of --position N, --balance, --calls, --tokens, --lago-line ID")
    }
    let folder = try DataFolder(try arguments.folder())
    let moment = try folder.moment(arguments["known"], "known")
    let known = moment.position
    if let position = try arguments.integer("position", in: 1...UInt64(Int64.max)) {
        return try explainRecord(at: position, in: folder, known: known, json: arguments.json)
    }
    if let line = arguments["lago-line"] { return try explainLagoLine(line, in: folder, json: arguments.json) }
    if arguments.has("balance") {
        return try explainBalance(
            of: try arguments.neededOwner(), in: folder, known: moment, json: arguments.json)
    }
    let isCalls = arguments.has("calls")
    let owner = isCalls ? try arguments.neededOwner() : try arguments.owner()
    return try explainUsage(arguments, calls: isCalls, of: owner, in: folder, known: moment)
}

private func explainRecord(at position: UInt64, in folder: DataFolder, known: UInt64, json: Bool) throws -> Int32 {
    var meter = Meter("explain", total: known)
    let found = try Explanation.refolded(at: position, in: folder.source, known: known) { meter.reach($0) }
    _ = meter.end()
    guard let explanation = found else { throw Refusal(text: "the log is known to position \(known)") }
    if json {
        var writer = JSONWriter()
        ExplanationFormat.write(explanation, into: &writer)
        print(writer.text)
    } else {
        print(ExplanationText.lines(explanation).joined(separator: "\n"))
    }
    return explanation.fault == nil ? ExitCode.holds : ExitCode.differs
}
