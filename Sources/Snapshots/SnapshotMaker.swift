internal import Billing
public import EventLog
public import Hashing
import Platform
import Projections

/// Makes a snapshot beside a running daemon, or without one.
///
/// First the read models are copied, each as it is at a moment of its own; then the log's end is taken, which is at or
/// after all of them; then the frames through there are copied in short read transactions; then each copied read model
/// is brought forward to that end by folding what it has not seen. So log and read models end at one position, and the
/// daemon is never held up.
public struct SnapshotMaker: Sendable {
    /// What was made.
    public struct Result: Sendable {
        public var manifest: Manifest
        public var manifestHash: Digest
        public var checkpoint: Checkpoint
        /// Of all files of the snapshot.
        public var bytes: Int
        /// Read models that a record stopped: they end before the log.
        public var stopped: [String]
    }

    /// Frames and bytes of one read transaction.
    static let framesPerRead = 1024
    static let bytesPerRead = 4 << 20
    /// Of keys.json.
    static let keysBytesMax = 64 << 20

    let folder: String
    let log: EventLog
    let origin: String

    /// - Parameters:
    ///   - folder: the data folder.
    ///   - log: its log, opened for reading.
    ///   - origin: of the checkpoint.
    public init(folder: String, log: EventLog, origin: String) {
        self.folder = folder
        self.log = log
        self.origin = origin
    }

    /// - Parameters:
    ///   - target: a folder, or a tar file when it ends in ".tar"; nothing may be there.
    ///   - previous: the snapshot to go on from; nil for a full one.
    ///   - progress: called with the records that were copied and how many there are.
    /// - Throws: `SnapshotError`, `FileError`, `LogError` (the log itself does not hold), `SQLiteError`.
    public func make(
        _ target: String, after previous: Snapshot?, madeAt: Int64,
        progress: @Sendable (UInt64, UInt64) -> Void = { _, _ in }
    ) async throws -> Result {
        let link = try previous.map { try self.link(to: $0) }
        let staging = try Staging(target: target)
        var stopped: [String] = []
        var models: [Manifest.ReadModel] = []
        if previous == nil {
            try copyReadModels(into: staging)
        } else {
            models = try readModelsNow()
        }
        let end = try log.refresh()
        let after = previous?.manifest.position ?? 0
        guard end >= after else {
            throw SnapshotError.refused(
                "\(folder) ends at position \(end), before the snapshot that it shall go on from (\(after))")
        }
        var tree = previous?.manifest.tree ?? MerkleRange()
        let hash = try copyFrames(
            after: after, through: end, hash: previous?.manifest.frameHash ?? .zero, tree: &tree, into: staging,
            progress)
        if previous == nil { (models, stopped) = try await bringForward(to: end, in: staging.path + "/readmodels") }
        try copyKeys(into: staging)
        try copyParked(into: staging)

        let checkpoint = Checkpoint(origin: origin, size: end, root: tree.root)
        try staging.add(Manifest.checkpointName, Array(checkpoint.text.utf8))
        let files = try staging.seal()
        let manifest = Manifest(
            madeAt: Timestamp(microseconds: madeAt), logID: log.id,
            logCreatedAt: Timestamp(microseconds: log.createdAt), position: end, frameHash: hash, tree: tree,
            previous: link, readModels: models, files: files)
        let bytes = manifest.bytes
        let manifestHash = SHA256.hash(bytes)
        try staging.add(Manifest.fileName, bytes)
        try staging.add(Manifest.hashName, Manifest.hashLine(manifestHash))
        try Folder.sync(staging.path)
        try staging.place()
        return Result(
            manifest: manifest, manifestHash: manifestHash, checkpoint: checkpoint,
            bytes: files.reduce(bytes.count) { $0 + $1.bytes },
            stopped: stopped)
    }

    /// Checks that this log goes on from where `previous` ends.
    private func link(to previous: Snapshot) throws -> Manifest.Previous {
        let manifest = previous.manifest
        let name = Snapshot.lastName(previous.archive.path)
        guard Archive.isName(name) else {
            throw SnapshotError.refused(
                "\(name) is no name to be found by again: letters, digits, \"_\", \"-\" and \".\" only")
        }
        guard manifest.logID == log.id, manifest.logCreatedAt.microseconds == log.createdAt else {
            throw SnapshotError.refused("\(previous.archive.path) is a snapshot of another log than \(folder)")
        }
        if manifest.position > 0 {
            var found: (last: UInt64, hash: Digest)?
            _ = try log.readFrames(after: manifest.position - 1, framesMax: 1, bytesMax: 1) { frame in
                found = (frame.lastPosition, frame.hash)
            }
            guard let found, found == (manifest.position, manifest.frameHash) else {
                throw SnapshotError.refused(
                    "the log in \(folder) does not go on from \(previous.archive.path): it is an older copy, or "
                        + "another history")
            }
        }
        return Manifest.Previous(manifestHash: previous.manifestHash, position: manifest.position, name: name)
    }

