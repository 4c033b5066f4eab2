/// The first leaves of a tree, as the roots of the complete subtrees that they make: all that is needed to add a leaf
/// and to give the root. At most 64 hashes, however many leaves.
public struct MerkleRange: Hashable, Sendable {
    /// How many leaves.
    public private(set) var size: UInt64
    /// Largest first: one for each bit of `size` that is set.
    public private(set) var hashes: [Digest]

    /// Without leaves.
    public init() {
        size = 0
        hashes = []
    }

    /// Of that many leaves, whose subtrees (`MerkleProof.root`) have these roots. Traps unless there is one for each.
    public init(size: UInt64, hashes: [Digest]) {
        precondition(hashes.count == size.nonzeroBitCount, "\(hashes.count) subtrees in \(size) leaves")
        self.size = size
        self.hashes = hashes
    }

    /// The root of the tree, in at most 63 hashes.
    public var root: Digest { Merkle.fold(hashes) }

    public mutating func append(_ leaf: Digest) {
        append(leaf) { _, _ in }
    }

    /// Adds a leaf and hands over each subtree that it completes, beginning with itself.
    public mutating func append(_ leaf: Digest, completed: (MerkleNode, Digest) -> Void) {
        precondition(size < UInt64.max >> 1, "a tree of \(size) leaves")
        completed(MerkleNode(level: 0, index: size), leaf)
        var hash = leaf
        var level = 0
        while size >> UInt64(level) & 1 == 1 {
            hash = Merkle.parent(hashes.removeLast(), hash)
            level += 1
            completed(MerkleNode(level: level, index: size >> UInt64(level)), hash)
        }
        hashes.append(hash)
        size += 1
    }
}

/// Picks the hashes of some nodes out of one walk over the leaves, in the memory of those nodes.
public struct MerkleCollector: Sendable {
    public private(set) var range = MerkleRange()
    public private(set) var found: [MerkleNode: Digest] = [:]
    /// In the order in which they are completed; `next` is the first that is not yet.
    private let wanted: [MerkleNode]
    private var next = 0

    public init(_ wanted: some Sequence<MerkleNode>) {
        self.wanted = Set(wanted).sorted { ($0.end, $0.level) < ($1.end, $1.level) }
    }

    public mutating func append(_ leaf: Digest) {
        guard next < wanted.count, wanted[next].end == range.size + 1 else { return range.append(leaf) }
        var (found, next) = (found, next)
        range.append(leaf) { node, hash in
            guard next < wanted.count, wanted[next] == node else { return }
            found[node] = hash
            next += 1
        }
        (self.found, self.next) = (found, next)
    }

    /// The hash of a node that was asked for and whose leaves have all been added. Traps otherwise.
    public func hash(of node: MerkleNode) -> Digest {
        guard let hash = found[node] else { preconditionFailure("\(node) was not collected of \(range.size) leaves") }
        return hash
    }
}
