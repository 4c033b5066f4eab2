import Hashing
import Testing

/// RFC 6962 section 2.1 as it stands there, recursion and all: what the quick ways are measured against.
private enum Definition {
    static func root(_ leaves: ArraySlice<Digest>) -> Digest {
        guard leaves.count > 1 else { return leaves.first ?? SHA256.hash([]) }
        let middle = leaves.startIndex + split(leaves.count)
        return node(root(leaves[..<middle]), root(leaves[middle...]))
    }

    static func path(_ index: Int, _ leaves: ArraySlice<Digest>) -> [Digest] {
        guard leaves.count > 1 else { return [] }
        let k = split(leaves.count)
        let middle = leaves.startIndex + k
        return index < k
            ? path(index, leaves[..<middle]) + [root(leaves[middle...])]
            : path(index - k, leaves[middle...]) + [root(leaves[..<middle])]
    }

    static func proof(_ first: Int, _ leaves: ArraySlice<Digest>, _ isKnown: Bool = true) -> [Digest] {
        if first == leaves.count { return isKnown ? [] : [root(leaves)] }
        let k = split(leaves.count)
        let middle = leaves.startIndex + k
        return first <= k
            ? proof(first, leaves[..<middle], isKnown) + [root(leaves[middle...])]
            : proof(first - k, leaves[middle...], false) + [root(leaves[..<middle])]
    }

    private static func split(_ count: Int) -> Int {
        var k = 1
        while k * 2 < count { k *= 2 }
        return k
    }

    private static func node(_ left: Digest, _ right: Digest) -> Digest { SHA256.hash([1] + left.bytes + right.bytes) }
}

@Suite struct MerkleTests {
    private static let sizeMax = 130

    private func leaves(_ count: Int, from first: Int = 0) -> [Digest] {
        (first..<(first + count)).map { SHA256.hash([0] + Array("leaf \($0)".utf8)) }
    }

    /// Every complete subtree of the leaves, as adding them completes it.
    private func nodes(_ leaves: [Digest]) -> [MerkleNode: Digest] {
        var range = MerkleRange()
        var nodes: [MerkleNode: Digest] = [:]
        for leaf in leaves { range.append(leaf) { nodes[$0] = $1 } }
        return nodes
    }

