import Billing
import EventLog
import Formats
import Glibc
import Hashing
import Platform
import Records

/// `import`: an export from standard input into a new data folder. Each record must come out with the hash that the
/// export names, so that the copy is the original record for record, or nothing.
func importRecords(_ arguments: Arguments) throws -> Int32 {
    let path = try arguments.folder()
    try Folder.make(path)
    guard let lock = try FolderLock(folder: path) else { throw Refusal(text: "a daemon has \(path) open") }
    defer { withExtendedLifetime(lock) {} }
    let log = try EventLog.open(folder: path + "/log", mode: .readWrite)
    guard log.highWater == 0 else {
        throw Refusal(text: "\(path) holds \(log.highWater) records already: import makes a new folder")
    }
    var frame = ImportFrame()
    var position: UInt64 = 0
    while let line = readLine(strippingNewline: true) {
        guard !line.utf8.isEmpty else { continue }
        position += 1
        let stored: StoredEvent
        do {
            stored = try StoredEvent.parse(Array(line.utf8))
        } catch {
            throw Refusal(text: "line \(position) is not a record of an export: \(error)")
        }
        guard stored.record.position == position else {
            throw Refusal(text: "line \(position) has position \(stored.record.position): an export is whole")
        }
        if frame.isFull || frame.recordedAt != stored.record.recordedAt.microseconds { try frame.append(to: log) }
        guard frame.add(stored.record) == stored.hash else {
            Console.error(
                "tallystick-replay: the record at position \(position) does not have the hash it was exported with\n")
            return ExitCode.differs
        }
    }
    try frame.append(to: log)
    print("imported \(log.highWater) records into \(path)")
    return ExitCode.holds
}

/// The records of one frame: those that were recorded at one time.
private struct ImportFrame {
    private var arena: [UInt8] = []
    private var ends: [Int] = []
    private var hashes: [Digest] = []
    private(set) var recordedAt: Int64?

    private static let recordsMax = 10_000
    private static let bytesMax = 8 << 20

    var isFull: Bool { ends.count >= ImportFrame.recordsMax || arena.count >= ImportFrame.bytesMax }

    mutating func add(_ record: Record) -> Digest {
        let start = arena.count
        RecordCodec.encode(record, into: &arena)
        let hash = arena.withUnsafeBytes { RecordCodec.hash(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        ends.append(arena.count)
        hashes.append(hash)
        recordedAt = record.recordedAt.microseconds
        return hash
    }

    mutating func append(to log: EventLog) throws {
        guard let recordedAt, !ends.isEmpty else { return }
        try log.append(records: arena, ends: ends, hashes: hashes, recordedAt: recordedAt)
        self = ImportFrame()
    }
}
