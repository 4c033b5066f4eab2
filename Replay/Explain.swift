import Billing
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Projections

/// `explain`: a number taken apart down to the records it is made of, from the log alone; and whether the parts add up.
func explain(_ rest: [String]) throws -> Int32 {
    let arguments = try Arguments(rest, options: ["--position": 1])
    let folder = try DataFolder(try arguments.folder())
    guard let position = try arguments.position("--position") else {
        throw Refusal(text: "explain what? --position N")
    }
    return try explainRecord(at: position, in: folder, json: arguments.json)
}

private func explainRecord(at position: UInt64, in folder: DataFolder, json: Bool) throws -> Int32 {
    let highWater = folder.log.highWater
    var meter = Meter("explain", total: highWater)
    let found = try Explanation.refolded(at: position, in: folder.source, known: highWater) { meter.reach($0) }
    _ = meter.end()
    guard let explanation = found else {
        throw Refusal(text: "the log ends at position \(highWater)")
    }
    if json {
        var writer = JSONWriter()
        ExplanationFormat.write(explanation, into: &writer)
        print(writer.text)
    } else {
        print(ExplanationText.lines(explanation).joined(separator: "\n"))
    }
    return explanation.fault == nil ? ExitCode.holds : ExitCode.differs
}
