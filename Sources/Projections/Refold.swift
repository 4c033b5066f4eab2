public import Hashing
public import Records

/// Folds a log in memory, for what its read models' digests must be: nothing on disk is read but the log. For one
/// thread at a time.
public final class Refold {
    static let chunkRecords = 10_000
    static let chunkBytes = 8 << 20
    /// Folds gather rows between flushes: bounded by this many records.
    static let flushRecords = 250_000

    /// What a refold remembers of calls: it is over soon, and a log has more owners and models than a daemon's minute.
    /// Some 80 MB with names of the usual length.
    public static let shapesMax = 1 << 18

    private let log: any RecordSource
    private let lanes: [any Lane]
    private let decoder = RecordDecoder(shapesMax: Refold.shapesMax)
    /// The greatest position that some projection is folded through.
    public let end: UInt64
    /// The last record that was folded.
    public private(set) var reached: UInt64 = 0

    /// Each projection is folded through its position.
    public init(_ projections: [(type: any Projection.Type, through: UInt64)], log: any RecordSource) {
        func lane<P: Projection>(_ type: P.Type, _ target: UInt64) -> any Lane { FoldLane<P>(through: target) }
        self.log = log
        var lanes: [any Lane] = []
        for (type, target) in projections { lanes.append(lane(type, target)) }
        self.lanes = lanes
        end = projections.map(\.through).max() ?? 0
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
        return try lanes.map { try $0.finish() }
    }

    /// All of it in one go.
    public static func run(
        _ projections: [(type: any Projection.Type, through: UInt64)], log: any RecordSource,
        progress: (UInt64) throws -> Void = { _ in }
    ) throws -> [MultisetDigest] {
        try Refold(projections, log: log).finish(progress: progress)
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
