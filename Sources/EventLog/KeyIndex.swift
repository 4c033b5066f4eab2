public import Hashing
import Platform

/// Every idempotency key of the log, for ever and exactly, in bounded memory: the newest in a table in memory, the
/// older in
/// sorted runs on disk behind Bloom filters. A helper thread writes and merges the runs, off the commit path.
///
/// It is a fold of the log in an LMDB environment of its own, that its churn may not touch the log's free list: it can
/// be
/// deleted at any time, and is thrown away at open when it is damaged or belongs to another log. After `open` insert
/// again
/// what the log has after `progress`.
///
/// `@unchecked Sendable`: entries and lookups come from one thread at a time (the writer's); what the helper shares
/// with
/// it is behind `shared`.
public final class KeyIndex: @unchecked Sendable {
    /// A key, and where in the log it was used.
    public struct Entry: Sendable {
        /// First 16 bytes of the key's SHA-256.
        public var keyHash: (UInt64, UInt64)
        /// First 16 bytes of the content's SHA-256.
        public var contentHash: (UInt64, UInt64)
        public var position: UInt64

        public init(keyHash: (UInt64, UInt64), position: UInt64, contentHash: (UInt64, UInt64)) {
            self.keyHash = keyHash
            self.position = position
            self.contentHash = contentHash
        }

        public init(key: Digest, position: UInt64, content: Digest) {
            self.init(
                keyHash: (key.word0, key.word1), position: position, contentHash: (content.word0, content.word1))
        }
    }

    public static let memtableMaxDefault = 262_144
    public static let mapBytesDefault = 256 << 30
    /// Below the folder of the index: the LMDB environment, which goes when it is of no use.
    static let dataFolder = "data"
    /// So many runs of one level are merged into one of the next.
    static let runsPerLevel = 8

    /// Whether the index that was there was thrown away at open: the reason, for the operator.
    public let resetReason: String?

    /// A full table on its way to disk.
    struct Frozen {
        var table: Memtable
        /// Every key up to here is in it or in the runs.
        var progress: UInt64
    }

    /// What writer and helper share.
    struct Shared {
        var frozen: Frozen?
        /// Newest last.
        var runs: [Run]
        var progress: UInt64
        /// What the helper's last try ended with, until one succeeds.
        var failure: LogError?
        /// After a failure the helper does nothing until the writer says that a try is worth it.
        var isResting = false
        var isStopping = false
    }

    private let shared: Condition<Shared>
    private let store: IndexStore
    private let memtableMax: Int
    private var table: Memtable
    private var lastInserted: UInt64
    private var helper: Thread?
    private let lock: FolderLock

    /// Opens the index or begins an empty one.
    /// - Parameters:
    ///   - folder: made when missing; its content is removed when it is no index of this log.
    ///   - logID: `EventLog.id`: the index of another log is thrown away.
    ///   - highWater: of the log. An index that goes further (the log was restored from an older copy) is thrown away.
    ///   - memtableMax: keys in memory before they become a run; twice as many are in memory at most.
    public static func open(
        folder: String, logID: [UInt8] = [], highWater: UInt64 = .max, memtableMax: Int = memtableMaxDefault,
        mapBytes: Int = mapBytesDefault
    ) throws(LogError) -> KeyIndex {
        try KeyIndex(folder, logID, highWater, memtableMax, mapBytes)
    }

    private init(
        _ folder: String, _ logID: [UInt8], _ highWater: UInt64, _ memtableMax: Int, _ mapBytes: Int
    ) throws(LogError) {
        precondition(memtableMax >= 1 && memtableMax <= 1 << 30, "a memtable of \(memtableMax) keys")
        try filing { () throws(FileError) in try Folder.make(folder) }
        guard let lock = try filing({ () throws(FileError) in try FolderLock(folder: folder) }) else {
            throw .locked(folder: folder)
        }
        self.lock = lock
        let data = folder + "/" + KeyIndex.dataFolder
        var reason: String?
        var opened: (IndexStore, IndexStore.Content)?
        do throws(LogError) {
            opened = try IndexStore.open(data, logID, highWater, mapBytes)
        } catch {
            switch error {
            case .corrupt, .notALog, .tooShort, .newerFormat: reason = error.description
            default: throw error
            }
        }
        if opened == nil {
            try filing { () throws(FileError) in try Folder.remove(data) }
            opened = try IndexStore.open(data, logID, highWater, mapBytes)
        }
        guard let (store, content) = opened else { preconditionFailure("no index after a reset") }
        resetReason = reason
        self.store = store
        self.memtableMax = memtableMax
        table = Memtable(capacity: memtableMax)
        lastInserted = content.progress
        shared = Condition(Shared(runs: content.runs, progress: content.progress))
        let worker = IndexWorker(store: store, shared: shared)
        helper = Thread(name: "key-index") { worker.run() }
    }

