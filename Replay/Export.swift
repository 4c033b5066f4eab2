import EventLog
import Formats
import Glibc
import JSON
import Platform
import Records

/// `export`: every record as one line of NDJSON, in order, lossless: `import` makes the same records of it.
func export(_ arguments: Arguments) throws -> Int32 {
    let folder = try DataFolder(try arguments.folder())
    let highWater = folder.log.highWater
    var meter = Meter("export", total: highWater)
    var after: UInt64 = 0
    var lines: [UInt8] = []
    var writer = JSONWriter(reservingCapacity: 4096)
    while after < highWater {
        lines.removeAll(keepingCapacity: true)
        // Short read transactions: nothing is held while the other end of the pipe is slow.
        let reached = try folder.log.read(after: after, recordsMax: 2000, bytesMax: 4 << 20) { position, bytes in
            guard position <= highWater else { return }
            let record: Record
            do {
                record = try RecordCodec.decode(bytes)
            } catch {
                throw LogError.corrupt(position: position, reason: "\(error)")
            }
            writer.removeAll()
            StoredEvent(record: record, hash: RecordCodec.hash(bytes)).write(into: &writer)
            lines += writer.bytes
            lines.append(0x0A)
        }
        guard reached > after else { throw LogError.corrupt(position: after + 1, reason: "the log ends before it") }
        after = reached
        guard Console.write(lines, to: STDOUT_FILENO) else { throw Refusal(text: "standard output is closed") }
        meter.reach(after)
    }
    _ = meter.end()
    return ExitCode.holds
}
