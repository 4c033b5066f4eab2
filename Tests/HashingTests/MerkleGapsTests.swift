import Testing

@testable import Hashing

/// As RFC 6962 section 2.1 defines the tree: from the root down, a side without a chosen leaf is the next given hash.
private func root(_ leaves: ArraySlice<Digest?>, _ gaps: inout ArraySlice<Digest>) -> Digest? {
    if !leaves.contains(where: { $0 != nil }) { return gaps.popFirst() }
    if leaves.count == 1 { return leaves[leaves.startIndex] }
    var half = 1
    while half * 2 < leaves.count { half *= 2 }
    let middle = leaves.startIndex + half
    guard let left = root(leaves[..<middle], &gaps), let right = root(leaves[middle...], &gaps) else { return nil }
    return Merkle.parent(left, right)
}

@Test func `the gaps and the chosen leaves give the root, for every choice of up to ten leaves`() {
    for size in 1...10 {
        let leaves = (0..<size).map { SHA256.hash([UInt8($0)]) }
        var range = MerkleRange()
        for leaf in leaves { range.append(leaf) }
        for choice in 0..<(1 << size) {
            var gaps = MerkleGaps()
            for (index, leaf) in leaves.enumerated() { gaps.append(leaf, isChosen: choice >> index & 1 == 1) }
            let (hashes, whole) = gaps.finish()
            #expect(whole == range.root)
            var left = hashes[...]
            let known = leaves.enumerated().map { choice >> $0.offset & 1 == 1 ? $0.element : nil }
            #expect(root(known[...], &left) == range.root, "\(size) leaves, choice \(choice)")
            #expect(left.isEmpty, "\(size) leaves, choice \(choice): \(left.count) hashes left over")
        }
    }
    #expect(MerkleGaps().finish().root == Merkle.emptyRoot)
}