    deinit { stop() }

    private func stop() {
        shared.signal { $0.isStopping = true }
        helper?.join()
        helper = nil
    }

    /// Writes what is in memory and ends the helper thread. Nothing may be called afterwards. Without it, as after a
    /// crash, the keys after `progress` come back from the log.
    public func close() throws(LogError) {
        try flush()
        stop()
    }

    // MARK: Keys

    /// Every key up to this position is in runs on disk.
    public var progress: UInt64 { shared.withLock { $0.progress } }

    /// The last position inserted, in memory or on disk.
    public var last: UInt64 { lastInserted }

    /// What the helper's last try ended with, if it failed: a full disk (it tries again, once a table), or worse.
    /// Entries stay in memory, so answers stay exact.
    public var failure: LogError? { shared.withLock { $0.failure } }

    /// Runs on disk, for metrics.
    public var runsCount: Int { shared.withLock { $0.runs.count } }

    /// Where a key was used: nearly always nowhere or once. Read the record to compare the whole key.
    public func entries(for keyHash: (UInt64, UInt64)) throws(LogError) -> [Entry] {
        var found: [Entry] = []
        table.find(keyHash, into: &found)
        let store = store
        // Under the lock, so that the helper cannot delete a run between our finding it and our reading it.
        let outcome = shared.withLock { shared -> LogError? in
            shared.frozen?.table.find(keyHash, into: &found)
            var index = shared.runs.count
            while index > 0 {
                index -= 1
                guard shared.runs[index].filter.mayContain(keyHash) else { continue }
                do throws(LogError) {
                    try store.find(keyHash, in: shared.runs[index], into: &found)
                } catch {
                    return error
                }
            }
            return nil
        }
        if let outcome { throw outcome }
        return found
    }

    public func entries(for key: Digest) throws(LogError) -> [Entry] {
        try entries(for: (key.word0, key.word1))
    }

    /// Adds the key of a position, with its `alias` where it has one: the two are on disk together or not at all.
    /// Positions ascend. Waits for the helper when it is behind by a whole table; when it cannot write (`failure`), the
    /// table grows instead.
    public func insert(_ entry: Entry, alias: Entry? = nil) {
        precondition(entry.position > lastInserted, "position \(entry.position) after \(lastInserted)")
        precondition(alias.map { $0.position == entry.position } ?? true, "an alias of another position")
        if table.entries.count >= memtableMax { freeze() }
        table.insert(entry)
        if let alias { table.insert(alias) }
        lastInserted = entry.position
    }

    /// Hands the table to the helper, when the helper has done the one before.
    private func freeze() {
        let hasRoom = shared.wait { $0.frozen == nil ? true : $0.isResting ? false : nil } ?? false
        guard hasRoom else {
            // The helper looks again whether there is room on the disk, once a table.
            if table.entries.count % memtableMax <= 1 { shared.signal { $0.isResting = false } }
            return
        }
        let frozen = Frozen(table: table, progress: lastInserted)
        table = Memtable(capacity: memtableMax)
        shared.signal { shared in
            shared.frozen = frozen
            shared.isResting = false
        }
    }

    /// Brings everything that is in memory to disk, and waits for it.
    public func flush() throws(LogError) {
        while true {
            // Whatever stopped the helper before, it tries again now.
            shared.signal { $0.isResting = false }
            try waitForHelper { $0.frozen == nil }
            if table.entries.isEmpty { return }
            freeze()
        }
    }

    /// Waits until the helper has done what is asked for, or gives its error.
    private func waitForHelper(until isDone: (Shared) -> Bool) throws(LogError) {
        let failure = shared.wait { shared -> LogError?? in
            if isDone(shared) { return .some(nil) }
            return shared.isResting ? .some(shared.failure) : nil
        }
        if case .some(.some(let error)) = failure { throw error }
    }

    /// Waits until no runs are left to be merged. For tests and measurements.
    package func settle() throws(LogError) {
        try flush()
        try waitForHelper { Run.mergeable($0.runs) == nil }
    }
}
