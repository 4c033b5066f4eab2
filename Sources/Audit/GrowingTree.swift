internal import Hashing

/// The tree as it grows, leaf after leaf: what does not fill a tile yet, and the full tiles that nobody has written.
struct GrowingTree {
    private(set) var size: UInt64 = 0
    /// By level of tiles: the hashes after its last full tile, fewer than 256.
    private(set) var tails: [[Digest]] = []
    /// By level of tiles: the hashes of full tiles in a row, the last of them the last full one of its level.
    private var finished: [[Digest]] = []

    init() {}

    /// As of a multiple of 256 leaves whose full tiles are stored. Only the ends of the levels are read.
    init(size: UInt64, store: TileStore) throws {
        precondition(size % UInt64(TilePlace.width) == 0, "\(size) leaves are no full tiles")
        self.size = size
        tails = [[]]
        var level = 1
        while size >> UInt64(TilePlace.height * level) > 0 {
            let first = TilePlace.full(level, size: size) * UInt64(TilePlace.width)
            let end = size >> UInt64(TilePlace.height * level)
            tails.append(
                try (first..<end).map {
                    Merkle.root(ofComplete: try store.read(TilePlace(level: level - 1, number: $0))[...])
                })
            level += 1
        }
        finished = tails.map { _ in [] }
    }

    mutating func append(_ leaf: Digest) {
        var hash = leaf
        var level = 0
        while true {
            if level == tails.count {
                tails.append([])
                finished.append([])
            }
            tails[level].append(hash)
            guard tails[level].count == TilePlace.width else { break }
            hash = Merkle.root(ofComplete: tails[level][...])
            finished[level] += tails[level]
            tails[level].removeAll(keepingCapacity: true)
            level += 1
        }
        size += 1
    }

    /// Hands over what was finished since the last time: level, number of the first tile, hashes of the tiles.
    mutating func takeFinished(_ body: (Int, UInt64, [Digest]) throws -> Void) rethrows {
        for level in finished.indices where !finished[level].isEmpty {
            let number = TilePlace.full(level, size: size) - UInt64(finished[level].count / TilePlace.width)
            try body(level, number, finished[level])
            finished[level].removeAll(keepingCapacity: true)
        }
    }

    /// The root over all leaves: every subtree that makes it up is in the tails.
    var root: Digest {
        Merkle.fold(
            MerkleProof.root(size: size).map { node in
                let count = 1 << (node.level % TilePlace.height)
                let start = Int(node.index * UInt64(count) % UInt64(TilePlace.width))
                return Merkle.root(ofComplete: tails[node.level / TilePlace.height][start..<start + count])
            })
    }
}
