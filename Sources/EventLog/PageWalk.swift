internal import CLMDB
import Glibc
import Platform

/// Looks at the pages of an LMDB file as they are on disk, with pread(2) and without following a pointer before it is
/// known to be good. LMDB 0.9 has no checksums and believes what its pages say: a damaged one makes it read past the
/// map, loop or abort. Every byte of a page's structure is held against the others; bytes of values are not looked at.
///
/// Layouts are those of LMDB 0.9 on 64 bits (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta), all of them little-endian
/// here:
/// ```
/// page   0 8 own number   8 2 pad   10 2 flags   12 2 lower, 14 2 upper (overflow: 12 4 pages)   16 2n node offsets
/// node   0 2+2 size of value (branch: child, with flags as its top)   4 2 flags   6 2 size of key   8 key, value
/// tree   0 4 pad   4 2 flags   6 2 depth   8 8 branch pages   16 8 leaf pages   24 8 overflow pages   32 8 entries
///        40 8 root
/// meta   page header, then 16 4 magic   20 4 version   24 8 address   32 8 map size   40 48 free tree
///        88 48 main tree   136 8 last page   144 8 transaction
/// ```
struct PageWalk {
    private static let headerSize = 16
    private static let nodeHeaderSize = 8
    private static let depthMax = 24

    private enum Flags {
        static let branch: UInt16 = 0x01
        static let leaf: UInt16 = 0x02
        static let overflow: UInt16 = 0x04
        static let meta: UInt16 = 0x08
        static let bigData: UInt16 = 0x01
        static let subTree: UInt16 = 0x02
        static let integerKey: UInt16 = 0x08
    }

    private let file: PlacedFile
    private let pageSize: Int
    private let last: UInt64
    /// One bit a page: it was met.
    private var seen: [UInt64]
    /// The last key of the tree "frames" that was passed: what follows it may be lost with a page.
    private var position: UInt64 = 0

    /// Checks the file of an environment at one moment of it, in one read transaction.
    /// - Returns: how many pages are in use.
    /// - Throws: `.corrupt` with the position before which everything was well.
    static func run(_ environment: Environment) throws(LogError) -> Int {
        // Not closed before the transaction has ended.
        defer { withExtendedLifetime(environment) {} }
        let transaction = try ReadTransaction(environment)
        var statistics = MDB_stat()
        try check(mdb_env_stat(environment.handle, &statistics), "mdb_env_stat")
        let file = try filing { () throws(FileError) in
            try PlacedFile(path: environment.folder + "/data.mdb", writable: false)
        }
        return try walk(file, pageSize: Int(statistics.ms_psize), transaction: UInt64(mdb_txn_id(transaction.handle)))
    }

    private static func walk(_ file: PlacedFile, pageSize: Int, transaction: UInt64) throws(LogError) -> Int {
        let page = transaction & 1
        var walk = PageWalk(file: file, pageSize: pageSize, last: 1)
        let bytes = try walk.read(page, count: pageSize)
        guard bytes.word16(10) == Flags.meta, bytes.word64(0) == page, bytes.word64(144) == transaction else {
            throw walk.fault(page, "is not the meta page of transaction \(transaction)")
        }
        let last = bytes.word64(136)
        guard last >= 1 && last < UInt64(Int.max) / UInt64(pageSize) else {
            throw walk.fault(page, "says that the last page is \(last)")
        }
        walk = PageWalk(file: file, pageSize: pageSize, last: last)
        try walk.meet(0)
        try walk.meet(1)
        var trees: [(name: String, tree: Tree)] = []
        try walk.visit(Tree(bytes, at: 88), name: "main") { _, key, value throws(LogError) in
            guard value.count == Tree.size else { return }
            trees.append((String(decoding: key, as: UTF8.self), Tree(value, at: 0)))
        }
        for (name, tree) in trees { try walk.visit(tree, name: name) { _, _, _ throws(LogError) in } }
        let used = walk.seen.reduce(0) { $0 + $1.nonzeroBitCount }
        // What is free must not be in use too: a later commit would write over it.
        var free: [UInt64] = []
        try walk.visit(Tree(bytes, at: 40), name: "free", readsValues: true) { walk, _, value throws(LogError) in
            guard value.count >= 8, value.word64(0) < UInt64(value.count / 8) else {
                throw walk.fault(page, "leads to a damaged list of free pages")
            }
            for index in 0..<Int(value.word64(0)) { free.append(value.word64(8 + 8 * index)) }
        }
        for number in free { try walk.meet(number) }
        return used
    }

    private init(file: PlacedFile, pageSize: Int, last: UInt64) {
        self.file = file
        self.pageSize = pageSize
        self.last = last
        seen = [UInt64](repeating: 0, count: Int(last / 64) + 1)
    }

    private func fault(_ page: UInt64, _ reason: String) -> LogError {
        .corrupt(position: position + 1, reason: "or after it, a page of data.mdb is damaged: page \(page) \(reason)")
    }

