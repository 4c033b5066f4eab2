internal import CLMDB
import Platform

/// What the key index on disk says, held against what the log gives: for a verification, beside a running daemon too.
/// Keys that are in memory alone are not its business: they come back from the log.
public struct KeyIndexCheck {
    /// Every key up to this position is in runs on disk.
    public let progress: UInt64
    public private(set) var entries = 0
    public private(set) var runs = 0

    /// Positions that share one sum: how close a difference is named.
    static let positionsPerSum: UInt64 = 1024
    /// Of the entries of the runs less those of the log, by position. Sums against rot and mistakes, not malice: who
    /// can write the index can write the log.
    private var sums: [UInt64]

    /// Reads and checks the whole index. Nil when there is none.
    /// - Parameters:
    ///   - folder: as `KeyIndex.open` has it.
    ///   - highWater: where the log ends, asked once the index has said how far it goes: both may grow meanwhile.
    /// - Throws: `.corrupt`, `.notALog`, `.newerFormat` or `.tooShort` when it does not hold in itself.
    public init?(folder: String, logID: [UInt8], highWater: () throws(LogError) -> UInt64) throws(LogError) {
        let data = folder + "/" + KeyIndex.dataFolder
        guard File.exists(data + "/data.mdb") else { return nil }
        guard try filing({ () throws(FileError) in try File.size(data + "/data.mdb") }) > 0 else { return nil }
        let environment = try Environment(
            folder: data, databasesMax: 8, mapBytes: 1 << 20, readOnly: true)
        // Not closed before the transaction has ended.
        defer { withExtendedLifetime(environment) {} }
        _ = try PageWalk.run(environment)
        let transaction = try ReadTransaction(environment)
        let handle = transaction.handle
        func database(_ name: String, _ flags: Int32) throws(LogError) -> Database {
            guard let database = try Database(name, flags: flags, in: handle) else {
                throw .notALog(folder: data, reason: "key index: it has no \(name)")
            }
            return database
        }
        let meta = try database("meta", 0)
        guard LogMeta.number(try getValue(transaction.handle, meta, "format")) == IndexStore.format else {
            throw .notALog(folder: data, reason: "key index: it says no format that is known")
        }
        guard try getValue(transaction.handle, meta, "log") == logID else {
            throw .notALog(folder: data, reason: "key index: it belongs to another log")
        }
        guard let progress = LogMeta.number(try getValue(transaction.handle, meta, "progress")) else {
            throw .corrupt(position: 0, reason: "key index: it has no progress")
        }
        let highWater = try highWater()
        guard progress <= highWater else {
            throw .corrupt(
                position: highWater + 1,
                reason: "key index: it has keys up to position \(progress), but the log ends at \(highWater): the log "
                    + "lost its tail or is an older copy")
        }
        self.progress = progress
        sums = [UInt64](repeating: 0, count: Int(progress / KeyIndexCheck.positionsPerSum) + 1)
        let runsCursor = try Cursor(transaction.handle, try database("runs", MDB_INTEGERKEY))
        let blocks = try database("blocks", MDB_INTEGERKEY)
        var entry = try runsCursor.move(MDB_FIRST)
        while let (key, value) = entry {
            let run = try Run(number: integerKey(key), value)
            guard run.number < 1 << 32 else {
                throw .corrupt(position: 0, reason: "key index: a run has the number \(run.number)")
            }
            try add(run, blocks, transaction.handle)
            runs += 1
            entry = try runsCursor.move(MDB_NEXT)
        }
    }

    private mutating func add(_ run: Run, _ blocks: Database, _ transaction: OpaquePointer) throws(LogError) {
        var count = 0
        var previous: KeyIndex.Entry?
        for block in run.fences.indices {
            let bytes = try getValue(transaction, blocks, Run.blockKey(run.number, block))
            let inBlock = try Run.blockCount(bytes, run: run.number, block: block)
            guard let bytes else { continue }
            for index in 0..<inBlock {
                let entry = Run.entry(bytes, index)
                guard previous.map({ Run.precedes($0, entry) }) ?? true, (1...progress).contains(entry.position),
                    run.filter.mayContain(entry.keyHash), index > 0 || run.fences[block] == entry.keyHash.0
                else {
                    throw .corrupt(
                        position: entry.position,
                        reason: "key index: block \(block) of run \(run.number) holds an entry that does not belong "
                            + "there; delete the index folder")
                }
                add(entry, sign: 1)
                previous = entry
            }
            count += inBlock
        }
        guard count == run.count else {
            throw .corrupt(
                position: 0,
                reason: "key index: run \(run.number) has \(count) entries and says \(run.count); delete the index "
                    + "folder")
        }
        entries += count
    }

    /// Takes the entry that the log gives for a position up to `progress`.
    public mutating func expect(_ entry: KeyIndex.Entry) {
        add(entry, sign: ~0)
    }

    private mutating func add(_ entry: KeyIndex.Entry, sign: UInt64) {
        var state = entry.position &* 0x9E37_79B9_7F4A_7C15
        for word in [entry.keyHash.0, entry.keyHash.1, entry.contentHash.0, entry.contentHash.1] {
            state = (state ^ word) &* 0xD6E8_FEB8_6659_FD93
            state ^= state >> 32
        }
        sums[Int(entry.position / KeyIndexCheck.positionsPerSum)] &+= state &* sign
    }

    /// Once every position up to `progress` was expected: the first positions for which the index has other entries
    /// than the log gives; nil when there are none.
    public var difference: ClosedRange<UInt64>? {
        guard let index = sums.firstIndex(where: { $0 != 0 }) else { return nil }
        let first = UInt64(index) * KeyIndexCheck.positionsPerSum
        return max(1, first)...min(progress, first + KeyIndexCheck.positionsPerSum - 1)
    }
}

extension EventLog {
    /// Checks how the pages of a log's file hang together, before anything follows them: a damaged one may end the
    /// process that believes it. Gives the number of pages in use.
    /// - Throws: `.corrupt`, `.notALog`, `.tooShort`.
    public static func checkPages(folder: String) throws(LogError) -> Int {
        guard try filing({ () throws(FileError) in try File.size(folder + "/data.mdb") }) > 0 else {
            throw .tooShort(folder: folder, bytes: 0, needed: metaBytes)
        }
        return try PageWalk.run(Environment(folder: folder, databasesMax: 4, mapBytes: 1 << 20, readOnly: true))
    }
}
