import EventLog
import Hashing
import Platform
import Testing

@testable import Audit

@Suite struct TreeCheckTests {
    /// A folder of tiles over records 1 ... 70,000, and what a verification says of them when the log gives `leaves`.
    private func judged(
        _ change: @escaping (inout [Digest]) -> Void, rootsAt: [UInt64] = []
    ) async throws -> TreeCheck {
        try await withFolder { folder in
            let short = try ShortLog(folder + "/log")
            try await short.append(70_000)
            let keeper = try TreeKeeper(folder: folder + "/tiles", log: short.log)
            keeper.start()
            _ = await keeper.view(covering: 70_000, milliseconds: 60_000)
            keeper.stop()
            var leaves = short.hashes
            change(&leaves)
            var check = TreeCheck(
                folder: folder + "/tiles", logID: short.log.id, createdAt: short.log.createdAt,
                highWater: { UInt64(leaves.count) }, rootsAt: rootsAt)
            for leaf in leaves { check.append(leaf) }
            check.finish()
            return check
        }
    }

    @Test func `tiles that are those of the log hold, and give its roots`() async throws {
        let check = try await judged({ _ in }, rootsAt: [0, 300, 70_000])
        #expect(check.fault == nil && check.covered == 69_888 && check.size == 70_000)
        #expect(check.root(at: 0) == Merkle.emptyRoot && check.root(at: 300) != nil)
        #expect(check.root(at: 70_000) == check.root && check.root(at: 5) == nil)
    }

    /// However well the hashes and links of the log were made anew.
    @Test(arguments: [1, 2, 257, 40_000, 65_536, 65_537, 69_888])
    func `an edited record is named by its position`(position: Int) async throws {
        let check = try await judged { $0[position - 1] = .zero }
        #expect(check.fault?.position == UInt64(position))
    }

    @Test func `a deleted, inserted or moved record is named where it was`() async throws {
        #expect(try await judged { $0.remove(at: 4999) }.fault?.position == 5000)
        #expect(try await judged { $0.insert(.zero, at: 4999) }.fault?.position == 5000)
        #expect(try await judged { $0.swapAt(4999, 60_000) }.fault?.position == 5000)
    }

    @Test func `a lost tail is named by the first position that is missing`() async throws {
        #expect(try await judged { $0.removeLast(10_000) }.fault?.position == 60_001)
        // What no tile covers yet is no tile's business.
        #expect(try await judged { $0.removeLast(112) }.fault == nil)
    }
}
