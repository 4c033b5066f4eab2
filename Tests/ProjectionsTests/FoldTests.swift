import Billing
import Glibc
import Hashing
import Platform
import Records
import SQLite
import TestEvents
import Testing

@testable import Projections

/// Rows are a fold of the log: however often it is interrupted, wherever batches are cut.
@Suite struct FoldTests {
    private static let names = ["calls", "tokens"]

    /// Runs projectors on `folder` until they have seen all of `source`.
    private func run(
        _ folder: TemporaryFolder, _ source: ArraySource, batch: UInt64 = 100_000
    ) async throws -> [ProjectorStatus] {
        var pace = ProjectorPace()
        pace.batchRecords = batch
        let models = ReadModels(
            folder: folder.path, source: source, projections: [Calls.self, Tokens.self], runners: 1, pace: pace)
        try await models.start()
        for name in Self.names {
            let seen = await models.wait(name, until: source.highWater, timeoutMilliseconds: 120_000)
            #expect(seen == source.highWater, "\(models.statuses)")
        }
        let statuses = models.statuses
        await models.stop()
        return statuses
    }

    private func stored<P: Projection>(_ type: P.Type, in folder: TemporaryFolder) throws -> String {
        let stored = try #require(try P.stored(in: folder.path))
        #expect(stored.digest == stored.digestOfRows)
        return Digest(bytes: stored.digestOfRows.bytes).hex
    }

