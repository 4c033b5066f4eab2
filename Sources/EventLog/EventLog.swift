internal import CLMDB
import Glibc
public import Hashing
import Platform
import Synchronization

/// The truth: every record in order, in frames, in one LMDB environment. Positions are gapless from 1.
///
/// `@unchecked Sendable`: appends come from one thread, which is checked, and what they keep is theirs alone; readers
/// use
/// their own read transactions; high water is atomic; the rest is behind locks.
public final class EventLog: @unchecked Sendable {
    public enum Mode: Sendable {
        /// The one writer. Makes the log when there is none.
        case readWrite
        /// A tool beside a running daemon, or after it: sees what was there at open, and more after `refresh()`.
        case readOnly
    }

    /// The format of log that this program writes, and the newest it reads.
    public static let format: UInt64 = 1
    public static let mapBytesDefault = 64 << 30
    /// How far the data file is zero-filled ahead of the appends, at most, where it pays: on a quiet disk 1.5 to 1.9
    /// times
    /// the appends (performance, the store), on a busy one nothing (13 % less at the median, the same mean).
    public static let prezeroBytesRecommended = 64 << 20
    /// Two meta pages of 4,096 bytes: what every data.mdb has.
    static let metaBytes: UInt64 = 8192
    static let lockName = "writer.lock"
    /// Frames at the end of the log whose hashes are checked at open, as long as they are not more than some bytes.
    static let tailFramesMax = 64
    static let tailBytesMax = 64 << 20

    public let folder: String
    public let mode: Mode
    /// 16 random bytes made with the log: tells two logs apart.
    public let id: [UInt8]
    /// Microseconds since 1970.
    public let createdAt: Int64

    let environment: Environment
    let frames: Database
    private let lock: FolderLock?
    private let prezero: Prezero?

    private let highWaterCell: Atomic<UInt64>
    private let lastRecordedAtCell: Atomic<Int64>

    /// Who waits for an append, and who is called after one.
    struct Followers {
        var wakes = 0
        var nextToken = 0
        var callbacks: [(token: Int, call: @Sendable (UInt64) -> Void)] = []
    }
    let followers = Condition(Followers())

    // The writer's own, touched by `append` alone.
    private var writer: pthread_t?
    private var lastHash: Digest
    private var scratch: [UInt8] = []
    private var failed: LogError?
    /// A test seam: the append that is this many appends away fails with this code instead of committing.
    private var fault: (countdown: Int, code: Int32)?

    /// Opens a log and checks its end. For writing, everything in it is forced to disk before this returns, and a
    /// folder
    /// that is missing or empty becomes a new log.
    /// - Parameters:
    ///   - folder: holds data.mdb, lock.mdb and writer.lock, nothing else.
    ///   - mapBytes: the hard cap of the file; only address space until used.
    ///   - prezeroBytes: how far the file is filled ahead; 0 is off.
    public static func open(
        folder: String, mode: Mode, mapBytes: Int = mapBytesDefault, prezeroBytes: Int = 0
    ) throws(LogError) -> EventLog {
        try EventLog(folder, mode, mapBytes, prezeroBytes)
    }

    private init(_ folder: String, _ mode: Mode, _ mapBytes: Int, _ prezeroBytes: Int) throws(LogError) {
        precondition(mapBytes >= 1 << 16 && prezeroBytes >= 0, "map of \(mapBytes), prezero of \(prezeroBytes) bytes")
        let isThere = File.exists(folder + "/data.mdb")
        if mode == .readWrite {
            try filing { () throws(FileError) in try Folder.make(folder) }
            lock = try filing { () throws(FileError) in try FolderLock(folder: folder, name: EventLog.lockName) }
            guard lock != nil else { throw .locked(folder: folder) }
            if !isThere { try LogMeta.createLog(in: folder) }
        } else {
            guard isThere else { throw .notALog(folder: folder, reason: "it has no data.mdb") }
            lock = nil
        }
        // LMDB would take an empty file for a new one and begin it.
        guard try filing({ () throws(FileError) in try File.size(folder + "/data.mdb") }) > 0 else {
            throw .tooShort(folder: folder, bytes: 0, needed: EventLog.metaBytes)
        }
        self.folder = folder
        self.mode = mode
        environment = try Environment(
            folder: folder, databasesMax: 4, mapBytes: mapBytes, readOnly: mode == .readOnly)
        let (meta, frames) = try LogMeta.read(environment)
        id = meta.id
        createdAt = meta.createdAt
        self.frames = frames
        if mode == .readWrite {
            _ = try environment.dropDeadReaders()
            // What the page cache shows may not be on disk when the last process was killed inside a commit. It must
            // be before anyone is told "duplicate" (reliability 0, finding 10).
            try environment.sync()
        }
        let tail = try EventLog.checkTail(environment, frames)
        highWaterCell = Atomic(tail.position)
        lastRecordedAtCell = Atomic(tail.recordedAt)
        lastHash = tail.hash
        prezero = try mode == .readWrite && prezeroBytes > 0
            ? Prezero(environment, bytesMax: prezeroBytes) : nil
        prezero?.start()
    }

