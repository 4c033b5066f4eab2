public import Hashing
internal import Records

/// Folds a log in memory, for what its read models' digests must be: nothing on disk is read but the log.
public enum Refold {
    static let chunkRecords = 10_000
    static let chunkBytes = 8 << 20
    /// Folds gather rows between flushes: bounded by this many records.
    static let flushRecords = 100_000

    /// Folds each projection through its position, in one pass over the log, and gives their digests in the same order.
    /// `progress` is called every few thousand records with the position reached; throw from it to stop.
    /// - Throws: `RecordFault` for a record that is missing, unreadable or not foldable; what the log and `progress`
    ///   throw.
    public static func run(
        _ projections: [(type: any Projection.Type, through: UInt64)], log: any RecordSource,
        progress: (UInt64) throws -> Void = { _ in }
    ) throws -> [MultisetDigest] {
        func lane<P: Projection>(_ type: P.Type, _ target: UInt64) -> any Lane { FoldLane<P>(through: target) }
        var lanes: [any Lane] = []
        for (type, target) in projections { lanes.append(lane(type, target)) }
        let end = projections.map(\.through).max() ?? 0
        var reached: UInt64 = 0
        while reached < end {
            let before = reached
            _ = try log.read(
                after: reached, recordsMax: Int(min(end - reached, UInt64(chunkRecords))), bytesMax: chunkBytes
            ) { record in
                guard record.position == reached + 1 else {
                    throw RecordFault(position: reached + 1, reason: "the log gave record \(record.position) instead")
                }
                for lane in lanes { try lane.apply(record, log: log) }
                reached = record.position
            }
            guard reached > before else { throw RecordFault(position: reached + 1, reason: "the log ends before it") }
            try progress(reached)
        }
        return try lanes.map { try $0.finish() }
    }
}

private protocol Lane: AnyObject {
    func apply(_ record: Record, log: any RecordSource) throws
    func finish() throws -> MultisetDigest
}

private final class FoldLane<P: Projection>: Lane {
    private let target: UInt64
    private var fold = P()
    private let sink = MemorySink()
    private var gathered = 0

    init(through target: UInt64) {
        self.target = target
    }

    func apply(_ record: Record, log: any RecordSource) throws {
        guard record.position <= target else { return }
        do {
            try fold.apply(record, log: log)
        } catch {
            throw (error as? RecordFault) ?? RecordFault(position: record.position, reason: "\(P.name): \(error)")
        }
        gathered += 1
        if gathered == Refold.flushRecords {
            try fold.flush(into: sink)
            gathered = 0
        }
    }

    func finish() throws -> MultisetDigest {
        try fold.check(at: target)
        try fold.flush(into: sink)
        return sink.digest
    }
}
