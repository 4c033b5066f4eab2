public import Hashing
internal import Platform

/// Holds the tiles on disk against the leaves of a walk over the log: for a verification, beside a running daemon too.
public struct TreeCheck {
    /// Hashes that are compared at once.
    static let compareRecords: UInt64 = 1 << 16

    private var tree = GrowingTree()
    private let store: TileStore
    private let head: TileHead?
    private var roots: [UInt64: Digest] = [:]
    private let rootSizes: Set<UInt64>
    /// The first thing that the tiles say otherwise than the log, and from which position on.
    public private(set) var fault: (position: UInt64, reason: String)?

    /// - Parameters:
    ///   - folder: of the tiles; there may be none.
    ///   - logID, createdAt: of the log that is walked over.
    ///   - highWater: where the log ends, asked once the tiles have said what they cover: both may grow meanwhile.
    ///   - rootsAt: sizes whose roots are wanted.
    public init(
        folder: String, logID: [UInt8], createdAt: Int64, highWater: () throws -> UInt64, rootsAt sizes: [UInt64] = []
    ) rethrows {
        store = TileStore(folder: folder, writable: false)
        rootSizes = Set(sizes)
        if rootSizes.contains(0) { roots[0] = tree.root }
        var found: TileHead?
        do {
            found = try store.head()
        } catch {
            fault = (1, "\(error)")
        }
        head = found
        guard let head else { return }
        let highWater = try highWater()
        if head.logID != logID || head.createdAt != createdAt {
            fault = (1, "the tiles are of another log, or the log says another id or time of making than when they "
                + "were begun")
        } else if head.size > highWater {
            fault = (
                highWater + 1,
                "the tiles cover \(head.size) records, but the log ends at position \(highWater): the log lost its "
                    + "tail or is an older copy"
            )
        }
    }

    /// Records that the tiles on disk cover; 0 without any.
    public var covered: UInt64 { head?.size ?? 0 }

    /// Records that were walked over, and the root over them.
    public var size: UInt64 { tree.size }
    public var root: Digest { tree.root }

    /// The root over the first so many records, one of the sizes asked for; nil before the walk was there.
    public func root(at size: UInt64) -> Digest? { roots[size] }

    /// The next record's hash.
    public mutating func append(_ leaf: Digest) {
        tree.append(leaf)
        if rootSizes.contains(tree.size) { roots[tree.size] = tree.root }
        if tree.size % TreeCheck.compareRecords == 0 || tree.size == head?.size { compare() }
    }

    /// After the last record: compares what is left.
    public mutating func finish() {
        compare()
    }

    private mutating func compare() {
        var first: (position: UInt64, reason: String)?
        let covered = covered
        let store = store
        tree.takeFinished { level, number, hashes in
            let stored = TilePlace.full(level, size: covered)
            guard number < stored else { return }
            let count = Int(min(stored - number, UInt64(hashes.count / TilePlace.width)))
            let found: (position: UInt64, reason: String)?
            do {
                let kept = try store.read(level: level, from: number, count: count)
                found = (0..<kept.count).first { kept[$0] != hashes[$0] }.map { index in
                    let span = UInt64(1) << UInt64(TilePlace.height * level)
                    let position = (number * UInt64(TilePlace.width) + UInt64(index)) * span + 1
                    let what = level == 0
                        ? "the tiles have another hash for the record at position \(position) than the log gives"
                        : "a tile of level \(level) has another hash over positions \(position) to "
                            + "\(position + span - 1) than the log gives"
                    return (position, what)
                }
            } catch TileError.damaged(_, _, let positions, let reason) {
                found = (positions.lowerBound, "the tile of level \(level) over positions \(positions.lowerBound) to "
                    + "\(positions.upperBound) \(reason)")
            } catch {
                found = (number * UInt64(TilePlace.width) + 1, "\(error)")
            }
            // The lowest level names the record itself.
            if first == nil { first = found }
        }
        if fault == nil { fault = first }
        if let head, tree.size == head.size, fault == nil, tree.root != head.root {
            fault = (1, "the head of the tiles has another root over \(head.size) records than the log gives")
        }
    }
}
