import EventLog
import Glibc
import JSON
import Platform
import Projections

/// `rebuild`: deletes the read models and folds them again. The daemon must not run: it owns their files.
func rebuild(_ arguments: Arguments) throws -> Int32 {
    let path = try arguments.folder()
    let folder = try DataFolder(path)
    guard let lock = try FolderLock(folder: path) else {
        throw Refusal(text: "a daemon has \(path) open: stop it, then rebuild")
    }
    defer { withExtendedLifetime(lock) {} }
    let started = SteadyClock.nanoseconds()
    if Folder.isFolder(folder.readModels) { try Folder.remove(folder.readModels) }
    try Folder.make(folder.readModels)
    let highWater = folder.log.highWater
    let statuses = try blocking {
        try await ReadModels.catchUp(folder: folder.readModels, source: folder.source)
    }
    let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
    var code = ExitCode.holds
    if arguments.json {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("high_water", integer: highWater)
        writer.member("milliseconds", integer: milliseconds)
        writer.key("projections")
        writer.beginArray()
        for status in statuses {
            writer.beginObject()
            writer.member("name", string: status.name)
            writer.member("progress", integer: status.progress)
            writer.member("digest", string: status.digest)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        print(String(decoding: writer.bytes, as: UTF8.self))
    }
    for status in statuses {
        if status.progress < highWater { code = ExitCode.differs }
        guard !arguments.json else { continue }
        switch status.state {
        case .stopped(let reason): print("FAIL \(status.name): \(reason)")
        default: print("ok   \(status.name): at position \(status.progress)\n       digest \(status.digest)")
        }
    }
    if !arguments.json { print("rebuilt from \(highWater) records in \(milliseconds) ms") }
    return code
}