    private func refolded<P: Projection>(_ type: P.Type, _ source: ArraySource) throws -> String {
        Digest(bytes: try P.refold(source, through: source.highWater).bytes).hex
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `interrupted, cut anywhere, rebuilt or refolded in memory: the same digest`(seed: UInt64) async throws {
        let records = RandomLog.records(3000, seed: seed)
        let whole = ArraySource(records)
        let folder = TemporaryFolder()
        let statuses = try await run(folder, whole)
        let live = statuses.map(\.digest)
        #expect(statuses.map(\.progress) == [3000, 3000])
        #expect(Set(live).count == 2)

        // The rows in the file, and a refold without a file.
        #expect(try stored(Calls.self, in: folder) == live[0])
        #expect(try stored(Tokens.self, in: folder) == live[1])
        #expect(try refolded(Calls.self, whole) == live[0])
        #expect(try refolded(Tokens.self, whole) == live[1])

        let together = try Refold.run([(Calls.self, 3000), (Tokens.self, 1234)], log: whole)
        #expect(together == [try Calls.refold(whole, through: 3000), try Tokens.refold(whole, through: 1234)])

        // Stopped and started again and again, in batches and reads of any length.
        var random = RandomEvents(seed: seed &* 77)
        let pieces = ArraySource()
        let other = TemporaryFolder()
        var last: [ProjectorStatus] = []
        while pieces.records.count < records.count {
            let next = min(records.count, pieces.records.count + Int(random.number(1...700)))
            pieces.append(records[pieces.records.count..<next])
            pieces.cutReads(at: Int(random.number(1...300)))
            last = try await run(other, pieces, batch: UInt64(random.number(1...400)))
        }
        #expect(last.map(\.digest) == live)
        #expect(try stored(Calls.self, in: other) == live[0])
        #expect(try stored(Tokens.self, in: other) == live[1])

        // One file deleted: it comes back the same, the other stays.
        unlink(folder.path + "/tokens.sqlite")
        #expect(try await run(folder, whole).map(\.digest) == live)
    }

    /// The same sums, made in the most obvious way: every version of a call in one list.
    @Test(arguments: [11, 12] as [UInt64])
    func `rows equal sums made by hand`(seed: UInt64) async throws {
        let records = RandomLog.records(2000, seed: seed)
        var catalog = Catalog()
        var entries: [UInt64: (call: Call, time: Timestamp, isCall: Bool, charge: Int64, isUnpriced: Bool)] = [:]
        var positions: [Name: UInt64] = [:]
        func rate(_ call: Call, _ time: Timestamp, _ isCall: Bool) throws -> (Int64, Bool) {
            let rating = try catalog.rate(call, at: time, countsCall: isCall)
            return (rating.charge.nanos, rating.unpriced != nil)
        }
        var times: [UInt64: (Timestamp, Bool)] = [:]
        for record in records {
            switch record.event.fact {
            case .call(let call), .usage(let call):
                var isCall = false
                if case .call = record.event.fact { isCall = true }
                positions[record.event.id] = record.position
                times[record.position] = (record.occurredAt, isCall)
                let (charge, isUnpriced) = try rate(call, record.occurredAt, isCall)
                entries[record.position] = (call, record.occurredAt, isCall, charge, isUnpriced)
            case .callVoided(let fact):
                entries[positions[fact.id]!] = nil
            case .callAmended(let fact):
                let (time, isCall) = times[positions[fact.id]!]!
                let (charge, isUnpriced) = try rate(fact.call, time, isCall)
                entries[positions[fact.id]!] = (fact.call, time, isCall, charge, isUnpriced)
            default:
                catalog.apply(record.event.fact, position: record.position, at: record.occurredAt)
            }
        }
        struct Key: Hashable {
            var day: Day?, org: Name?, user: Name?, service: Name?, model: Name?, provider: Name?
            var keySource: Call.KeySource?
        }
        var expected: [Key: TokensAnswer.Totals] = [:]
        for (call, time, isCall, charge, isUnpriced) in entries.values {
            let key = Key(
                day: time.day, org: call.org, user: call.user, service: call.service, model: call.model,
                provider: call.provider, keySource: call.keySource)
            var totals = expected[key] ?? TokensAnswer.Totals()
            totals.calls += isCall && (call.status == .success || call.hasUsage) ? 1 : 0
            totals.inputTokens += Int128(call.usage?.inputTokens ?? 0)
            totals.outputTokens += Int128(call.usage?.outputTokens ?? 0)
            totals.cacheReadTokens += Int128(call.usage?.cacheReadTokens ?? 0)
            totals.cacheWriteTokens += Int128(call.usage?.cacheWriteTokens ?? 0)
            totals.reasoningTokens += Int128(call.usage?.reasoningTokens ?? 0)
            totals.images += Int128(call.usage?.images ?? 0)
            totals.audioMicroseconds += Int128(call.usage?.audioSeconds?.rescaled(to: 6) ?? 0)
            totals.charge.nanos += Int128(charge)
            totals.cost.nanos += Int128(call.cost?.rescaled(to: 9) ?? 0)
            totals.unpricedCalls += isUnpriced ? 1 : 0
            expected[key] = totals
        }
        expected = expected.filter { $0.value != TokensAnswer.Totals() }
        #expect(expected.values.contains { $0.charge > .zero })

        let source = ArraySource(records)
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Calls.self, Tokens.self])
        try await models.start()
        for name in Self.names { await models.wait(name, until: 2000, timeoutMilliseconds: 120_000) }
        let seen = try await models.ask(TokensQuery(groups: TokensQuery.Dimension.allCases))
        #expect(seen.position == 2000)
        var found: [Key: TokensAnswer.Totals] = [:]
        for row in seen.answer.rows {
            let key = Key(
                day: row.day, org: row.org, user: row.user, service: row.service, model: row.model,
                provider: row.provider, keySource: row.keySource)
            #expect(found.updateValue(row.totals, forKey: key) == nil)
        }
        #expect(found == expected)

