public import EventLog
internal import Hashing
internal import Platform

/// Follows the log on a thread of its own, off the commit path, hashes every record and keeps the Merkle tree over them
/// as tiles. The tiles are a cache: deleted, they come back the same.
public final class TreeKeeper: Sendable {
    /// Records between two syncs of the tiles: what a start after a crash hashes again.
    static let syncRecords: UInt64 = 1 << 16
    /// How far the thread steps back behind the others: as the projectors do.
    public static let niceness = 10
    /// After a failure of the disk it tries again.
    static let retryMilliseconds = 2000
    static let waitMilliseconds = 1000

    public struct Status: Sendable {
        /// Records that are in the tree.
        public var progress: UInt64
        /// Nil while it works; what stopped it otherwise.
        public var fault: String?
    }

    private struct State {
        var view: TreeView
        var fault: String?
        var isStopping = false
    }

    private let log: EventLog
    private let store: TileStore
    private let state: Condition<State>
    private let gate = PositionGate()
    private let thread = Lock<Thread?>(nil)

    /// Reads what tiles there are.
    /// - Throws: `TileError` where the tiles say that the log is not what it was; `FileError`.
    public init(folder: String, log: EventLog) throws {
        try Folder.make(folder)
        self.log = log
        store = TileStore(folder: folder, writable: true)
        let tree = try TreeKeeper.load(store, log)
        state = Condition(State(view: TreeView(size: tree.size, tails: tree.tails, store: store)))
        gate.reach(tree.size)
    }

    public func start() {
        thread.withLock { $0 = Thread(name: "tree", niceness: TreeKeeper.niceness) { self.run() } }
    }

    /// Syncs what is done and ends the thread.
    public func stop() {
        state.signal { $0.isStopping = true }
        log.wake()
        thread.withLock { $0 }?.join()
        gate.close()
    }

    /// The tree as far as it is known.
    public var view: TreeView { state.withLock { $0.view } }

    public var status: Status { state.withLock { Status(progress: $0.view.size, fault: $0.fault) } }

    /// The tree once it covers `position`, or what there is when the time is up.
    public func view(covering position: UInt64, milliseconds: Int) async -> TreeView {
        _ = await gate.wait(until: position, milliseconds: milliseconds)
        return view
    }

    // MARK: The thread

    private func run() {
        while !isStopping {
            do {
                var tree = try TreeKeeper.load(store, log)
                state.withLock { $0.fault = nil }
                try follow(&tree)
                return
            } catch let error as FileError {
                // A full disk, mostly: what is in the tiles stays right.
                show(fault: "\(error)")
                _ = state.wait(milliseconds: TreeKeeper.retryMilliseconds) { $0.isStopping ? true : nil }
            } catch {
                show(fault: "\(error)")
                return
            }
        }
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    private func show(fault: String) {
        LogLine.write(.error, "the Merkle tree does not go on", ["reason": fault])
        state.withLock { $0.fault = fault }
    }

    /// The tree of the tiles that are known to be on disk.
    private static func load(_ store: TileStore, _ log: EventLog) throws -> GrowingTree {
        guard let head = try store.head() else { return GrowingTree() }
        guard head.logID == log.id && head.createdAt == log.createdAt else {
            throw TileError.unusable(folder: store.folder, reason: "is of another log")
        }
        guard head.size <= log.highWater else {
            throw TileError.ahead(folder: store.folder, size: head.size, highWater: log.highWater)
        }
        let tree = try GrowingTree(size: head.size, store: store)
        guard tree.root == head.root else {
            throw TileError.unusable(folder: store.folder, reason: "has another root than the tiles beside it")
        }
        return tree
    }

    private func follow(_ tree: inout GrowingTree) throws {
        var synced = tree.size
        while !isStopping {
            // With a limit: a stop may come just before the wait begins.
            let end = log.waitForAppend(after: tree.size, milliseconds: TreeKeeper.waitMilliseconds)
            guard end > tree.size else { continue }
            do {
                // Each hash of the log is checked on the way: what has rotted does not get into the tree.
                _ = try log.verify(after: tree.size, through: end) { _ in
                    try publish(&tree)
                    if tree.size - synced >= TreeKeeper.syncRecords {
                        try sync(tree)
                        synced = tree.size
                    }
                    if isStopping { throw Stopped() }
                } record: { position, _, hash in
                    // The frame that holds the first record may begin before it.
                    if position == tree.size + 1 { tree.append(hash) }
                }
            } catch is Stopped {
                break
            }
        }
        if tree.size / UInt64(TilePlace.width) > synced / UInt64(TilePlace.width) { try sync(tree) }
    }

    private struct Stopped: Error {}

    private func publish(_ tree: inout GrowingTree) throws {
        let store = store
        try tree.takeFinished { level, number, hashes in
            try store.write(hashes, level: level, from: number)
        }
        let view = TreeView(size: tree.size, tails: tree.tails, store: store)
        state.withLock { $0.view = view }
        gate.reach(tree.size)
    }

    private func sync(_ tree: GrowingTree) throws {
        let size = tree.size / UInt64(TilePlace.width) * UInt64(TilePlace.width)
        let root = try TreeView(size: tree.size, tails: tree.tails, store: store).root(of: size)
        try store.sync(TileHead(logID: log.id, createdAt: log.createdAt, size: size, root: root))
    }
}
