internal import CLMDB
public import Hashing

/// Makes a log again from the frames of another: the same bytes under the same positions, the same id and time of
/// creation. For restoring; nobody else has the folder open. Used from one thread.
public final class LogCopy {
    /// Bytes of frames that one transaction takes: one sync for all of them.
    static let bytesPerCommit = 64 << 20

    private let environment: Environment
    private let frames: Database
    private var pending: [[UInt8]] = []
    private var pendingBytes = 0
    /// The last position that was added, 0 at first.
    public private(set) var position: UInt64 = 0
    /// The hash of the last frame, which pins everything before it.
    public private(set) var hash = Digest.zero

    /// - Parameters:
    ///   - folder: exists and is empty.
    ///   - id: 16 bytes. `createdAt`: microseconds since 1970.
    ///   - mapBytes: the cap of the file; must hold all frames.
    public init(
        folder: String, id: [UInt8], createdAt: Int64, mapBytes: Int = EventLog.mapBytesDefault
    ) throws(LogError) {
        precondition(id.count == LogMeta.idSize, "a log id of \(id.count) bytes")
        environment = try Environment(folder: folder, databasesMax: 4, mapBytes: mapBytes, readOnly: false)
        let transaction = try WriteTransaction(environment)
        try LogMeta(createdAt: createdAt, id: id).create(in: transaction.handle)
        try transaction.commit()
        (_, frames) = try LogMeta.read(environment)
    }

    /// Adds the next frame, all of whose hashes are computed again. On disk after `finish`.
    public func add(_ bytes: UnsafeRawBufferPointer) throws {
        let frame = try Frame(copy: bytes)
        guard frame.firstPosition == position + 1 else {
            throw LogError.corrupt(position: position + 1, reason: "a frame begins at \(frame.firstPosition)")
        }
        try frame.verify { _, _, _ in }
        guard frame.previousHash == hash else {
            throw LogError.corrupt(
                position: frame.firstPosition, reason: "the frame is not chained to the one before")
        }
        pending.append(Array(bytes))
        pendingBytes += bytes.count
        position = frame.lastPosition
        hash = frame.hash
        if pendingBytes >= LogCopy.bytesPerCommit { try commit() }
    }

    /// Everything that was added is on disk when this returns.
    public func finish() throws(LogError) {
        try commit()
        try environment.extendFile(to: environment.bytesUsed())
        try environment.sync()
    }

    private func commit() throws(LogError) {
        guard !pending.isEmpty else { return }
        let transaction = try WriteTransaction(environment)
        for bytes in pending {
            let first = bytes.withUnsafeBytes {
                UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            }
            try putValue(transaction.handle, frames, first, count: bytes.count, flags: MDB_APPEND) { room in
                bytes.withUnsafeBytes { room.copyMemory(from: $0) }
            }
        }
        try transaction.commit()
        pending = []
        pendingBytes = 0
    }
}