        // Calls of one org and one user, day by day.
        for owner in [Owner.org("é"), .org("e\u{301}"), .user("u1")] {
            for number in 0..<Int32(RandomLog.days) {
                let day = Day(number: RandomLog.firstDay.number + number)
                let calls = entries.values.filter { entry in
                    let owners = [entry.call.org.map { Owner.org($0) }, entry.call.user.map { Owner.user($0) }]
                    return entry.isCall && entry.time.day == day && owners.contains(owner)
                }
                let answer = try await models.ask(CallsQuery(owner: owner, span: .day(day), now: .latest)).answer
                for status in Call.Status.allCases {
                    #expect(
                        answer.byStatus.first { $0.status == status }?.count
                            == Int64(calls.count { $0.call.status == status }))
                }
                for keySource in Call.KeySource.allCases {
                    #expect(
                        answer.byKeySource.first { $0.keySource == keySource }?.count
                            == Int64(
                                calls.count {
                                    $0.call.keySource == keySource
                                        && ($0.call.status == .success || $0.call.hasUsage)
                                }))
                }
            }
        }
        await models.stop()
    }

    @Test func `a call that is voided leaves no row and no trace in the digest`() throws {
        let source = ArraySource()
        let call = Call(org: "o", provider: "p", model: "m", operation: .chat, status: .success)
        source.append(.call(call), at: RandomLog.firstDay.start, id: "a")
        let before = try Calls.refold(source, through: 1)
        source.append(.call(call), at: RandomLog.firstDay.start, id: "b")
        #expect(try Calls.refold(source, through: 2) != before)
        source.append(.callVoided(CallVoided(source: "test", id: "b", reason: "r")))
        var fold = Calls()
        let sink = MemorySink()
        for record in source.records { try fold.apply(record, log: source) }
        try fold.flush(into: sink)
        var correction = RowCells()
        correction.begin(tag: Calls.tables[2].tag)
        correction.integer(2)
        correction.integer(0)
        var expected = before
        expected.add(correction.canonical)
        #expect(sink.digest == expected)
    }

    @Test func `a row changed by hand shows in the digest of the rows`() async throws {
        let source = ArraySource(RandomLog.records(400, seed: 21))
        let folder = TemporaryFolder()
        #expect(try Tokens.stored(in: folder.path) == nil)
        _ = try await run(folder, source)
        let intruder = try Database(path: folder.path + "/tokens.sqlite", mode: .readWrite)
        for sql in [
            // Numbers of names differ from run to run.
            "UPDATE tokens SET charge = charge + 1 WHERE org = (SELECT max(org) FROM tokens)",
            "UPDATE names SET text = 'x' WHERE id = (SELECT max(org) FROM tokens)",
            "UPDATE tokens SET day = day + 100 WHERE day = (SELECT min(day) FROM tokens)",
            "DELETE FROM controls", "UPDATE corrections SET standing = standing + 1",
        ] {
            let stored = try #require(try Tokens.stored(in: folder.path))
            #expect(stored.digest == stored.digestOfRows)
            try intruder.run("BEGIN")
            try intruder.run(sql)
            #expect(try Tokens.digest(of: intruder) != stored.digest)
            try intruder.run("ROLLBACK")
        }
        try intruder.run("DELETE FROM activity")
        let stored = try #require(try Tokens.stored(in: folder.path))
        #expect(stored.position == 400 && stored.digest != stored.digestOfRows)
    }

    @Test func `a sum that does not fit in 64 bits goes on in 128, and comes back`() throws {
        let table = Table("t", tag: 1, kind: .sums, keys: [.integer("k")], values: [.sum("v"), .sum("w")])
        let folder = TemporaryFolder()
        let database = try Database(path: folder.path + "/t.sqlite", mode: .readWrite)
        try database.run(
            script: """
                CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
                CREATE TABLE t (k INTEGER PRIMARY KEY, v ANY NOT NULL, w ANY NOT NULL) STRICT;
                """)
        let sinks: [any RowSink] = [MemorySink(), DatabaseSink(database, digest: MultisetDigest())]
        func add(_ v: Int128, _ w: Int128) throws {
            for sink in sinks {
                try sink.add(1, to: table) { _, cells in
                    cells.integer(1)
                    cells.sum(v)
                    cells.sum(w)
                }
            }
        }
        func expect(_ v: Int128, _ w: Int128) throws {
            var cells = RowCells()
            cells.begin(tag: 1)
            cells.integer(1)
            cells.sum(v)
            cells.sum(w)
            var digest = MultisetDigest()
            digest.add(cells.canonical)
            #expect(sinks.allSatisfy { $0.digest == digest })
            #expect(try DatabaseSink.digest(of: [table], in: database) == digest)
            let row = try database.first("SELECT v, w, wide_sum(v) FROM t") { [$0.sum(at: 0), $0.sum(at: 1), $0.sum(at: 2)] }
            #expect(row == [v, w, v])
        }
        let most = Int128(Int64.max)
        try add(.init(Int64.max), 7)
        try expect(most, 7)
        try add(1, -8)
        try expect(most + 1, -1)
        try add(most, Int128(Int64.min))
        try expect(2 * most + 1, Int128(Int64.min) - 1)
        try add(-most - 1, 1)
        try expect(most, Int128(Int64.min))
        try add(1 << 100, 0)
        try add(-(1 << 100) - most, -Int128(Int64.min))
        // A row of zeros is no row.
        #expect(sinks.allSatisfy { $0.digest == MultisetDigest() })
        #expect(try database.integer("SELECT count(*) FROM t") == 0)
    }
}
