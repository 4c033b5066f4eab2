/// For an audit path of many leaves at once: the hash of every largest subtree in which none of them is, left to right.
/// With their own hashes these give the root, and nothing that is in them twice. One walk over all leaves.
///
/// Where RFC 6962 parts a tree, a side without a chosen leaf is one hash, whatever its size.
public struct MerkleGaps: Sendable {
    private struct Peak {
        var level: Int
        var start: UInt64
        var hash: Digest
        /// Whether a chosen leaf is below.
        var isMixed: Bool
    }

    private var peaks: [Peak] = []
    private var gaps: [(start: UInt64, hash: Digest)] = []
    public private(set) var size: UInt64 = 0

    public init() {}

    public mutating func append(_ leaf: Digest, isChosen: Bool) {
        var peak = Peak(level: 0, start: size, hash: leaf, isMixed: isChosen)
        while let left = peaks.last, left.level == peak.level {
            peaks.removeLast()
            peak = joined(left, peak)
        }
        peaks.append(peak)
        size += 1
    }

    private mutating func joined(_ left: Peak, _ right: Peak) -> Peak {
        if left.isMixed != right.isMixed {
            let gap = left.isMixed ? right : left
            gaps.append((gap.start, gap.hash))
        }
        return Peak(
            level: left.level + 1, start: left.start, hash: Merkle.parent(left.hash, right.hash),
            isMixed: left.isMixed || right.isMixed)
    }

    /// The hashes, and the root over all leaves.
    public consuming func finish() -> (gaps: [Digest], root: Digest) {
        guard var last = peaks.popLast() else { return ([], Merkle.emptyRoot) }
        while let left = peaks.popLast() { last = joined(left, last) }
        if !last.isMixed { gaps.append((last.start, last.hash)) }
        return (gaps.sorted { $0.start < $1.start }.map(\.hash), last.hash)
    }
}
