import Billing
import Glibc
import Hashing
import Platform
import Records
import SQLite
import TestEvents
import Testing

@testable import Projections

/// A projector beside its log: visible at once, paced under load, stopped where it must.
@Suite struct ProjectorTests {
    private let folder = TemporaryFolder()
    private static let call = Fact.call(
        Call(org: "o", user: "u", provider: "p", model: "m", operation: .chat, status: .success))

    private func models(_ source: ArraySource, _ change: (inout ProjectorPace) -> Void = { _ in }) -> ReadModels {
        var pace = ProjectorPace()
        change(&pace)
        return ReadModels(
            folder: folder.path, source: source, projections: [Calls.self, Tokens.self], runners: 2, pace: pace)
    }

    private func until(_ condition: () -> Bool) async throws {
        for _ in 0..<20_000 where !condition() { try await Task.sleep(for: .milliseconds(5)) }
        #expect(condition())
    }

    @Test func `a writer reads its own writes`() async throws {
        let source = ArraySource()
        let models = models(source)
        try await models.start()
        for number in 1...200 as ClosedRange<UInt64> {
            source.append(Self.call, at: RandomLog.firstDay.start)
            #expect(await models.wait("calls", until: number, timeoutMilliseconds: 120_000) >= number)
            let seen = try await models.ask(
                CallsQuery(owner: .org("o"), span: .day(RandomLog.firstDay), now: RandomLog.firstDay.start))
            #expect(seen.position == number)
            #expect(seen.answer.used == Int64(number))
        }
        try await until { models.statuses.allSatisfy { $0.state == .live && $0.lag == 0 } }
        await models.stop()
    }

    @Test func `waiting ends with its time, and at once where nothing moves`() async throws {
        let source = ArraySource()
        let models = models(source)
        try await models.start()
        #expect(await models.wait("tokens", until: 1, timeoutMilliseconds: 10) == 0)
        #expect(await models.wait("tokens", until: 0, timeoutMilliseconds: 0) == 0)
        async let waiting = models.wait("tokens", until: 9, timeoutMilliseconds: 600_000)
        try await Task.sleep(for: .milliseconds(20))
        await models.stop()
        #expect(await waiting == 0)
        #expect(await models.wait("tokens", until: 9, timeoutMilliseconds: 600_000) == 0)
    }