    private func copyReadModels(into staging: Staging) throws {
        let target = staging.path + "/readmodels"
        try Folder.make(target)
        for type in ReadModels.all {
            do {
                _ = try type.copy(from: folder + "/readmodels", to: target)
            } catch {
                // Damaged, say: it is a cache, and folding the log from the start makes it again.
                try? File.remove("\(target)/\(type.name).sqlite")
            }
        }
    }

    /// What the daemon's read models are, each at its own position. For an incremental snapshot, which has no files of
    /// them: their digests tell a later check that the log still gives what was answered.
    private func readModelsNow() throws -> [Manifest.ReadModel] {
        try ReadModels.all.compactMap { type in
            try type.snapshot(in: folder + "/readmodels").map {
                Manifest.ReadModel(
                    name: type.name, schemaVersion: type.schemaVersion, position: $0.position, digest: $0.digest)
            }
        }
    }

    private func bringForward(
        to end: UInt64, in place: String
    ) async throws -> (models: [Manifest.ReadModel], stopped: [String]) {
        let source = LogThrough(log: EventLogSource(log), highWater: end)
        let statuses = try await ReadModels.catchUp(folder: place, source: source)
        var models: [Manifest.ReadModel] = []
        for type in ReadModels.all {
            try type.settle(in: place)
            guard let model = try type.snapshot(in: place) else {
                throw SnapshotError.refused("the read model \(type.name) could not be made")
            }
            models.append(
                Manifest.ReadModel(
                    name: type.name, schemaVersion: type.schemaVersion, position: model.position,
                    digest: model.digest))
        }
        let stopped = statuses.compactMap { status -> String? in
            guard case .stopped(let reason) = status.state else { return nil }
            return "\(status.name) at position \(status.progress): \(reason)"
        }
        return (models, stopped)
    }

    /// Copies the frames after `after` and checks each; gives the hash of the last.
    private func copyFrames(
        after: UInt64, through end: UInt64, hash: Digest, tree: inout MerkleRange, into staging: Staging,
        _ progress: (UInt64, UInt64) -> Void
    ) throws -> Digest {
        try Folder.make(staging.path + "/log")
        var writer = SegmentWriter(folder: staging.path)
        var copied: [UInt8] = []
        var ends: [Int] = []
        var position = after
        var hash = hash
        while position < end {
            copied.removeAll(keepingCapacity: true)
            ends.removeAll(keepingCapacity: true)
            // Out of the transaction first: the disk of the snapshot may be slow.
            let reached = try log.readFrames(
                after: position, framesMax: SnapshotMaker.framesPerRead, bytesMax: SnapshotMaker.bytesPerRead
            ) { frame in
                guard frame.firstPosition <= end else { return }
                copied.append(contentsOf: frame.bytes)
                ends.append(copied.count)
            }
            guard reached > position else {
                throw LogError.corrupt(position: position + 1, reason: "the log ends before it")
            }
            var start = 0
            for stop in ends {
                try copied.withUnsafeBytes { all in
                    let bytes = UnsafeRawBufferPointer(rebasing: all[start..<stop])
                    let frame = try Frame(copy: bytes)
                    try frame.verify { _, _, hash in tree.append(hash) }
                    guard frame.firstPosition == position + 1, frame.previousHash == hash else {
                        throw LogError.corrupt(
                            position: position + 1, reason: "the frame is not chained to the one before")
                    }
                    try writer.add(bytes, first: frame.firstPosition)
                    position = frame.lastPosition
                    hash = frame.hash
                }
                start = stop
            }
            progress(position - after, end - after)
        }
        guard position == end else {
            throw LogError.corrupt(position: end, reason: "a frame goes on past it")
        }
        return hash
    }

    /// Hashes and scopes, no key's secret: without them nobody could ask the restored daemon.
    private func copyKeys(into staging: Staging) throws {
        let path = folder + "/keys.json"
        guard File.exists(path) else { return }
        try staging.add("keys.json", try File.read(path, bytesMax: SnapshotMaker.keysBytesMax))
    }

    /// Parked items, up to the last whole line.
    private func copyParked(into staging: Staging) throws {
        let place = folder + "/parked"
        guard Folder.isFolder(place) else { return }
        try Folder.make(staging.path + "/parked")
        for name in try Folder.list(place)
        where Archive.isName("parked/\(name)") && !name.hasSuffix(AppendFile.suffixOfNew) {
            guard case .file = try File.kind("\(place)/\(name)") else { continue }
            // Opened once: the daemon may put a shorter file in its place, or cut off what a full disk left.
            let file = try ReadFile(path: "\(place)/\(name)")
            let copy = try NewFile(path: "\(staging.path)/parked/\(name)")
            var room = [UInt8](repeating: 0, count: Archive.pieceBytes)
            var rest: [UInt8] = []
            var offset = 0
            while offset < file.size {
                let count = try room.withUnsafeMutableBytes { room in
                    let wanted = min(room.count, file.size - offset)
                    return try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: room[..<wanted]))
                }
                guard count > 0 else { break }
                offset += count
                rest += room[..<count]
                let end = rest.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
                try copy.write(Array(rest[..<end]))
                rest.removeSubrange(..<end)
            }
        }
    }
}