    deinit { prezero?.stop() }

    // MARK: Where it ends

    /// The last durable position, 0 when the log is empty. For a reader beside the daemon: as of the last `refresh()`.
    public var highWater: UInt64 { highWaterCell.load(ordering: .acquiring) }

    /// When the last frame was recorded, microseconds since 1970; 0 when the log is empty.
    public var lastRecordedAt: Int64 { lastRecordedAtCell.load(ordering: .acquiring) }

    private struct Tail {
        var position: UInt64 = 0
        var recordedAt: Int64 = 0
        var hash = Digest.zero
    }

    /// Verifies the last frames and how they are chained.
    private static func checkTail(_ environment: Environment, _ frames: Database) throws(LogError) -> Tail {
        let transaction = try ReadTransaction(environment)
        let cursor = try Cursor(transaction.handle, frames)
        var tail: Tail?
        var next: (first: UInt64, previousHash: Digest)?
        var count = 0
        var bytes = 0
        var entry = try cursor.move(MDB_LAST)
        while let (key, value) = entry {
            let frame = try Frame(value, key: integerKey(key))
            if tail == nil {
                tail = Tail(position: frame.lastPosition, recordedAt: frame.recordedAt, hash: frame.hash)
            }
            guard count < tailFramesMax && (count == 0 || bytes + value.count <= tailBytesMax) else {
                return tail ?? Tail()
            }
            do { try frame.verify { _, _, _ in } } catch let error as LogError { throw error } catch {
                preconditionFailure("verify without a body threw \(error)")
            }
            // After its own hash, so that a damaged frame is named itself and not the one after it.
            if let next {
                guard frame.lastPosition + 1 == next.first else {
                    throw .corrupt(position: frame.lastPosition + 1, reason: "the next frame begins at \(next.first)")
                }
                guard frame.hash == next.previousHash else {
                    throw .corrupt(position: next.first, reason: "the frame is not chained to the one before")
                }
            }
            count += 1
            bytes += value.count
            next = (frame.firstPosition, frame.previousHash)
            entry = try cursor.move(MDB_PREV)
        }
        if let next {
            guard next.first == 1 else {
                throw .corrupt(position: 1, reason: "the log begins at position \(next.first)")
            }
            guard next.previousHash == .zero else {
                throw .corrupt(position: 1, reason: "the first frame is chained to another")
            }
        }
        return tail ?? Tail()
    }

    /// For a reader beside the daemon: looks how far the log goes now, and gives the new high water.
    @discardableResult public func refresh() throws(LogError) -> UInt64 {
        guard mode == .readOnly else { return highWater }
        let transaction = try ReadTransaction(environment)
        let cursor = try Cursor(transaction.handle, frames)
        guard let (key, value) = try cursor.move(MDB_LAST) else { return highWater }
        let frame = try Frame(value, key: integerKey(key))
        // Threads may refresh at once: high water never goes back.
        if frame.lastPosition > highWater {
            lastRecordedAtCell.store(frame.recordedAt, ordering: .releasing)
            highWaterCell.max(frame.lastPosition, ordering: .acquiringAndReleasing)
        }
        return highWater
    }

    // MARK: Appending