    @Test func `under load flushes are paced, and a waiting reader does not wait for the pace`() async throws {
        let source = ArraySource()
        let models = models(source) { $0.flushNanoseconds = 3_600_000_000_000 }
        try await models.start()
        source.append(Self.call)
        try await until { models.statuses.allSatisfy { $0.progress == 1 && $0.state == .live } }
        // The next flush is an hour away.
        for _ in 0..<50 {
            source.append(Self.call)
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(models.status("calls")?.flushes == 1)
        #expect(models.status("calls")?.lag == 50)
        #expect(await models.wait("calls", until: 51, timeoutMilliseconds: 120_000) == 51)
        #expect(models.status("calls")?.flushes == 2)
        #expect(models.status("tokens")?.progress == 1)
        await models.stop()
    }

    @Test func `a full batch does not wait for the pace`() async throws {
        let source = ArraySource()
        let models = models(source) {
            $0.flushNanoseconds = 50_000_000
            $0.batchRecords = 10
        }
        try await models.start()
        source.append(RandomLog.records(95, seed: 1))
        try await until { models.statuses.allSatisfy { $0.progress == 95 } }
        #expect(models.status("calls")?.flushes == 10)
        await models.stop()
    }

    @Test func `an unreadable record stops the projectors before it, and a good one lets them go on`() async throws {
        let records = RandomLog.records(500, seed: 3)
        let source = ArraySource(records)
        source.breakRecord(at: 313)
        var models = models(source)
        try await models.start()
        try await until { models.statuses.allSatisfy { $0.progress == 312 } }
        try await until {
            models.statuses.allSatisfy { $0.state == .stopped("record 313: is torn") && $0.lag == 500 - 312 }
        }
        // What was seen is still answered, and nobody waits for what does not come.
        #expect(try await models.ask(TokensQuery()).position == 312)
        #expect(await models.wait("tokens", until: 313, timeoutMilliseconds: 600_000) == 312)
        await models.stop()

        source.breakRecord(at: nil)
        models = self.models(source)
        try await models.start()
        try await until { models.statuses.allSatisfy { $0.progress == 500 && $0.state == .live } }
        let expected = Digest(bytes: try Tokens.refold(source, through: 500).bytes).hex
        #expect(models.status("tokens")?.digest == expected)
        await models.stop()
    }

    @Test func `a record that one fold cannot take stops that one alone`() async throws {
        let source = ArraySource()
        for _ in 0..<10 { source.append(Self.call) }
        // Admission would have refused it: of the two, only the fold that keeps lots takes notice.
        source.append(.creditsVoided(LotVoided(lot: "none", reason: "r")))
        source.append(Self.call)
        let models = ReadModels(folder: folder.path, source: source, projections: [Calls.self, Credits.self])
        try await models.start()
        try await until { models.status("calls")?.state == .live && models.status("calls")?.progress == 12 }
        try await until { models.status("credits")?.progress == 10 }
        try await until {
            if case .stopped(let reason)? = models.status("credits")?.state {
                reason.hasPrefix("record 11: credits.voided cannot be applied")
            } else {
                false
            }
        }
        // An end does not wait for the one that stands still.
        await models.settle(timeoutMilliseconds: 600_000)
        await models.stop()
    }

    @Test func `a log that is older than its read models is refused`() async throws {
        let records = RandomLog.records(100, seed: 4)
        let first = models(ArraySource(records))
        try await first.start()
        for name in ["calls", "tokens"] { await first.wait(name, until: 100, timeoutMilliseconds: 120_000) }
        await first.stop()

        let older = models(ArraySource(Array(records.prefix(99))))
        let error = await #expect(throws: ProjectionError.self) { try await older.start() }
        guard case .logOlderThanReadModel("calls", 100, 99) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        await older.stop()

        var changed = records
        changed[99].recordedAt = Timestamp(microseconds: 5)
        let other = models(ArraySource(changed))
        let otherError = await #expect(throws: ProjectionError.self) { try await other.start() }
        guard case .otherLog("calls", 100) = otherError else {
            Issue.record("\(String(describing: otherError))")
            return
        }
        await other.stop()
    }

    @Test func `a file of another schema version or a damaged one is built anew`() async throws {
        let source = ArraySource(RandomLog.records(300, seed: 5))
        var digests: Set<String> = []
        for damage in 0..<3 {
            if damage == 1 {
                let database = try Database(path: folder.path + "/tokens.sqlite", mode: .readWrite)
                try database.run(script: "UPDATE tokens SET charge = 1; PRAGMA user_version = 1")
            }
            if damage == 2 {
                let file = try #require(fopen(folder.path + "/tokens.sqlite", "w"))
                fputs(String(repeating: "not a database. ", count: 1000), file)
                fclose(file)
            }
            let models = models(source)
            try await models.start()
            await models.wait("tokens", until: 300, timeoutMilliseconds: 120_000)
            digests.insert(try #require(models.status("tokens")).digest)
            #expect(models.status("tokens")?.flushes == 1)
            await models.stop()
        }
        #expect(digests.count == 1)
    }

    @Test func `rows and progress are one: a moved progress stops the projector and writes nothing`() async throws {
        let source = ArraySource(RandomLog.records(50, seed: 6))
        let models = models(source)
        try await models.start()
        await models.wait("calls", until: 50, timeoutMilliseconds: 120_000)
        let intruder = try Database(path: folder.path + "/calls.sqlite", mode: .readWrite)
        try intruder.run("UPDATE progress SET position = 49")
        let before = try Calls.digest(of: intruder)
        source.append(Self.call)
        try await until {
            guard case .stopped(let reason) = models.status("calls")?.state else { return false }
            return reason.contains("position 50")
        }
        #expect(try Calls.digest(of: intruder) == before)
        await models.wait("tokens", until: 51, timeoutMilliseconds: 120_000)
        #expect(models.status("tokens")?.progress == 51)
        await models.stop()
    }

    @Test func `an error of SQLite stops the projector, and it goes on when that is over`() async throws {
        let source = ArraySource(RandomLog.records(20, seed: 7))
        let models = models(source) { $0.retryNanoseconds = 10_000_000 }
        try await models.start()
        await models.wait("calls", until: 20, timeoutMilliseconds: 120_000)
        // A lock that is held for longer than anyone waits for it would do; a table that is gone is quicker.
        let intruder = try Database(path: folder.path + "/calls.sqlite", mode: .readWrite)
        try intruder.run(script: "ALTER TABLE calls RENAME TO gone")
        source.append(Self.call)
        try await until {
            if case .stopped = models.status("calls")?.state { true } else { false }
        }
        try intruder.run(script: "ALTER TABLE gone RENAME TO calls")
        try await until { models.status("calls")?.progress == 21 && models.status("calls")?.state == .live }
        let expected = Digest(bytes: try Calls.refold(source, through: 21).bytes).hex
        #expect(models.status("calls")?.digest == expected)
        await models.stop()
    }

    @Test func `more queries than the limit are refused and the others answered`() async throws {
        let source = ArraySource(RandomLog.records(500, seed: 8))
        let models = models(source)
        await #expect(throws: QueryError.unavailable(model: "tokens")) { try await models.ask(TokensQuery()) }
        try await models.start()
        await models.wait("tokens", until: 500, timeoutMilliseconds: 120_000)
        let outcomes = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<ReadModels.queriesPendingMax * 4 {
                group.addTask {
                    do {
                        return try await models.ask(TokensQuery(groups: TokensQuery.Dimension.allCases)).position == 500
                    } catch {
                        #expect(error as? QueryError == .overloaded)
                        return false
                    }
                }
            }
            return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
        #expect(outcomes[true, default: 0] >= ReadModels.queriesPendingMax)
        // When they are done, there is room again.
        #expect(try await models.ask(TokensQuery()).position == 500)
        await models.stop()
    }
}
