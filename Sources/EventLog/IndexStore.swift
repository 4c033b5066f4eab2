internal import CLMDB
import Platform

/// The key index on disk: one LMDB environment with the databases "meta", "runs" and "blocks". Written by one thread at
/// a time, read by any.
final class IndexStore: Sendable {
    static let format: UInt64 = 1
    /// Blocks that one transaction writes or deletes at most: 16 MiB, far from LMDB's limits on dirty pages.
    static let blocksPerTransaction = 4096

    /// What is known at open.
    struct Content {
        var progress: UInt64
        var runs: [Run]
    }

    private let environment: Environment
    private let meta: Database
    private let runs: Database
    private let blocks: Database

    /// Throws `.corrupt`, `.notALog`, `.newerFormat` or `.tooShort` when what is there is of no use.
    static func open(
        _ folder: String, _ logID: [UInt8], _ highWater: UInt64, _ mapBytes: Int
    ) throws(LogError) -> (IndexStore, Content) {
        try filing { () throws(FileError) in try Folder.make(folder) }
        let store = try IndexStore(folder, logID, mapBytes)
        let content = try store.load()
        guard content.progress <= highWater else {
            throw .corrupt(position: content.progress, reason: "key index: it is ahead of the log")
        }
        try store.deleteOrphans(content.runs)
        return (store, content)
    }

    private init(_ folder: String, _ logID: [UInt8], _ mapBytes: Int) throws(LogError) {
        environment = try Environment(folder: folder, databasesMax: 8, mapBytes: mapBytes, readOnly: false)
        _ = try environment.dropDeadReaders()
        let transaction = try WriteTransaction(environment)
        let handle = transaction.handle
        func database(_ name: String, _ flags: Int32) throws(LogError) -> Database {
            guard let database = try Database(name, flags: flags | MDB_CREATE, in: handle) else {
                preconditionFailure("MDB_CREATE gave no database")
            }
            return database
        }
        meta = try database("meta", 0)
        runs = try database("runs", MDB_INTEGERKEY)
        blocks = try database("blocks", MDB_INTEGERKEY)
        if let found = LogMeta.number(try getValue(transaction.handle, meta, "format")) {
            guard found == IndexStore.format else {
                throw .newerFormat(folder: folder, found: found, known: IndexStore.format)
            }
            guard try getValue(transaction.handle, meta, "log") == logID else {
                throw .notALog(folder: folder, reason: "key index: it belongs to another log")
            }
        } else {
            try putValue(transaction.handle, meta, "format", LogMeta.integer(IndexStore.format))
            try putValue(transaction.handle, meta, "log", logID)
            try putValue(transaction.handle, meta, "progress", LogMeta.integer(0))
        }
        try transaction.commit()
    }

    private func load() throws(LogError) -> Content {
        let transaction = try ReadTransaction(environment)
        guard let progress = LogMeta.number(try getValue(transaction.handle, meta, "progress")) else {
            throw .corrupt(position: 0, reason: "key index: it has no progress")
        }
        var content = Content(progress: progress, runs: [])
        let runsCursor = try Cursor(transaction.handle, runs)
        var entry = try runsCursor.move(MDB_FIRST)
        while let (key, value) = entry {
            content.runs.append(try Run(number: integerKey(key), value))
            entry = try runsCursor.move(MDB_NEXT)
        }
        return content
    }

    // MARK: Looking up

