import Billing
import EventLog
import Glibc
import Platform
import Testing

@testable import Engine

struct CommitFailureTests {
    /// Posts one event, lets the next commit fail with `code`, and posts another. Ends the process by itself only if
    /// the failed commit did not.
    private static func run(failingWith code: Int32, in folder: String) throws {
        // The process ends without removing anything; whoever started it does.
        setenv("TMPDIR", folder, 1)
        let rig = try Rig(onFatal: { _ in _exit(74) })
        guard try rig.post([call("before")]).map(\.summary) == ["stored 1"] else { _exit(1) }
        rig.log.failAppend(number: 1, code: code)
        _ = try rig.post([call("lost")])
        // An answer came: that is the fault this test looks for.
        _exit(2)
    }

    @Test func `a commit that fails with EIO ends the process before anything is answered`() async throws {
        let folder = try Folder.makeTemporary(prefix: "engine-test")
        await #expect(processExitsWith: .exitCode(74)) { [folder = folder as String] in
            try CommitFailureTests.run(failingWith: EIO, in: folder)
        }
        try Folder.remove(folder)
    }

    /// Lets every write to a file of this process fail with EBADF: its descriptors are made read-only.
    private static func failWrites(to path: String) throws {
        for number in Int32(3)..<256 {
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(number)", &target, target.count)
            guard count > 0, path.utf8.elementsEqual(target[..<count].map { UInt8(bitPattern: $0) }) else { continue }
            let readOnly = open(path, O_RDONLY)
            guard readOnly >= 0, dup2(readOnly, number) == number else { _exit(1) }
            close(readOnly)
        }
    }

    private static func runWithBrokenIndex(in folder: String) throws {
        setenv("TMPDIR", folder, 1)
        let rig = try Rig(onFatal: { _ in _exit(74) })
        guard try rig.post([call("before")]).map(\.summary) == ["stored 1"] else { _exit(1) }
        try failWrites(to: rig.folder + "/index/data/data.mdb")
        // The second full table waits for the helper to have failed with the first.
        for number in 0..<3 * Rig.memtableMax { _ = try rig.post([call(Name(checked: "c\(number)"))]) }
        _exit(2)
    }

    @Test func `a key index that cannot be written ends the process`() async throws {
        let folder = try Folder.makeTemporary(prefix: "engine-test")
        await #expect(processExitsWith: .exitCode(74)) { [folder = folder as String] in
            try CommitFailureTests.runWithBrokenIndex(in: folder)
        }
        try Folder.remove(folder)
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
        let deadline = SteadyClock.nanoseconds() + 60_000_000_000
        var verdicts: [String] = []
        while verdicts.isEmpty && SteadyClock.nanoseconds() < deadline {
            if case .success(let receipt) = rig.submit(submission) { verdicts = receipt.verdicts.map(\.summary) }
        }
        #expect(verdicts == ["stored 2"])
        #expect(try rig.post([call("before")]).map(\.summary) == ["duplicate 1"])
        #expect(!rig.writer.statistics.isFull)
    }
}
