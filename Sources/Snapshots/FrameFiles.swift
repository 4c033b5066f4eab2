internal import Billing
internal import EventLog
import Hashing
import Platform
public import Projections
public import Records

/// Writes frames into segment files. `Staging` syncs them.
struct SegmentWriter {
    /// A segment ends with the first frame past this.
    static let segmentBytes = 64 << 20

    /// Holds the folder `log`.
    let folder: String
    private var file: NewFile?

    init(folder: String) {
        self.folder = folder
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer, first: UInt64) throws {
        if let file, file.size >= SegmentWriter.segmentBytes { self.file = nil }
        let file = try self.file ?? NewFile(path: "\(folder)/\(Snapshot.segmentName(first: first))")
        try file.write(bytes)
        self.file = file
    }
}

/// Reads the frames of one segment, one after the other.
struct FrameReader {
    private let member: Archive.Member
    private let file: ReadFile
    /// Of the next frame in the segment.
    private(set) var offset: Int
    private var buffer: [UInt8] = []
    private var start = 0

    private static let readBytes = 1 << 20

    init(_ member: Archive.Member, offset: Int = 0) throws {
        self.member = member
        self.offset = offset
        file = try ReadFile(path: member.path)
    }

    /// Calls `body` with the bytes of the next frame; false at the end of the segment.
    mutating func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        guard offset < member.size else { return false }
        guard try fill(Frame.headerSize) else { throw damaged("a frame is cut off") }
        let size = buffer.withUnsafeBytes {
            Frame.size(header: UnsafeRawBufferPointer(rebasing: $0[start..<(start + Frame.headerSize)]))
        }
        guard let size else { throw damaged("there is no frame") }
        guard try fill(size) else { throw damaged("a frame is cut off") }
        try buffer.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<(start + size)])) }
        start += size
        offset += size
        return true
    }

    private func damaged(_ reason: String) -> SnapshotError {
        .differs(part: member.name, reason: "\(reason) at byte \(offset)")
    }

    /// Makes at least `count` bytes available; false when the segment has fewer.
    private mutating func fill(_ count: Int) throws -> Bool {
        let there = buffer.count - start
        if there >= count { return true }
        let left = member.size - offset - there
        let wanted = min(max(count - there, FrameReader.readBytes), left)
        guard there + wanted >= count else { return false }
        buffer.removeSubrange(..<start)
        start = 0
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: wanted))
        let (file, place) = (file, member.offset + offset + old)
        return try buffer.withUnsafeMutableBytes { room in
            try file.read(at: place, into: UnsafeMutableRawBufferPointer(rebasing: room[old...])) == wanted
        }
    }
}

/// The log of a chain of snapshots, read from its files: what folds need of a log. Its frames have been checked.
public struct SnapshotLog: RecordSource {
    /// Where a frame begins, every so often.
    struct Mark: Sendable {
        var position: UInt64
        var segment: Int
        var offset: Int
    }

    static let markBytes = 1 << 20

    let segments: [Archive.Member]
    let marks: [Mark]
    public let highWater: UInt64

    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        try read(after: position, recordsMax: recordsMax, bytesMax: bytesMax, decoder: RecordDecoder(), body)
    }

    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, decoder: RecordDecoder,
        _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        var last = position
        var count = 0
        var bytes = 0
        guard position < highWater else { return position }
        // The last mark that is not after the wanted record.
        var low = 0
        var high = marks.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if marks[middle].position <= position + 1 { low = middle } else { high = middle }
        }
        var segment = marks[low].segment
        var reader = try FrameReader(segments[segment], offset: marks[low].offset)
        while last < highWater {
            var isFull = false
            let isThere = try reader.next { raw in
                let frame = try Frame(copy: raw)
                guard frame.lastPosition > last else { return }
                for index in Int(last + 1 - frame.firstPosition)..<frame.count {
                    let record = try frame.record(index)
                    guard count < recordsMax && (count == 0 || bytes + record.count <= bytesMax) else {
                        isFull = true
                        return
                    }
                    try body(try EventLogSource.decode(record, at: last + 1, with: decoder))
                    last += 1
                    count += 1
                    bytes += record.count
                }
            }
            if isFull { break }
            if !isThere {
                segment += 1
                guard segment < segments.count else { break }
                reader = try FrameReader(segments[segment])
            }
        }
        return last
    }

    public func record(at position: UInt64) throws -> Record? {
        guard position >= 1 && position <= highWater else { return nil }
        var found: Record?
        _ = try read(after: position - 1, recordsMax: 1, bytesMax: 1) { found = $0 }
        return found
    }

    /// It does not grow.
    public func onAppend(_ body: @escaping @Sendable (UInt64) -> Void) {}
}

/// A log as it was when it ended at `highWater`: what came since is not seen.
struct LogThrough: RecordSource {
    let log: EventLogSource
    let highWater: UInt64

    func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        guard position < highWater else { return position }
        let most = Int(min(UInt64(recordsMax), highWater - position))
        return try log.read(after: position, recordsMax: most, bytesMax: bytesMax, body)
    }

    func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int, decoder: RecordDecoder,
        _ body: (Record) throws -> Void
    ) throws -> UInt64 {
        guard position < highWater else { return position }
        let most = Int(min(UInt64(recordsMax), highWater - position))
        return try log.read(after: position, recordsMax: most, bytesMax: bytesMax, decoder: decoder, body)
    }

    func record(at position: UInt64) throws -> Record? {
        position <= highWater ? try log.record(at: position) : nil
    }

    func onAppend(_ body: @escaping @Sendable (UInt64) -> Void) {}
}
