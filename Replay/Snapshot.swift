import EventLog
import Hashing
import JSON
import Platform
import Projections
import Snapshots

/// `snapshot`: log and read models at one position, beside a running daemon.
func snapshot(_ arguments: Arguments) throws -> Int32 {
    guard let target = arguments["to"] else { throw Refusal(text: "where to? --to PATH, a folder or a .tar file") }
    let folder = try DataFolder(try arguments.folder())
    let origin = arguments["log-origin"] ?? Checkpoint.standardOrigin(logID: folder.log.id)
    guard Checkpoint.isOrigin(origin) else { throw Refusal(text: "--log-origin: \(origin) cannot be an origin") }
    let previous = try arguments["incremental"].map { try Snapshot($0) }
    let started = SteadyClock.nanoseconds()
    let meter = Lock<Meter?>(nil)
    let made = try blocking {
        try await SnapshotMaker(folder: folder.path, log: folder.log, origin: origin).make(
            target, after: previous, madeAt: WallClock.microseconds()
        ) { done, total in
            meter.withLock { meter in
                if meter == nil { meter = Meter("snapshot", total: total) }
                meter?.reach(done)
            }
        }
    }
    meter.withLock { _ = $0?.end() }
    let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
    let first = made.manifest.firstPosition
    if arguments.json {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("path", string: target)
        writer.member("kind", string: made.manifest.previous == nil ? "full" : "incremental")
        writer.member("first_position", integer: first)
        writer.member("position", integer: made.manifest.position)
        writer.member("bytes", integer: made.bytes)
        writer.member("manifest_sha256", string: made.manifestHash.hex)
        writer.member("checkpoint", string: made.checkpoint.text)
        writer.key("stopped")
        writer.beginArray()
        for one in made.stopped { writer.string(one) }
        writer.endArray()
        writer.member("milliseconds", integer: milliseconds)
        writer.endObject()
        print(String(decoding: writer.bytes, as: UTF8.self))
    } else {
        let what = made.manifest.previous == nil ? "log and read models" : "positions \(first) on"
        print("\(target): \(what) to position \(made.manifest.position), \(made.bytes) bytes in \(milliseconds) ms")
        print("manifest sha256 \(made.manifestHash.hex)")
        print(made.checkpoint.text, terminator: "")
        for one in made.stopped { print("note: the read model \(one)") }
    }
    return ExitCode.holds
}

/// `verify SNAPSHOT`: every byte of it, and of those before it.
func verify(snapshots paths: [String], _ arguments: Arguments) throws -> Int32 {
    let started = SteadyClock.nanoseconds()
    let report = SnapshotReport()
    _ = try check(paths, into: report)
    report.print(json: arguments.json, verdict: "the snapshot", since: started)
    return report.exitCode
}

/// `restore`: a data folder from snapshots, once they are known to hold.
func restore(_ arguments: Arguments) throws -> Int32 {
    guard let target = arguments.data else { throw Refusal(text: "where to? --data DIR, a new folder") }
    guard !arguments.folders.isEmpty else { throw Refusal(text: "which snapshot? restore PATH... --data DIR") }
    // Before the work of hours.
    if Folder.isFolder(target), try !Folder.list(target).isEmpty {
        throw Refusal(text: "\(target) has something in it: nothing is ever overwritten")
    }
    let started = SteadyClock.nanoseconds()
    let report = SnapshotReport()
    guard let (chain, log) = try check(arguments.folders, into: report), report.exitCode == ExitCode.holds else {
        report.print(json: arguments.json, verdict: "nothing was restored: the snapshot", since: started)
        return report.exitCode
    }
    let meter = Lock(Meter("restore", total: chain.position))
    let statuses = try blocking {
        try await SnapshotRestore(chain).restore(to: target, log: log) { reached in
            meter.withLock { $0.reach(reached) }
        }
    }
    meter.withLock { _ = $0.end() }
    for status in statuses where status.progress < chain.position {
        report.add(status.name, position: status.progress, "it stopped there: start the daemon to see why")
    }
    report.print(json: arguments.json, verdict: "restored into \(target): it", since: started)
    return ExitCode.holds
}

