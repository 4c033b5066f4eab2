import EventLog
import Glibc
import Hashing
import Platform
import Testing

@testable import Audit

@Suite struct TreeTests {
    private func caughtUp(_ keeper: TreeKeeper, _ short: ShortLog) async -> TreeView {
        await keeper.view(covering: short.log.highWater, milliseconds: 60_000)
    }

    /// Roots and proofs at some sizes and positions, the tile borders among them.
    private func check(_ view: TreeView, _ short: ShortLog) throws {
        #expect(view.size == UInt64(short.hashes.count))
        let end = short.hashes.count
        let sizes = [0, 1, 2, 3, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, end - 1, end]
            .filter { (0...end).contains($0) }
        let roots = sizes.map { short.root($0) }
        for (size, root) in zip(sizes, roots) {
            #expect(try view.root(of: UInt64(size)) == root)
            for position in [1, 2, 255, 256, 257, 300, 512, size / 2, size - 1, size] {
                guard position >= 1 && position <= size else { continue }
                let (hash, proof) = try view.inclusion(of: UInt64(position), size: UInt64(size))
                #expect(hash == short.hashes[position - 1])
                #expect(
                    MerkleProof.includes(hash, at: UInt64(position - 1), size: UInt64(size), root: root, proof))
            }
            for (first, before) in zip(sizes, roots) where first <= size {
                let proof = try view.consistency(first: UInt64(first), second: UInt64(size))
                #expect(MerkleProof.isConsistent(first: UInt64(first), before, second: UInt64(size), root, proof))
            }
        }
    }

    @Test func `the tree follows the log, over a restart, and has the proofs of every size`() async throws {
        try await withFolder { folder in
            let short = try ShortLog(folder + "/log")
            for count in [0, 1, 254, 1, 1, 700, 66_000, 3] {
                try await short.append(count, frame: count == 700 ? 7 : 1000)
                let keeper = try TreeKeeper(folder: folder + "/tiles", log: short.log)
                keeper.start()
                try check(await caughtUp(keeper, short), short)
                #expect(keeper.status.fault == nil)
                keeper.stop()
            }
        }
    }

    @Test func `deleted tiles come back the same`() async throws {
        try await withFolder { folder in
            let short = try ShortLog(folder + "/log")
            func tiles() async throws -> [String: [UInt8]] {
                let keeper = try TreeKeeper(folder: folder + "/tiles", log: short.log)
                keeper.start()
                _ = await caughtUp(keeper, short)
                keeper.stop()
                var found: [String: [UInt8]] = [:]
                for name in try Folder.list(folder + "/tiles") {
                    found[name] = try File.read(folder + "/tiles/" + name, bytesMax: 1 << 30)
                }
                return found
            }
            try await short.append(40_000)
            _ = try await tiles()
            try await short.append(100_000)
            let first = try await tiles()
            #expect(first.keys.sorted() == ["0", "1", "head"])
            #expect(first["0"]?.count == 140_000 / 256 * 8192 && first["1"]?.count == 2 * 8192)
            try Folder.remove(folder + "/tiles")
            #expect(try await tiles() == first)
        }
    }

    @Test func `a flipped bit of a tile gives an error and never a proof`() async throws {
        try await withFolder { folder in
            let short = try ShortLog(folder + "/log")
            try await short.append(70_000)
            let keeper = try TreeKeeper(folder: folder + "/tiles", log: short.log)
            keeper.start()
            let view = await caughtUp(keeper, short)
            keeper.stop()
            for (name, offset, position) in [
                ("0", 0, UInt64(1)), ("0", 8191, 200), ("0", 8192 * 100 + 40, 25_700), ("1", 77, 1),
            ] {
                let path = folder + "/tiles/" + name
                try flip(path, offset)
                #expect(throws: TileError.self) { try view.inclusion(of: position, size: 70_000) }
                #expect(throws: TileError.self) { try view.inclusion(of: position, size: position) }
                try flip(path, offset)
                _ = try view.inclusion(of: position, size: 70_000)
            }
            // One that is cut short.
            #expect(truncate(folder + "/tiles/0", 8192) == 0)
            #expect(throws: TileError.self) { try view.inclusion(of: 257, size: 70_000) }
            #expect(throws: TileError.self) { try TreeKeeper(folder: folder + "/tiles", log: short.log) }
        }
    }

    @Test func `tiles that know more than the log, or another log, are refused`() async throws {
        try await withFolder { folder in
            let short = try ShortLog(folder + "/log")
            try await short.append(1000)
            let keeper = try TreeKeeper(folder: folder + "/tiles", log: short.log)
            keeper.start()
            _ = await caughtUp(keeper, short)
            keeper.stop()
            let other = try ShortLog(folder + "/other")
            try await other.append(1000)
            #expect(throws: TileError.unusable(folder: folder + "/tiles", reason: "is of another log")) {
                try TreeKeeper(folder: folder + "/tiles", log: other.log)
            }
            let head = try #require(try TileStore(folder: folder + "/tiles", writable: false).head())
            #expect(head.size == 768 && head.root == short.root(768))
            let ahead = TileHead(logID: head.logID, createdAt: head.createdAt, size: 1024, root: head.root)
            try DurableFile.replace(folder + "/tiles/head", with: Array(ahead.text.utf8))
            #expect(throws: TileError.ahead(folder: folder + "/tiles", size: 1024, highWater: 1000)) {
                try TreeKeeper(folder: folder + "/tiles", log: short.log)
            }
        }
    }

    @Test func `no bit of the head changes unseen`() throws {
        let head = TileHead(logID: Array(0..<16), createdAt: 1_764_000_000_000_000, size: 65_536, root: .zero)
        let bytes = Array(head.text.utf8)
        #expect(TileHead(bytes) == head)
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(TileHead(changed) == nil)
        }
    }

    private func flip(_ path: String, _ offset: Int) throws {
        let file = try PlacedFile(path: path, writable: true)
        var byte: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &byte) { try file.read(into: $0, at: offset) }
        #expect(count == 1)
        byte ^= 4
        try withUnsafeBytes(of: byte) { try file.write($0, at: offset) }
    }
}