    /// Each page has one place in the file's trees and lists, or none.
    private mutating func meet(_ page: UInt64) throws(LogError) {
        guard page <= last else { throw fault(page, "is past the last page, \(last)") }
        let (word, bit) = (Int(page / 64), UInt64(1) << (page % 64))
        guard seen[word] & bit == 0 else { throw fault(page, "is in two places") }
        seen[word] |= bit
    }

    private func read(_ page: UInt64, count: Int) throws(LogError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let outcome = bytes.withUnsafeMutableBytes { room -> Result<Int, FileError> in
            do throws(FileError) { return .success(try file.read(into: room, at: Int(page) * pageSize)) } catch {
                return .failure(error)
            }
        }
        let found = try filing { () throws(FileError) in try outcome.get() }
        guard found == count else { throw fault(page, "is past the end of the file") }
        return bytes
    }

    // MARK: Trees

    private struct Tree {
        static let size = 48
        /// The size of a page in the free tree, 0 in others.
        var pad: UInt32
        var flags: UInt16
        var depth: Int
        var branchPages, leafPages, overflowPages, entries: UInt64
        var root: UInt64

        init(_ bytes: [UInt8], at offset: Int) {
            pad = bytes.word32(offset)
            flags = bytes.word16(offset + 4)
            depth = Int(bytes.word16(offset + 6))
            branchPages = bytes.word64(offset + 8)
            leafPages = bytes.word64(offset + 16)
            overflowPages = bytes.word64(offset + 24)
            entries = bytes.word64(offset + 32)
            root = bytes.word64(offset + 40)
        }

        var isEmpty: Bool { root == .max }
    }

    /// One walk over a tree: what it should be and what was found.
    private struct Visit {
        let tree: Tree
        let name: String
        let readsValues: Bool
        var branchPages: UInt64 = 0
        var leafPages: UInt64 = 0
        var overflowPages: UInt64 = 0
        var entries: UInt64 = 0
        var previous: [UInt8]?
        /// The first key of the leaf that comes next is not below this one.
        var bound: [UInt8]?

        var hasIntegers: Bool { tree.flags & Flags.integerKey != 0 }

        func isAscending(_ left: [UInt8], _ right: [UInt8]) -> Bool {
            hasIntegers ? left.word64(0) < right.word64(0) : left.lexicographicallyPrecedes(right)
        }
    }

    private typealias Body = (PageWalk, _ key: [UInt8], _ value: [UInt8]) throws(LogError) -> Void

    /// `body` gets every key; its value too when it is one of the tree `main`, or `readsValues` is set.
    private mutating func visit(
        _ tree: Tree, name: String, readsValues: Bool = false, _ body: Body
    ) throws(LogError) {
        var visit = Visit(tree: tree, name: name, readsValues: readsValues || name == "main")
        if name != "free" {
            guard tree.pad == 0 && tree.flags & ~Flags.integerKey == 0 else {
                throw fault(tree.root, "is the root of a tree \(name) of a kind that is not ours")
            }
        }
        if !tree.isEmpty {
            guard (1...PageWalk.depthMax).contains(tree.depth) else {
                throw fault(tree.root, "is the root of a tree \(name) of depth \(tree.depth)")
            }
            try descend(tree.root, level: 1, &visit, body)
        }
        guard visit.branchPages == tree.branchPages, visit.leafPages == tree.leafPages,
            visit.overflowPages == tree.overflowPages, visit.entries == tree.entries, !tree.isEmpty || tree.depth == 0
        else {
            throw fault(tree.root, "is the root of the tree \(name), which has other numbers of pages or entries than "
                + "it says")
        }
    }

    private mutating func descend(
        _ page: UInt64, level: Int, _ visit: inout Visit, _ body: Body
    ) throws(LogError) {
        try meet(page)
        let bytes = try read(page, count: pageSize)
        let isLeaf = level == visit.tree.depth
        guard bytes.word64(0) == page, bytes.word16(8) == 0, bytes.word16(10) == (isLeaf ? Flags.leaf : Flags.branch)
        else { throw fault(page, "does not begin as a page of the tree \(visit.name) does") }
        let nodes = try nodes(of: bytes, page, isLeaf: isLeaf, &visit)
        if isLeaf {
            visit.leafPages += 1
            for node in nodes { try take(node, of: bytes, page, &visit, body) }
            return
        }
        visit.branchPages += 1
        for (index, node) in nodes.enumerated() {
            // The first key of a branch is never looked at, and mostly empty.
            if index > 0 {
                let key = Array(bytes[node.key])
                guard visit.previous.map({ visit.isAscending($0, key) }) ?? true else {
                    throw fault(page, "has keys that do not ascend")
                }
                visit.bound = key
            }
            let child = UInt64(bytes.word16(node.offset)) | UInt64(bytes.word16(node.offset + 2)) << 16
                | UInt64(bytes.word16(node.offset + 4)) << 32
            try descend(child, level: level + 1, &visit, body)
        }
    }