/// Whether this is a snapshot, or what is left of one, and no data folder: a file, or a folder without a log of LMDB.
func isSnapshot(_ path: String) -> Bool {
    switch try? File.kind(path) {
    case .file: true
    case .folder: ["json", "sha256"].contains { File.exists("\(path)/manifest.\($0)") }
    default: false
    }
}

/// Nil when it does not hold, as reported.
private func check(_ paths: [String], into report: SnapshotReport) throws -> (SnapshotChain, SnapshotLog)? {
    var part = "manifest"
    do {
        let chain = try SnapshotChain(paths)
        report.position = chain.position
        let check = SnapshotCheck(chain)
        part = "files"
        var meter = Meter("files", total: UInt64(check.bytes))
        let files = try check.files { meter.reach(UInt64($0)) }
        _ = meter.end()
        report.add(
            part, position: chain.position,
            holds: "\(files) files in \(chain.snapshots.count) snapshot(s) are those of their manifests")
        part = "log"
        var walk = Meter("log", total: chain.position)
        let (log, frames) = try check.log(progress: { walk.reach($0) })
        _ = walk.end()
        report.add(
            part, position: chain.position,
            holds: "\(chain.position) records in \(frames) frames, every hash, the chain and the checkpoint, no gap")
        part = "readmodels"
        var fold = Meter("read models", total: chain.position)
        for model in try check.readModels(log, progress: { fold.reach($0) }) {
            if let fault = model.fault {
                report.add(model.name, position: model.position, "\(model.snapshot) at \(model.position): \(fault)")
            } else if let digest = model.digest {
                report.add(
                    model.name, position: model.position, digest: digest.hex,
                    holds: "at position \(model.position), as folded from the log")
            } else {
                report.add(
                    model.name, position: model.position,
                    holds: "of another version of this program: not compared, the daemon makes it anew")
            }
        }
        _ = fold.end()
        return (chain, log)
    } catch SnapshotError.differs(let place, let reason) {
        report.add(part, position: 0, "\(place): \(reason)")
    } catch LogError.corrupt(let position, let reason) {
        report.add(part, position: position, "damaged at position \(position): \(reason)")
    } catch let fault as RecordFault {
        report.add(part, position: fault.position, "\(fault)")
    }
    return nil
}

/// What was found of snapshots, part by part.
private final class SnapshotReport {
    private struct Line {
        var part: String
        var position: UInt64
        var digest: String
        var holds: Bool
        var text: String
    }

    var position: UInt64 = 0
    private var lines: [Line] = []

    func add(_ part: String, position: UInt64, digest: String = "", holds text: String) {
        lines.append(Line(part: part, position: position, digest: digest, holds: true, text: text))
    }

    /// What does not hold.
    func add(_ part: String, position: UInt64, _ text: String) {
        lines.append(Line(part: part, position: position, digest: "", holds: false, text: text))
    }

    var exitCode: Int32 { lines.allSatisfy(\.holds) ? ExitCode.holds : ExitCode.differs }

    func print(json: Bool, verdict: String, since started: UInt64) {
        let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
        let holds = exitCode == ExitCode.holds
        guard json else {
            for line in lines {
                Swift.print("\(line.holds ? "ok  " : "FAIL") \(line.part): \(line.text)")
                if !line.digest.isEmpty { Swift.print("       digest \(line.digest)") }
            }
            Swift.print("\(verdict) \(holds ? "holds" : "DOES NOT HOLD") (\(milliseconds) ms)")
            return
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("holds", bool: holds)
        writer.member("position", integer: position)
        writer.member("milliseconds", integer: milliseconds)
        writer.key("parts")
        writer.beginArray()
        for line in lines {
            writer.beginObject()
            writer.member("part", string: line.part)
            writer.member("state", string: line.holds ? "holds" : "differs")
            writer.member("position", integer: line.position)
            if !line.digest.isEmpty { writer.member("digest", string: line.digest) }
            writer.member("detail", string: line.text)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        Swift.print(String(decoding: writer.bytes, as: UTF8.self))
    }
}
