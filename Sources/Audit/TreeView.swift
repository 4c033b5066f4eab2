public import Hashing
internal import Platform

/// The Merkle tree at one size, for whoever asks: what does not fill a tile is in memory, the rest in the tiles. Every
/// tile that is read is checked against the one above it, up to the hashes in memory, so that a damaged one gives an
/// error and never a proof.
public struct TreeView: Sendable {
    /// Records covered: positions 1 ... size.
    public let size: UInt64
    /// By level of tiles: the hashes after its last full tile, fewer than 256.
    let tails: [[Digest]]
    let store: TileStore

    /// The root over the first `size` records, which must be at most `self.size`.
    public func root(of size: UInt64) throws -> Digest {
        precondition(size <= self.size, "the root of \(size) records of \(self.size)")
        var reader = TileReader(view: self)
        return Merkle.fold(try MerkleProof.root(size: size).map { try reader.hash(of: $0) })
    }

    /// The record hash and the audit path of a position in the tree of `size` records, checked against its root.
    public func inclusion(of position: UInt64, size: UInt64) throws -> (hash: Digest, proof: [Digest]) {
        precondition(size <= self.size, "a proof in \(size) records of \(self.size)")
        var reader = TileReader(view: self)
        let hash = try reader.hash(of: MerkleNode(level: 0, index: position - 1))
        let plan = MerkleProof.inclusion(of: position - 1, size: size)
        let proof = try MerkleProof.hashes(plan) { try reader.hash(of: $0) }
        let root = Merkle.fold(try MerkleProof.root(size: size).map { try reader.hash(of: $0) })
        precondition(
            MerkleProof.includes(hash, at: position - 1, size: size, root: root, proof),
            "the proof of \(position) in \(size) does not hold")
        return (hash, proof)
    }

    /// The proof that the tree of `second` records begins with that of `first`, checked against both roots.
    public func consistency(first: UInt64, second: UInt64) throws -> [Digest] {
        precondition(first <= second && second <= size, "a proof from \(first) to \(second) of \(size)")
        var reader = TileReader(view: self)
        func root(_ size: UInt64) throws -> Digest {
            Merkle.fold(try MerkleProof.root(size: size).map { try reader.hash(of: $0) })
        }
        let proof = try MerkleProof.hashes(MerkleProof.consistency(first: first, second: second)) {
            try reader.hash(of: $0)
        }
        let roots = (try root(first), try root(second))
        precondition(
            MerkleProof.isConsistent(first: first, roots.0, second: second, roots.1, proof),
            "the proof from \(first) to \(second) does not hold")
        return proof
    }
}

/// Nodes out of tiles, each tile read and checked once.
private struct TileReader {
    let view: TreeView
    private var tiles: [TilePlace: [Digest]] = [:]

    init(view: TreeView) {
        self.view = view
    }

    mutating func hash(of node: MerkleNode) throws -> Digest {
        precondition(node.end <= view.size, "\(node) is not in \(view.size) leaves")
        let level = node.level / TilePlace.height
        let count = 1 << (node.level % TilePlace.height)
        let first = node.index * UInt64(count)
        let hashes = try hashes(TilePlace(level: level, number: first / UInt64(TilePlace.width)))
        let start = Int(first % UInt64(TilePlace.width))
        return Merkle.root(ofComplete: hashes[start..<start + count])
    }

    private mutating func hashes(_ place: TilePlace) throws -> [Digest] {
        if place.number == TilePlace.full(place.level, size: view.size) {
            return place.level < view.tails.count ? view.tails[place.level] : []
        }
        if let known = tiles[place] { return known }
        let hashes = try view.store.read(place)
        let (above, index) = place.above
        guard Merkle.root(ofComplete: hashes[...]) == (try self.hashes(above))[index] else {
            throw view.store.damaged(place, "does not have the hash that is kept of it")
        }
        tiles[place] = hashes
        return hashes
    }
}