    /// Adds one frame: one LMDB transaction, one fsync, on disk when this returns. Always from the same thread.
    ///
    /// - Parameters:
    ///   - records: the encoded records one after the other, stamped with the positions after high water. At most
    ///     `Frame.bytesMax`.
    ///   - ends: where each record ends in `records`, ascending, the last at its end. 1 to `Frame.recordsMax`.
    ///   - hashes: of each record, SHA-256(00 || record).
    ///   - recordedAt: microseconds since 1970, not before `lastRecordedAt`.
    /// - Throws: `.full`: nothing changed, the log stays usable. `.commitFailed`: the process must end; the log takes
    /// no
    ///   more appends.
    public func append(records: [UInt8], ends: [Int], hashes: [Digest], recordedAt: Int64) throws(LogError) {
        precondition(mode == .readWrite, "append to a log that was opened for reading")
        let thread = pthread_self()
        if let writer { precondition(pthread_equal(writer, thread) != 0, "append from a second thread") }
        writer = thread
        precondition((1...Frame.recordsMax).contains(ends.count), "append of \(ends.count) records")
        precondition(hashes.count == ends.count, "append of \(ends.count) records with \(hashes.count) hashes")
        precondition((1...Frame.bytesMax).contains(records.count), "append of \(records.count) bytes")
        precondition(ends.last == records.count, "records end at \(ends.last ?? 0) of \(records.count)")
        var start = 0
        for end in ends {
            precondition(end > start, "a record from \(start) to \(end)")
            start = end
        }
        precondition(recordedAt >= lastRecordedAt, "recordedAt \(recordedAt) is before \(lastRecordedAt)")
        if let failed { throw failed }

        let first = highWater + 1
        let hash = seal(first, records.count, hashes, recordedAt)
        let size = Frame.size(count: ends.count, payload: records.count)
        if let prezero {
            let code = prezero.reserve(size, used: try environment.bytesUsed())
            if let code { throw fail(.commitFailed(code: code, operation: "fsync ahead of the log")) }
        }
        do throws(LogError) {
            try environment.checkRoom(for: size)
            let transaction = try WriteTransaction(environment)
            let writer = FrameWriter(firstPosition: first, recordedAt: recordedAt, previousHash: lastHash)
            // MDB_APPEND: LMDB itself refuses a position that is not the last.
            try putValue(transaction.handle, frames, first, count: size, flags: MDB_APPEND) { room in
                writer.write(room, records: records, ends: ends, scratch: scratch, hash: hash)
            }
            let code = commit(transaction)
            guard code == 0 else { throw .lmdb(code: code, operation: "mdb_txn_commit") }
        } catch {
            throw fail(error)
        }
        try committed()
        lastHash = hash
        lastRecordedAtCell.store(recordedAt, ordering: .releasing)
        let last = highWater + UInt64(ends.count)
        highWaterCell.store(last, ordering: .releasing)
        let callbacks = followers.signal { $0.callbacks }
        for callback in callbacks { callback.call(last) }
    }

    /// Writes header and record hashes into `scratch` and gives the frame's hash.
    private func seal(_ first: UInt64, _ payload: Int, _ hashes: [Digest], _ recordedAt: Int64) -> Digest {
        let needed = Frame.hashedHeaderSize + Digest.size * hashes.count
        if scratch.count < needed { scratch = [UInt8](repeating: 0, count: needed) }
        let writer = FrameWriter(firstPosition: first, recordedAt: recordedAt, previousHash: lastHash)
        return scratch.withUnsafeMutableBytes { room in
            guard let base = room.baseAddress else { preconditionFailure("scratch of \(needed) bytes") }
            writer.writeHeader(room, count: hashes.count, payload: payload)
            for (index, digest) in hashes.enumerated() {
                digest.store(to: base + Frame.hashedHeaderSize + Digest.size * index)
            }
            return SHA256.hash(UnsafeRawBufferPointer(rebasing: room[..<needed]))
        }
    }

    private func commit(_ transaction: consuming WriteTransaction) -> Int32 {
        if let (countdown, code) = fault {
            fault = countdown > 1 ? (countdown - 1, code) : nil
            if countdown == 1 { return code }
        }
        return transaction.commitCode()
    }

    /// LMDB does not write a page that was taken and given back within one transaction: when that was the last one, the
    /// file ends before the pages that count as used. The next open must not take that for a lost end.
    private func committed() throws(LogError) {
        let used = try environment.bytesUsed()
        prezero?.committed(used: used)
        try environment.extendFile(to: used)
    }

    /// Sorts an error of an append: full, with nothing changed, or the end of this log object.
    private func fail(_ error: LogError) -> LogError {
        let (code, operation) =
            switch error {
            case .full(let code): (code, "mdb_put")
            case .lmdb(let code, let operation), .commitFailed(let code, let operation): (code, operation)
            default: (EIO, "append")
            }
        if case .commitFailed = error {
            // The prezero helper saw an error of the disk.
        } else if LogError.isFull(code) && isIntact() {
            return .full(code: code)
        }
        let final = LogError.commitFailed(code: code, operation: operation)
        failed = final
        return final
    }

    /// Whether LMDB still works after a full disk, and ends where it did. When a meta page could not be written it
    /// refuses everything from then on (MDB_PANIC).
    private func isIntact() -> Bool {
        do throws(LogError) {
            let transaction = try ReadTransaction(environment)
            let cursor = try Cursor(transaction.handle, frames)
            guard let (key, value) = try cursor.move(MDB_LAST) else { return highWater == 0 }
            return try Frame(value, key: integerKey(key)).lastPosition == highWater
        } catch {
            return false
        }
    }

    /// Makes the append that is `number` appends away (1: the next) fail with an LMDB or errno code, uncommitted. For
    /// tests; on the writer's thread.
    package func failAppend(number: Int, code: Int32) {
        precondition(number >= 1 && code != 0, "append \(number) fails with \(code)")
        fault = (number, code)
    }
}
