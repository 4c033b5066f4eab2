import Platform

/// The helper thread of a key index: writes full tables as runs, merges runs, deletes what was merged. A table goes
/// before everything else, since the writer may wait for it; but after a failure what was merged is deleted first,
/// since the disk may be full of it.
///
/// `@unchecked Sendable`: handed to its thread once, then touched by that thread alone; the rest is behind `shared`.
final class IndexWorker: @unchecked Sendable {
    private let store: IndexStore
    private let shared: Condition<KeyIndex.Shared>
    private var nextNumber: UInt64
    private var merge: IndexStore.Merge?
    private var garbage: [(run: UInt64, blocks: Range<Int>)] = []
    /// The last try to delete failed: a table is tried next, that neither can keep the other from ever being tried.
    private var deletingFailed = false

    init(store: IndexStore, shared: Condition<KeyIndex.Shared>) {
        self.store = store
        self.shared = shared
        nextNumber = (shared.withLock { $0.runs.map(\.number).max() } ?? 0) + 1
    }

    private enum Job {
        case stop
        case write(KeyIndex.Frozen)
        case clean
        case merge([Run])
    }

    func run() {
        while true {
            let hasGarbage = !garbage.isEmpty
            let wantsRoom = hasGarbage && !deletingFailed
            let job = shared.wait { shared -> Job? in
                if shared.isStopping { return .stop }
                if shared.isResting { return nil }
                if shared.failure != nil && wantsRoom { return .clean }
                if let frozen = shared.frozen { return .write(frozen) }
                if hasGarbage { return .clean }
                if let parts = Run.mergeable(shared.runs) { return .merge(parts) }
                return nil
            }
            do throws(LogError) {
                switch job {
                case nil, .stop: return
                case .write(let frozen): try write(frozen)
                case .merge(let parts): try merge(parts)
                case .clean: try clean()
                }
            } catch {
                // What the merge has written so far is of no run.
                if let merge { garbage.append((merge.number, 0..<merge.blocksWritten)) }
                merge = nil
                if case .clean? = job { deletingFailed = true } else { deletingFailed = false }
                shared.signal { shared in
                    shared.failure = error
                    shared.isResting = true
                }
            }
        }
    }

    private func takeNumber() -> UInt64 {
        precondition(nextNumber < 1 << 32, "run number \(nextNumber)")
        defer { nextNumber += 1 }
        return nextNumber
    }

    private func write(_ frozen: KeyIndex.Frozen) throws(LogError) {
        let run = try store.write(frozen, number: takeNumber())
        shared.signal { shared in
            shared.runs.append(run)
            shared.progress = frozen.progress
            shared.frozen = nil
            shared.failure = nil
        }
    }

    private func merge(_ parts: [Run]) throws(LogError) {
        // The runs of a level only grow in number while it is merged, so the oldest eight stay the same.
        let current: IndexStore.Merge
        if let merge, merge.parts.map(\.number) == parts.map(\.number) {
            current = merge
        } else {
            if let merge { garbage.append((merge.number, 0..<merge.blocksWritten)) }
            current = IndexStore.Merge(parts, number: takeNumber())
            merge = current
        }
        guard let run = try store.step(current) else { return }
        merge = nil
        for part in parts { garbage.append((part.number, 0..<part.fences.count)) }
        let gone = Set(parts.map(\.number))
        shared.signal { shared in
            shared.runs.removeAll { gone.contains($0.number) }
            shared.runs.insert(run, at: 0)
            shared.failure = nil
        }
    }

    private func clean() throws(LogError) {
        guard let (run, blocks) = garbage.first else { return }
        let part = blocks.prefix(IndexStore.blocksPerTransaction)
        try store.deleteBlocks(part, of: run)
        garbage[0].blocks = part.upperBound..<blocks.upperBound
        if garbage[0].blocks.isEmpty { garbage.removeFirst() }
    }
}
