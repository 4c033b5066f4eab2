import Billing
import EventLog
import Glibc
import Platform
import Testing

@testable import Engine

struct CommitFailureTests {
    /// Posts one event, lets the next commit fail with `code`, and posts another. Ends the process by itself only if
    /// the failed commit did not.
    private static func run(failingWith code: Int32) throws {
        let rig = try Rig(onFatal: { _ in _exit(74) })
        guard try rig.post([call("before")]).map(\.summary) == ["stored 1"] else { _exit(1) }
        rig.log.failAppend(number: 1, code: code)
        _ = try rig.post([call("lost")])
        // An answer came: that is the fault this test looks for.
        _exit(2)
    }

    @Test func `a commit that fails with EIO ends the process before anything is answered`() async {
        await #expect(processExitsWith: .exitCode(74)) { try CommitFailureTests.run(failingWith: EIO) }
    }

    @Test func `a commit that finds no room answers full, and goes on when there is some`() throws {
        let rig = try Rig()
        _ = try rig.post([call("before")])
        rig.log.failAppend(number: 1, code: ENOSPC)
        var submission = Submission(door: .native, key: nil)
        submission.add(call("refused"))
        guard case .failure(.full) = rig.submit(submission) else {
            Issue.record("the full log took it")
            return
        }
        #expect(rig.writer.statistics.isFull)
        // Room is looked for again after a second.
        let deadline = SteadyClock.nanoseconds() + 10_000_000_000
        var verdicts: [String] = []
        while verdicts.isEmpty && SteadyClock.nanoseconds() < deadline {
            if case .success(let receipt) = rig.submit(submission) { verdicts = receipt.verdicts.map(\.summary) }
        }
        #expect(verdicts == ["stored 2"])
        #expect(try rig.post([call("before")]).map(\.summary) == ["duplicate 1"])
        #expect(!rig.writer.statistics.isFull)
    }
}