    func find(_ key: (UInt64, UInt64), in run: Run, into found: inout [KeyIndex.Entry]) throws(LogError) {
        let candidates = run.blocks(holding: key.0)
        guard !candidates.isEmpty else { return }
        let transaction = try ReadTransaction(environment)
        for block in candidates {
            let bytes = try getValue(transaction.handle, blocks, Run.blockKey(run.number, block))
            let count = try Run.blockCount(bytes, run: run.number, block: block)
            guard let bytes else { continue }
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                if Run.entry(bytes, middle).keyHash < key { low = middle + 1 } else { high = middle }
            }
            while low < count {
                let entry = Run.entry(bytes, low)
                guard entry.keyHash == key else { break }
                found.append(entry)
                low += 1
            }
        }
    }

    // MARK: Writing a table

    /// Writes a table, not an empty one, as a run, and the progress with it, in one transaction.
    func write(_ frozen: KeyIndex.Frozen, number: UInt64) throws(LogError) -> Run {
        let entries = frozen.table.entries.sorted(by: Run.precedes)
        precondition(!entries.isEmpty, "a run of no keys")
        // As blocks, and as a filter.
        try environment.checkRoom(for: 2 * entries.count * MemoryLayout<KeyIndex.Entry>.stride)
        let transaction = try WriteTransaction(environment)
        var fences: [UInt64] = []
        var filter = BloomFilter(keys: entries.count)
        for start in stride(from: 0, to: entries.count, by: Run.blockEntries) {
            let block = entries[start..<min(start + Run.blockEntries, entries.count)]
            for entry in block { filter.insert(entry.keyHash) }
            // Not MDB_APPEND: a merge with a lower number may be under way beside it.
            try putValue(
                transaction.handle, blocks, Run.blockKey(number, fences.count),
                count: Run.blockSize(block.count), flags: 0
            ) { Run.encode(block, $0) }
            fences.append(entries[start].keyHash.0)
        }
        let run = Run(number: number, level: 0, count: entries.count, fences: fences, filter: filter)
        try store(run, transaction.handle)
        try putValue(transaction.handle, meta, "progress", LogMeta.integer(frozen.progress))
        try transaction.commit()
        return run
    }

    private func store(_ run: Run, _ transaction: OpaquePointer) throws(LogError) {
        try putValue(transaction, runs, run.number, count: run.encodedSize, flags: 0) { run.encode($0) }
    }

    // MARK: Merging

    /// Several runs on their way to become one, a bounded number of blocks a transaction. The new run counts only when
    /// the last step has written what it is; before that its blocks are orphans.
    final class Merge {
        let parts: [Run]
        let number: UInt64
        let level: Int
        fileprivate var places: [Place]
        fileprivate var fences: [UInt64] = []
        fileprivate var filter: BloomFilter
        fileprivate let count: Int

        var blocksWritten: Int { fences.count }

        /// How far one part is read: a copy of one block.
        fileprivate struct Place {
            var run: Run
            var nextBlock = 0
            var block: [KeyIndex.Entry] = []
            var index = 0
        }

        init(_ parts: [Run], number: UInt64) {
            precondition(parts.count >= 2, "a merge of \(parts.count) runs")
            self.parts = parts
            self.number = number
            level = (parts.map(\.level).max() ?? 0) + 1
            places = parts.map { Place(run: $0) }
            count = parts.reduce(0) { $0 + $1.count }
            filter = BloomFilter(keys: count)
        }
    }

    /// Takes a merge a step further. Gives the new run when it is complete; its parts are then no runs any more, and
    /// their blocks wait for `deleteBlocks`.
    func step(_ merge: Merge) throws(LogError) -> Run? {
        try environment.checkRoom(
            for: IndexStore.blocksPerTransaction * Run.blockSize(Run.blockEntries) + 2 * merge.count)
        let transaction = try WriteTransaction(environment)
        var places = merge.places
        var fences = merge.fences
        var written = 0
        var isDone = false
        var block: [KeyIndex.Entry] = []
        block.reserveCapacity(Run.blockEntries)
        while written < IndexStore.blocksPerTransaction && !isDone {
            block.removeAll(keepingCapacity: true)
            while block.count < Run.blockEntries {
                guard let entry = try next(&places, transaction.handle) else {
                    isDone = true
                    break
                }
                block.append(entry)
                merge.filter.insert(entry.keyHash)
            }
            guard let first = block.first else { break }
            try putValue(
                transaction.handle, blocks, Run.blockKey(merge.number, fences.count),
                count: Run.blockSize(block.count), flags: 0
            ) { Run.encode(block[...], $0) }
            fences.append(first.keyHash.0)
            written += 1
        }
        var run: Run?
        if isDone {
            let merged = Run(
                number: merge.number, level: merge.level, count: merge.count, fences: fences, filter: merge.filter)
            for part in merge.parts { try delete(part.number, from: runs, transaction.handle) }
            try store(merged, transaction.handle)
            run = merged
        }
        try transaction.commit()
        merge.places = places
        merge.fences = fences
        return run
    }

    /// The smallest entry of all parts, taken out.
    private func next(
        _ places: inout [Merge.Place], _ transaction: OpaquePointer
    ) throws(LogError) -> KeyIndex.Entry? {
        var best: Int?
        for index in places.indices {
            if places[index].index == places[index].block.count {
                guard places[index].nextBlock < places[index].run.fences.count else { continue }
                try readBlock(&places[index], transaction)
            }
            guard let chosen = best else {
                best = index
                continue
            }
            let entry = places[index].block[places[index].index]
            if Run.precedes(entry, places[chosen].block[places[chosen].index]) { best = index }
        }
        guard let best else { return nil }
        defer { places[best].index += 1 }
        return places[best].block[places[best].index]
    }

    private func readBlock(_ place: inout Merge.Place, _ transaction: OpaquePointer) throws(LogError) {
        let bytes = try getValue(transaction, blocks, Run.blockKey(place.run.number, place.nextBlock))
        let count = try Run.blockCount(bytes, run: place.run.number, block: place.nextBlock)
        guard let bytes else { return }
        place.block.removeAll(keepingCapacity: true)
        for index in 0..<count { place.block.append(Run.entry(bytes, index)) }
        place.index = 0
        place.nextBlock += 1
    }

    // MARK: Deleting

    private func delete(_ key: UInt64, from database: Database, _ transaction: OpaquePointer) throws(LogError) {
        var number = key
        let code = withUnsafeMutableBytes(of: &number) { raw in
            var wanted = MDB_val(mv_size: raw.count, mv_data: raw.baseAddress)
            return mdb_del(transaction, database.number, &wanted, nil)
        }
        guard code != MDB_NOTFOUND else { return }
        try check(code, "mdb_del")
    }

    /// Deletes blocks of a run that is none any more, in one transaction.
    func deleteBlocks(_ range: Range<Int>, of run: UInt64) throws(LogError) {
        precondition(range.count <= IndexStore.blocksPerTransaction, "\(range.count) blocks to delete")
        let transaction = try WriteTransaction(environment)
        for block in range { try delete(Run.blockKey(run, block), from: blocks, transaction.handle) }
        try transaction.commit()
    }

    /// Deletes the blocks that belong to no run: a merge, or the deletion after one, that a crash cut short. A run
    /// whose last block is missing is found here too.
    private func deleteOrphans(_ known: [Run]) throws(LogError) {
        let blocksOf = Dictionary(uniqueKeysWithValues: known.map { ($0.number, $0.fences.count) })
        while true {
            let transaction = try WriteTransaction(environment)
            var orphans: [UInt64] = []
            do {
                let cursor = try Cursor(transaction.handle, blocks)
                var entry = try cursor.move(MDB_FIRST)
                while let (key, _) = entry, orphans.count < IndexStore.blocksPerTransaction {
                    let number = try integerKey(key)
                    if let count = blocksOf[number >> 32] {
                        // A whole run: go on behind it.
                        entry = try cursor.seek(Run.blockKey(number >> 32, count))
                    } else {
                        orphans.append(number)
                        entry = try cursor.move(MDB_NEXT)
                    }
                }
            }
            guard !orphans.isEmpty else { break }
            for key in orphans { try delete(key, from: blocks, transaction.handle) }
            try transaction.commit()
        }
        let transaction = try ReadTransaction(environment)
        for run in known where !run.fences.isEmpty {
            let last = run.fences.count - 1
            let bytes = try getValue(transaction.handle, blocks, Run.blockKey(run.number, last))
            _ = try Run.blockCount(bytes, run: run.number, block: last)
        }
    }
}
