public import Hashing
public import Records

/// Folds a log in memory, for what its read models' digests must be: nothing on disk is read but the log. For one
/// thread at a time.
public final class Refold {
    static let chunkRecords = 10_000
    static let chunkBytes = 8 << 20
    /// Folds gather rows between flushes: bounded by this many records.
    static let flushRecords = 500_000
    /// Rows that need no gathering wait for this many records only: in the cache, for a million of them would be a
    /// hundred megabytes.
    static let drainRecords = 1000

    /// What a refold remembers of calls: it is over soon, and a log has more owners and models than a daemon's minute.
    /// Some 80 MB with names of the usual length.
    public static let shapesMax = 1 << 18

    private let log: any RecordSource
    private let lanes: [any RefoldLane]
    /// Of each projection, in the order they were given.
    private let digests: [() -> MultisetDigest]
    private let decoder = RecordDecoder(shapesMax: Refold.shapesMax)
    /// The greatest position that some projection is folded through.
    public let end: UInt64
    /// The last record that was folded.
    public private(set) var reached: UInt64 = 0

    /// Each projection is folded through its position.
    public init(_ projections: [(type: any Projection.Type, through: UInt64)], log: any RecordSource) {
        self.log = log
        end = projections.map(\.through).max() ?? 0
        var lanes: [any RefoldLane] = []
        var books: [UInt64: BookLane] = [:]
        digests = projections.map { type, target in
            guard let type = type as? any BookProjection.Type else {
                let lane = Refold.lane(type, through: target)
                lanes.append(lane)
                return { lane.digest }
            }
            let book = books[target] ?? BookLane(through: target)
            if books.updateValue(book, forKey: target) == nil { lanes.append(book) }
            return book.add(type)
        }
        self.lanes = lanes
    }

    private static func lane<P: Projection>(_ type: P.Type, through target: UInt64) -> any RefoldLane {
        ProjectionLane<P>(through: target)
    }

    /// Folds the next record, for whoever reads the log anyway. One after `end` changes nothing.
    /// - Throws: `RecordFault` for a record out of order or not foldable; then nothing more can be folded.
    public func apply(_ record: Record) throws {
        guard record.position == reached + 1 else {
            throw RecordFault(position: reached + 1, reason: "the log gave record \(record.position) instead")
        }
        for lane in lanes { try lane.apply(record, log: log) }
        reached = record.position
    }

    /// The same for a record as the log has it.
    public func apply(_ bytes: UnsafeRawBufferPointer, at position: UInt64) throws {
        try apply(EventLogSource.decode(bytes, at: position, with: decoder))
    }

    /// Reads the log from where it is and folds what is left, and gives the digests in the order of the projections.
    /// `progress` is called every few thousand records with the position reached; throw from it to stop.
    /// - Throws: `RecordFault` for a record that is missing, unreadable or not foldable; what the log and `progress`
    ///   throw.
    public func finish(progress: (UInt64) throws -> Void = { _ in }) throws -> [MultisetDigest] {
        while reached < end {
            let before = reached
            let recordsMax = Int(min(end - reached, UInt64(Refold.chunkRecords)))
            _ = try log.read(after: reached, recordsMax: recordsMax, bytesMax: Refold.chunkBytes, decoder: decoder) {
                try apply($0)
            }
            guard reached > before else { throw RecordFault(position: reached + 1, reason: "the log ends before it") }
            try progress(reached)
        }
        for lane in lanes { try lane.finish() }
        return digests.map { $0() }
    }

    /// All of it in one go.
    public static func run(
        _ projections: [(type: any Projection.Type, through: UInt64)], log: any RecordSource,
        progress: (UInt64) throws -> Void = { _ in }
    ) throws -> [MultisetDigest] {
        try Refold(projections, log: log).finish(progress: progress)
    }
}