    /// The leaves and roots that implementations of RFC 6962 test with; the roots follow from the definition.
    @Test func `the roots of the usual test leaves`() {
        let leaves: [[UInt8]] = [
            [], [0x00], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43],
            [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            [0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F],
        ]
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ]
        var range = MerkleRange()
        #expect(range.root.hex == roots[0])
        for (leaf, root) in zip(leaves, roots.dropFirst()) {
            range.append(leaf.withUnsafeBytes { Merkle.leaf($0) })
            #expect(range.root.hex == root)
        }
    }

    @Test func `roots and ranges of every size are those of the definition`() {
        let leaves = leaves(Self.sizeMax)
        let nodes = nodes(leaves)
        var range = MerkleRange()
        for size in 0...Self.sizeMax {
            let root = Definition.root(leaves[..<size])
            #expect(range.root == root)
            let hashes = MerkleProof.root(size: UInt64(size)).map { nodes[$0] ?? .zero }
            #expect(Merkle.fold(hashes) == root)
            #expect(MerkleRange(size: UInt64(size), hashes: hashes) == range)
            if size.nonzeroBitCount == 1 { #expect(Merkle.root(ofComplete: leaves[..<size]) == root) }
            if size < leaves.count { range.append(leaves[size]) }
        }
    }

    @Test func `every inclusion proof is that of the definition, and holds for nothing else`() {
        let leaves = leaves(Self.sizeMax)
        let nodes = nodes(leaves)
        for size in 1...Self.sizeMax {
            let root = Definition.root(leaves[..<size])
            for index in 0..<size {
                let plan = MerkleProof.inclusion(of: UInt64(index), size: UInt64(size))
                let proof = MerkleProof.hashes(plan) { nodes[$0] ?? .zero }
                #expect(proof == Definition.path(index, leaves[..<size]))
                func holds(
                    _ leaf: Digest, _ index: Int, _ size: Int, _ root: Digest, _ proof: [Digest]
                ) -> Bool {
                    MerkleProof.includes(leaf, at: UInt64(index), size: UInt64(size), root: root, proof)
                }
                #expect(holds(leaves[index], index, size, root, proof))
                guard size <= 24 || (size > 125 && index % 13 == 0) else { continue }
                let other = leaves[(index + 1) % Self.sizeMax]
                #expect(!holds(other, index, size, root, proof))
                #expect(!holds(leaves[index], index, size, other, proof))
                #expect(!holds(leaves[index], index, size, root, proof + [other]))
                #expect(!holds(leaves[index], size, size, root, proof))
                for wrong in 0..<size where wrong != index { #expect(!holds(leaves[index], wrong, size, root, proof)) }
                for at in proof.indices {
                    var changed = proof
                    changed[at] = flipped(changed[at])
                    #expect(!holds(leaves[index], index, size, root, changed))
                    changed = proof
                    changed.remove(at: at)
                    #expect(!holds(leaves[index], index, size, root, changed))
                    guard at > 0, proof[at] != proof[at - 1] else { continue }
                    changed = proof
                    changed.swapAt(at, at - 1)
                    #expect(!holds(leaves[index], index, size, root, changed))
                }
            }
        }
    }

    @Test func `every consistency proof is that of the definition, and holds for nothing else`() {
        let leaves = leaves(Self.sizeMax)
        let nodes = nodes(leaves)
        let roots = (0...Self.sizeMax).map { Definition.root(leaves[..<$0]) }
        for second in 0...Self.sizeMax {
            for first in 0...second {
                let plan = MerkleProof.consistency(first: UInt64(first), second: UInt64(second))
                let proof = MerkleProof.hashes(plan) { nodes[$0] ?? .zero }
                #expect(proof == (first == 0 ? [] : Definition.proof(first, leaves[..<second])))
                func holds(
                    _ first: Int, _ before: Digest, _ second: Int, _ after: Digest, _ proof: [Digest]
                ) -> Bool {
                    MerkleProof.isConsistent(
                        first: UInt64(first), before, second: UInt64(second), after, proof)
                }
                #expect(holds(first, roots[first], second, roots[second], proof))
                guard first > 0 && first < second && (second <= 24 || second > 125 && first % 13 == 0) else { continue }
                #expect(!holds(first, flipped(roots[first]), second, roots[second], proof))
                #expect(!holds(first, roots[first], second, flipped(roots[second]), proof))
                #expect(!holds(first, roots[first], second, roots[second], proof + [roots[0]]))
                #expect(!holds(first, roots[first], second, roots[second], []))
                #expect(!holds(second, roots[first], first, roots[second], proof))
                for at in proof.indices {
                    var changed = proof
                    changed[at] = flipped(changed[at])
                    #expect(!holds(first, roots[first], second, roots[second], changed))
                    changed = proof
                    changed.remove(at: at)
                    #expect(!holds(first, roots[first], second, roots[second], changed))
                }
            }
        }
    }

    @Test func `a log with other records of old has no consistency proof`() {
        let old = leaves(100)
        for changed in [0, 41, 98, 99] {
            var new = old + leaves(30, from: 100)
            new[changed] = flipped(new[changed])
            let nodes = nodes(new)
            for first in (changed + 1)...100 {
                let plan = MerkleProof.consistency(first: UInt64(first), second: 130)
                #expect(
                    !MerkleProof.isConsistent(
                        first: UInt64(first), Definition.root(old[..<first]), second: 130, Definition.root(new[...]),
                        MerkleProof.hashes(plan) { nodes[$0] ?? .zero }))
            }
        }
    }

    @Test func `a collector finds the nodes that it was asked for and no others`() {
        let leaves = leaves(77)
        let nodes = nodes(leaves)
        var everything = MerkleCollector(nodes.keys)
        var some = MerkleCollector([MerkleNode(level: 3, index: 2), MerkleNode(level: 0, index: 23)])
        for leaf in leaves {
            everything.append(leaf)
            some.append(leaf)
        }
        #expect(everything.found == nodes)
        let inner = MerkleNode(level: 3, index: 2)
        #expect(some.found.count == 2 && some.hash(of: inner) == nodes[inner])
        #expect(some.range.root == Definition.root(leaves[...]))
    }

    private func flipped(_ digest: Digest) -> Digest {
        Digest(digest.word0, digest.word1, digest.word2 ^ 1 << 17, digest.word3)
    }
}
