import EventLog
import Glibc
import Hashing
import JSON
import Platform
import Projections
import Records

/// `diff`: the first record in which two logs differ, and whether their read models say the same.
func diff(_ rest: [String]) throws -> Int32 {
    let arguments = try Arguments(rest, options: ["org", "user"], pairs: ["between"])
    if let ends = arguments.pair("between") { return try diffBetween(arguments, ends) }
    var folders = arguments.folders
    if let data = arguments.data { folders.insert(data, at: 0) }
    guard folders.count == 2 else { throw Refusal(text: "diff takes two data folders") }
    let left = try DataFolder(folders[0])
    let right = try DataFolder(folders[1])
    var findings: [String] = []
    if let position = try firstDifference(left.log, right.log) {
        findings.append("the records differ from position \(position) on")
    } else if left.log.highWater != right.log.highWater {
        findings.append(
            "\(folders[0]) ends at position \(left.log.highWater), \(folders[1]) at \(right.log.highWater); "
                + "up to the shorter end they are the same")
    }
    for projection in ReadModels.all {
        guard let one = try projection.stored(in: left.readModels),
            let other = try projection.stored(in: right.readModels)
        else { continue }
        if one.position == other.position && one.digestOfRows != other.digestOfRows {
            findings.append("the read model \(projection.name) differs at position \(one.position)")
        }
    }
    if arguments.json {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("same", bool: findings.isEmpty)
        writer.key("findings")
        writer.beginArray()
        for finding in findings { writer.string(finding) }
        writer.endArray()
        writer.endObject()
        print(String(decoding: writer.bytes, as: UTF8.self))
    } else {
        print(findings.isEmpty ? "the same: \(left.log.highWater) records" : findings.joined(separator: "\n"))
    }
    return findings.isEmpty ? ExitCode.holds : ExitCode.differs
}

/// By record hash, in chunks; nil when one log is the beginning of the other.
private func firstDifference(_ left: EventLog, _ right: EventLog) throws -> UInt64? {
    let end = min(left.highWater, right.highWater)
    var after: UInt64 = 0
    while after < end {
        let ours = try hashes(left, after: after)
        let theirs = try hashes(right, after: after)
        let count = min(ours.count, theirs.count)
        for index in 0..<count where ours[index] != theirs[index] { return after + UInt64(index) + 1 }
        guard count > 0 else { throw LogError.corrupt(position: after + 1, reason: "the log ends before it") }
        after += UInt64(count)
    }
    return nil
}

private func hashes(_ log: EventLog, after: UInt64) throws -> [Digest] {
    var hashes: [Digest] = []
    _ = try log.read(after: after, recordsMax: 10_000, bytesMax: 8 << 20) { _, bytes in
        hashes.append(RecordCodec.hash(bytes))
    }
    return hashes
}
