/// The proofs of RFC 6962 section 2.1: which nodes make them, and the checks of RFC 9162 section 2.1, which need
/// nothing but the proof and a root.
///
/// A proof is planned as a list of its hashes, each as the complete subtrees whose fold it is: whoever has the nodes
/// turns the plan into hashes.
public enum MerkleProof {
    public typealias Plan = [[MerkleNode]]

    /// The subtrees whose fold is the root of the first `size` leaves.
    public static func root(size: UInt64) -> [MerkleNode] {
        MerkleNode.covering(0..<size)
    }

    /// The audit path of a leaf in the tree of the first `size` leaves (RFC 6962 section 2.1.1), from the leaf up.
    /// Traps unless `index` < `size`.
    public static func inclusion(of index: UInt64, size: UInt64) -> Plan {
        precondition(index < size, "leaf \(index) of \(size)")
        var plan: Plan = []
        var range = 0..<size
        while range.count > 1 {
            let middle = split(range)
            let (own, other) = index < middle
                ? (range.lowerBound..<middle, middle..<range.upperBound)
                : (middle..<range.upperBound, range.lowerBound..<middle)
            plan.append(MerkleNode.covering(other))
            range = own
        }
        return plan.reversed()
    }

    /// Shows that the first `first` leaves of the tree of `second` are the tree of `first` (RFC 6962 section 2.1.2).
    /// Empty when the two are the same, or `first` is 0. Traps unless `first` <= `second`.
    public static func consistency(first: UInt64, second: UInt64) -> Plan {
        precondition(first <= second, "a tree of \(first) in one of \(second)")
        guard first > 0 && first < second else { return [] }
        var plan: Plan = []
        var range = 0..<second
        // Whether `range` began with the tree of `first`, whose root the verifier has.
        var isKnown = true
        while range.upperBound != first {
            let middle = split(range)
            if first <= middle {
                plan.append(MerkleNode.covering(middle..<range.upperBound))
                range = range.lowerBound..<middle
            } else {
                plan.append(MerkleNode.covering(range.lowerBound..<middle))
                range = middle..<range.upperBound
                isKnown = false
            }
        }
        if !isKnown { plan.append(MerkleNode.covering(range)) }
        return plan.reversed()
    }

    /// Turns a plan into the proof's hashes.
    public static func hashes(
        _ plan: Plan, node: (MerkleNode) throws -> Digest
    ) rethrows -> [Digest] {
        try plan.map { Merkle.fold(try $0.map(node)) }
    }

    /// Where a range of two leaves or more is parted: after the largest power of two below its length.
    private static func split(_ range: Range<UInt64>) -> UInt64 {
        let last = range.upperBound - range.lowerBound - 1
        return range.lowerBound + 1 << UInt64(UInt64.bitWidth - 1 - last.leadingZeroBitCount)
    }

    // MARK: Checks

    /// Whether the leaf with this hash is leaf `index` of the tree of `size` leaves with this root (RFC 9162 section
    /// 2.1.3.2).
    public static func includes(
        _ leaf: Digest, at index: UInt64, size: UInt64, root: Digest, _ proof: [Digest]
    ) -> Bool {
        guard index < size else { return false }
        var place = Place(first: index, second: size - 1)
        var hash = leaf
        for step in proof {
            guard place.second > 0 else { return false }
            hash = place.isRight ? Merkle.parent(step, hash) : Merkle.parent(hash, step)
            place.climb()
        }
        return place.second == 0 && hash == root
    }

    /// Whether the tree of `first` leaves with the first root is the beginning of the tree of `second` leaves with the
    /// second (RFC 9162 section 2.1.4.2).
    public static func isConsistent(
        first: UInt64, _ firstRoot: Digest, second: UInt64, _ secondRoot: Digest, _ proof: [Digest]
    ) -> Bool {
        guard first <= second else { return false }
        if first == second { return proof.isEmpty && firstRoot == secondRoot }
        // Every tree begins with the empty one.
        if first == 0 { return proof.isEmpty && firstRoot == Merkle.emptyRoot }
        // A complete first tree is a node of the second: its root is not sent again.
        var path = (first.nonzeroBitCount == 1 ? [firstRoot] : []) + proof
        guard !proof.isEmpty else { return false }
        var place = Place(first: first - 1, second: second - 1)
        while place.first & 1 == 1 { place.up() }
        var (before, after) = (path[0], path[0])
        path.removeFirst()
        for step in path {
            guard place.second > 0 else { return false }
            if place.isRight {
                before = Merkle.parent(step, before)
                after = Merkle.parent(step, after)
            } else {
                after = Merkle.parent(after, step)
            }
            place.climb()
        }
        return place.second == 0 && before == firstRoot && after == secondRoot
    }

    /// A node and the last one of its level, by number: the fn and sn of RFC 9162.
    private struct Place {
        var first: UInt64
        var second: UInt64

        var isRight: Bool { first & 1 == 1 || first == second }

        mutating func up() {
            first >>= 1
            second >>= 1
        }

        /// Past a step; on the right border past the levels where the node has no sibling.
        mutating func climb() {
            if isRight {
                while first & 1 == 0 && first != 0 { up() }
            }
            up()
        }
    }
}