    private struct Node {
        var offset: Int
        var size: Int
        var key: Range<Int>
        /// As said in the node: of a value on pages of its own too.
        var valueSize: Int
    }

    /// The nodes of a page, which fill its upper part without a gap.
    private func nodes(
        of bytes: [UInt8], _ page: UInt64, isLeaf: Bool, _ visit: inout Visit
    ) throws(LogError) -> [Node] {
        let (lower, upper) = (Int(bytes.word16(12)), Int(bytes.word16(14)))
        guard lower > PageWalk.headerSize, lower % 2 == 0, lower <= upper, upper <= pageSize else {
            throw fault(page, "has room from \(lower) to \(upper)")
        }
        var nodes: [Node] = []
        for slot in stride(from: PageWalk.headerSize, to: lower, by: 2) {
            let offset = Int(bytes.word16(slot))
            guard offset >= upper, offset % 2 == 0, offset + PageWalk.nodeHeaderSize <= pageSize else {
                throw fault(page, "has a node at \(offset)")
            }
            let keySize = Int(bytes.word16(offset + 6))
            let keyStart = offset + PageWalk.nodeHeaderSize
            let valueSize = isLeaf ? Int(bytes.word16(offset)) | Int(bytes.word16(offset + 2)) << 16 : 0
            let flags = isLeaf ? bytes.word16(offset + 4) : 0
            let stored = flags == Flags.bigData ? 8 : valueSize
            let size = (PageWalk.nodeHeaderSize + keySize + stored + 1) & ~1
            let isFirstOfBranch = !isLeaf && nodes.isEmpty
            guard offset + size <= pageSize, isFirstOfBranch || keySize > 0,
                flags == 0 || flags == Flags.bigData || flags == Flags.subTree && visit.name == "main",
                !visit.hasIntegers || isFirstOfBranch || keySize == 8
            else { throw fault(page, "has a damaged node at \(offset)") }
            nodes.append(
                Node(offset: offset, size: size, key: keyStart..<keyStart + keySize, valueSize: valueSize))
        }
        var end = upper
        for node in nodes.sorted(by: { $0.offset < $1.offset }) {
            guard node.offset == end else { throw fault(page, "has a node at \(node.offset), not at \(end)") }
            end += node.size
        }
        guard end == pageSize else { throw fault(page, "has nodes up to \(end)") }
        return nodes
    }

    private mutating func take(
        _ node: Node, of bytes: [UInt8], _ page: UInt64, _ visit: inout Visit, _ body: Body
    ) throws(LogError) {
        let key = Array(bytes[node.key])
        if let previous = visit.previous {
            guard visit.isAscending(previous, key) else { throw fault(page, "has keys that do not ascend") }
        }
        if let bound = visit.bound {
            // A log only grows: there the key above is the first key below, to the bit.
            guard !visit.isAscending(key, bound), visit.name != "frames" || key == bound else {
                throw fault(page, "does not begin with the key that the page above has for it")
            }
            visit.bound = nil
        }
        visit.previous = key
        visit.entries += 1
        if visit.name == "frames" && key.count == 8 { position = key.word64(0) }
        var value = Array(bytes[node.key.upperBound..<node.offset + node.size].prefix(node.valueSize))
        if bytes.word16(node.offset + 4) == Flags.bigData {
            let first = bytes.word64(node.key.upperBound)
            let pages = (PageWalk.headerSize + node.valueSize + pageSize - 1) / pageSize
            let head = first <= last ? try read(first, count: PageWalk.headerSize) : []
            // A value that became smaller keeps the pages it had.
            guard head.count == PageWalk.headerSize, head.word64(0) == first, head.word16(8) == 0,
                head.word16(10) == Flags.overflow, Int(head.word32(12)) >= pages,
                first + UInt64(head.word32(12)) - 1 <= last
            else { throw fault(first, "does not begin as the pages of a value do") }
            for number in first..<first + UInt64(head.word32(12)) { try meet(number) }
            visit.overflowPages += UInt64(head.word32(12))
            if visit.readsValues {
                value = Array(try read(first, count: PageWalk.headerSize + node.valueSize)[PageWalk.headerSize...])
            }
        }
        if visit.readsValues { try body(self, key, value) }
    }
}

extension [UInt8] {
    fileprivate func word16(_ offset: Int) -> UInt16 { UInt16(self[offset]) | UInt16(self[offset + 1]) << 8 }
    fileprivate func word32(_ offset: Int) -> UInt32 { UInt32(word16(offset)) | UInt32(word16(offset + 2)) << 16 }
    fileprivate func word64(_ offset: Int) -> UInt64 { UInt64(word32(offset)) | UInt64(word32(offset + 4)) << 32 }
}
