/// The Merkle tree of RFC 6962 section 2.1 over leaves in order: which nodes there are and how they are hashed.
public enum Merkle {
    /// The root of a tree without leaves: SHA-256 of nothing.
    public static let emptyRoot = SHA256.hash([])

    /// The hash of a leaf: SHA-256(0x00 and its bytes). For a record it is the record's hash.
    public static func leaf(_ bytes: UnsafeRawBufferPointer) -> Digest {
        SHA256.hash(prefix: 0, bytes)
    }

    /// The hash of a node over its two children: SHA-256(0x01, left, right).
    public static func parent(_ left: Digest, _ right: Digest) -> Digest {
        var pair = (
            left.word0.bigEndian, left.word1.bigEndian, left.word2.bigEndian, left.word3.bigEndian,
            right.word0.bigEndian, right.word1.bigEndian, right.word2.bigEndian, right.word3.bigEndian
        )
        return withUnsafeBytes(of: &pair) { SHA256.hash(prefix: 1, $0) }
    }

    /// The hash over neighbours from left to right, each over fewer leaves than the one before: how the root of any
    /// tree follows from the complete subtrees in it. Of none: the root of an empty tree.
    public static func fold(_ hashes: [Digest]) -> Digest {
        guard var result = hashes.last else { return emptyRoot }
        for hash in hashes.dropLast().reversed() { result = parent(hash, result) }
        return result
    }

    /// The root over a power of two of neighbours. Traps for another count.
    public static func root(ofComplete hashes: ArraySlice<Digest>) -> Digest {
        precondition(hashes.count.nonzeroBitCount == 1, "a complete tree of \(hashes.count) leaves")
        var row = Array(hashes)
        while row.count > 1 {
            for index in 0..<row.count / 2 { row[index] = parent(row[2 * index], row[2 * index + 1]) }
            row.removeLast(row.count / 2)
        }
        return row[0]
    }
}

/// A complete subtree: the leaves from `index << level`, 1 << level of them. Level 0 is a leaf, numbered from 0.
public struct MerkleNode: Hashable, Sendable {
    public var level: Int
    public var index: UInt64

    public init(level: Int, index: UInt64) {
        precondition(
            (0..<64).contains(level) && index <= UInt64.max >> UInt64(level), "node \(index) of level \(level)")
        self.level = level
        self.index = index
    }

    /// The first leaf after it: the size of the smallest tree that has it.
    public var end: UInt64 { (index + 1) << UInt64(level) }

    /// The complete subtrees that make up a range of leaves which begins where a subtree of its length may: left to
    /// right, descending.
    static func covering(_ range: Range<UInt64>) -> [MerkleNode] {
        var nodes: [MerkleNode] = []
        var start = range.lowerBound
        while start < range.upperBound {
            let level = UInt64.bitWidth - 1 - (range.upperBound - start).leadingZeroBitCount
            nodes.append(MerkleNode(level: level, index: start >> UInt64(level)))
            start += 1 << UInt64(level)
        }
        return nodes
    }
}
