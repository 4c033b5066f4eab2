import Billing
import EventLog
import Hashing
import Platform
import Records
import TestEvents
import Testing

@testable import Projections

/// The log takes appends from one thread alone.
private actor Writer {
    private nonisolated let executor = ThreadExecutor(name: "test writer")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let log: EventLog

    init(_ log: EventLog) {
        self.log = log
    }

    func append(_ bytes: [UInt8], _ ends: [Int], _ hashes: [Digest], _ recordedAt: Int64) throws {
        try log.append(records: bytes, ends: ends, hashes: hashes, recordedAt: recordedAt)
    }
}

/// What the read models answer, to the digit.
@Suite struct QueryTests {
    private let folder = TemporaryFolder()

    private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(rfc3339: text)) }

    private func day(_ text: String) throws -> Day { try time(text + "T00:00:00Z").day }

    private func answering<Answer>(
        _ source: some RecordSource, _ body: (ReadModels) async throws -> Answer
    ) async throws -> Answer {
        let models = ReadModels(folder: folder.path, source: source, projections: [Calls.self, Tokens.self])
        try await models.start()
        for name in ["calls", "tokens"] {
            #expect(await models.wait(name, until: source.highWater, timeoutMilliseconds: 120_000) == source.highWater)
        }
        let answer = try await body(models)
        await models.stop()
        return answer
    }

    private func call(
        _ status: Call.Status = .success, usage: Usage? = nil, keySource: Call.KeySource = .platform
    ) -> Fact {
        .call(
            Call(
                org: "o", user: "u", provider: "p", model: "m", operation: .chat, keySource: keySource, status: status,
                usage: usage))
    }

    private func plan(_ name: Name, _ limits: [Plan.CallLimit], byokCountsCalls: Bool = true) -> Fact {
        .planDefined(Plan(name: name, calls: limits, markup: .zero, byokCountsCalls: byokCountsCalls))
    }

    @Test func `ten thousand calls a month, 9,876 used: 124 remain`() async throws {
        let source = ArraySource()
        let start = try time("2025-11-01T00:00:00Z")
        source.append(plan("pro", [Plan.CallLimit(limit: 10_000, per: .month, enforce: .hard)]), at: start)
        source.append(.planAssigned(Assignment(owner: .org("o"), plan: "pro")), at: start)
        for number in 0..<9_876 as Range<Int64> { source.append(call(), at: start.adding(seconds: number * 200)) }
        // Counted by its status alone; of the month before; of the month after.
        source.append(call(.failure), at: start)
        source.append(call(), at: start.adding(seconds: -1))
        source.append(call(), at: try time("2025-12-01T00:00:00Z"))
        try await answering(source) { models in
            for now in ["2025-11-30T23:59:59.999999Z", "2026-05-05T00:00:00Z"] {
                let query = CallsQuery(owner: .org("o"), span: .month(year: 2025, month: 11), now: try time(now))
                let seen = try await models.ask(query)
                #expect(seen.position == source.highWater)
                let answer = seen.answer
                #expect(answer.plan == "pro" && answer.used == 9_876)
                #expect(answer.limits.map(\.used) == [9_876] && answer.limits.map(\.remaining) == [124])
                let end = try time("2025-12-01T00:00:00Z")
                #expect(answer.limits.map(\.resetsAt) == [end])
                #expect(answer.byStatus.map(\.count) == [9_876, 1, 0])
                #expect(answer.byKeySource.map(\.count) == [9_876, 0])
            }
        }
    }

    @Test func `limits count over their own windows, from the anchor day`() async throws {
        let source = ArraySource()
        let early = try time("2025-01-01T00:00:00Z")
        let limits: [Plan.CallLimit] = [
            Plan.CallLimit(limit: 1, per: .day, enforce: .hard), Plan.CallLimit(limit: 5, per: .month, enforce: .soft),
            Plan.CallLimit(limit: 100, per: .ever, enforce: .hard),
        ]
        source.append(plan("p", limits), at: early)
        source.append(.planAssigned(Assignment(owner: .org("o"), plan: "p", anchorDay: 15)), at: early)
        for text in [
            "2025-03-03T12:00:00Z", "2025-11-14T23:59:59Z", "2025-11-15T00:00:00Z", "2025-12-01T00:00:00Z",
            "2025-12-14T23:59:59.999999Z", "2025-12-14T00:00:00Z", "2025-12-15T00:00:00Z",
        ] { source.append(call(), at: try time(text)) }
        try await answering(source) { models in
            let now = try time("2025-12-14T10:00:00Z")
            for span in [CallsQuery.Span.current, .month(year: 2025, month: 11)] {
                let answer = try await models.ask(CallsQuery(owner: .org("o"), span: span, now: now)).answer
                let period = try day("2025-11-15")..<day("2025-12-15")
                #expect(answer.period == period)
                #expect(answer.used == 4)
                #expect(answer.limits.map(\.used) == [2, 4, 7])
                #expect(answer.limits.map(\.remaining) == [0, 1, 93])
                let end = try time("2025-12-15T00:00:00Z")
                #expect(answer.limits.map(\.resetsAt) == [end, end, nil])
            }
            // The user has no plan of his own: counts without limits.
            let user = try await models.ask(CallsQuery(owner: .user("u"), span: .current, now: now)).answer
            #expect(user.plan == nil && user.limits.isEmpty && user.isKnown)
            #expect(user.used == 4)
            let december = try day("2025-12-01")..<day("2026-01-01")
            #expect(user.period == december)
            // An org and a user of one name are two owners.
            for owner in [Owner.org("u"), .user("o"), .org("nobody")] {
                let none = try await models.ask(CallsQuery(owner: owner, span: .current, now: now)).answer
                #expect(!none.isKnown && none.used == 0)
            }
        }
    }

    @Test(arguments: [true, false])
    func `calls on the owner's own key count where the plan says so`(counts: Bool) async throws {
        let source = ArraySource()
        let start = try time("2025-11-01T00:00:00Z")
        let limit = Plan.CallLimit(limit: 10, per: .month, enforce: .hard)
        source.append(plan("p", [limit], byokCountsCalls: counts), at: start)
        source.append(.planAssigned(Assignment(owner: .org("o"), plan: "p")), at: start)
        source.append(call(), at: start)
        source.append(call(keySource: .byok), at: start)
        source.append(call(.failure, usage: Usage(inputTokens: 1), keySource: .byok), at: start)
        source.append(.usage(Call(org: "o", provider: "p", model: "m", operation: .chat, status: .success)), at: start)
        try await answering(source) { models in
            let answer = try await models.ask(CallsQuery(owner: .org("o"), span: .current, now: start)).answer
            #expect(answer.used == (counts ? 3 : 1))
            #expect(answer.limits.map(\.used) == [counts ? 3 : 1])
            #expect(answer.byKeySource.map(\.count) == [1, 2])
            #expect(answer.byStatus.map(\.count) == [2, 1, 0])
        }
    }

    @Test func `plans that come later are seen by queries that ran before`() async throws {
        let source = ArraySource()
        let start = try time("2025-11-01T00:00:00Z")
        try await answering(source) { models in
            let query = CallsQuery(owner: .org("o"), span: .current, now: start)
            for number in 1...5 {
                source.append(
                    plan(
                        Name(checked: "p\(number)"),
                        [Plan.CallLimit(limit: Int64(number), per: .day, enforce: .hard)]), at: start)
                source.append(
                    .planAssigned(Assignment(owner: .org("o"), plan: Name(checked: "p\(number)"))), at: start)
                await models.wait("calls", until: source.highWater, timeoutMilliseconds: 120_000)
                // Both query threads.
                for _ in 0..<2 {
                    let answer = try await models.ask(query).answer
                    #expect(answer.limits.map(\.limit.limit) == [Int64(number)])
                }
            }
        }
    }

    @Test func `tokens and money are summed by what is asked for`() async throws {
        let source = ArraySource()
        let rule = PriceRule(per: 1000, input: Decimal(mantissa: 1, scale: 0), output: Decimal(mantissa: 2, scale: 0))
        let byModel = PriceRule(model: "big", per: 1000, anyToken: Decimal(mantissa: 10, scale: 0))
        func add(_ org: Name?, _ user: Name, _ model: Name, _ input: Int64, _ output: Int64, _ time: String) throws {
            var call = Call(
                org: org, user: user, provider: "p", model: model, operation: .chat, status: .success,
                usage: Usage(inputTokens: input, outputTokens: output, cacheReadTokens: input / 2))
            call.cost = Decimal(mantissa: 15, scale: 10)
            source.append(.call(call), at: try self.time(time))
        }
        try add("a", "u1", "small", 1000, 10, "2025-11-01T12:00:00Z")
        source.append(
            .pricesPublished(PriceList(unit: .credits, rules: [byModel, rule])), at: try time("2025-11-02T00:00:00Z"))
        try add("a", "u1", "small", 1000, 500, "2025-11-02T00:00:00Z")
        try add("a", "u2", "big", 100, 200, "2025-11-02T23:59:59.999999Z")
        try add("b", "u1", "small", 2000, 0, "2025-11-03T00:00:00Z")
        try add(nil, "u9", "small", 1, 1, "2025-11-03T00:00:00Z")
        try await answering(source) { models in
            let byDay = try await models.ask(TokensQuery(org: "a", groups: [.day])).answer
            let days = [try day("2025-11-01"), try day("2025-11-02")]
            #expect(byDay.rows.map(\.day) == days)
            #expect(byDay.rows.map(\.totals.calls) == [1, 2])
            #expect(byDay.rows.map(\.totals.inputTokens) == [1000, 1100])
            #expect(byDay.rows.map(\.totals.cacheReadTokens) == [500, 550])
            #expect(byDay.rows.map(\.totals.unpricedCalls) == [1, 0])
            // 1,000 x 1 + 500 x 2 a thousand, and 300 x 10 a thousand.
            #expect(byDay.rows.map(\.totals.charge.credits) == ["0", "5"])
            // 1.5 n$ a call, each rounded half to even.
            #expect(byDay.totals.cost.nanos == 6)
            #expect(byDay.totals.charge.credits == "5" && byDay.totals.calls == 3)

            let all = try await models.ask(TokensQuery(groups: [.org, .model])).answer
            #expect(all.rows.map(\.org) == [nil, "a", "a", "b"])
            #expect(all.rows.map(\.model) == ["small", "big", "small", "small"])
            #expect(all.totals.inputTokens == 4101 && all.totals.calls == 5)
            #expect(all.rows.allSatisfy { $0.user == nil && $0.day == nil })

            let from = TokensQuery.day("2025-11-02T00:00:00Z", isEnd: false)
            for end in ["2025-11-03", "2025-11-03T00:00:00Z", "2025-11-02T00:00:01Z"] {
                let query = TokensQuery(from: from, to: TokensQuery.day(end, isEnd: true))
                let some = try await models.ask(query).answer
                #expect(some.rows.isEmpty && some.totals.calls == 2 && some.totals.outputTokens == 700)
            }
            #expect(try await models.ask(TokensQuery(org: "nobody", groups: [.user])).answer.rows.isEmpty)
            #expect(try await models.ask(TokensQuery(org: "nobody")).answer.totals == TokensAnswer.Totals())
            let last = try time("2025-11-02T23:59:59.999999Z")
            #expect(try await models.ask(ActivityQuery(org: "a")).answer == last)
            #expect(try await models.ask(ActivityQuery(org: "nobody")).answer == nil)
        }
    }

    @Test(arguments: [
        ("2025-11", CallsQuery.Span.month(year: 2025, month: 11)),
        ("2024-02-29", .day(Day(year: 2024, month: 2, day: 29)!)),
        ("2025-13", nil), ("2025-00", nil), ("2025-02-29", nil), ("2025/11", nil), ("2025-1", nil), ("", nil),
        ("+025-11", nil), ("2025-11-1", nil), ("2025-11\r\n", nil), ("2025-11 01", nil),
    ] as [(String, CallsQuery.Span?)])
    func `a period is a month or a day as written`(text: String, span: CallsQuery.Span?) {
        #expect(CallsQuery.Span(text) == span)
    }

    @Test func `dimensions are known by their bytes`() {
        #expect(TokensQuery.Dimension("key_source") == .keySource)
        for text in ["", "Day", "day ", "keysource"] { #expect(TokensQuery.Dimension(text) == nil) }
    }

    @Test func `projectors follow a real log`() async throws {
        let records = RandomLog.records(600, seed: 9)
        let inMemory = ArraySource(records)
        let logFolder = folder.path + "/log"
        let log = try EventLog.open(folder: logFolder, mode: .readWrite, mapBytes: 1 << 26, prezeroBytes: 0)
        // Corrections find their calls by an index, here one that knows only some, and lies.
        let source = EventLogSource(log) { hash in
            [1, 2] + records.filter { $0.position % 2 == 0 }
                .filter { $0.idempotencyKey.hash == hash }.map(\.position)
        }
        let models = ReadModels(folder: folder.path, source: source, projections: [Calls.self, Tokens.self])
        try await models.start()
        let writer = Writer(log)
        var next = 0
        while next < records.count {
            let frame = records[next..<min(records.count, next + 37)]
            var bytes: [UInt8] = []
            var ends: [Int] = []
            var hashes: [Digest] = []
            let recordedAt = frame.first?.recordedAt ?? .earliest
            for record in frame {
                let start = bytes.count
                RecordCodec.encode(record, into: &bytes)
                hashes.append(
                    bytes.withUnsafeBytes { RecordCodec.hash(UnsafeRawBufferPointer(rebasing: $0[start...])) })
                ends.append(bytes.count)
            }
            try await writer.append(bytes, ends, hashes, recordedAt.microseconds)
            next += frame.count
        }
        for name in ["calls", "tokens"] {
            #expect(await models.wait(name, until: 600, timeoutMilliseconds: 120_000) == 600)
        }
        #expect(models.status("calls")?.digest == Digest(bytes: try Calls.refold(inMemory, through: 600).bytes).hex)
        #expect(models.status("tokens")?.digest == Digest(bytes: try Tokens.refold(inMemory, through: 600).bytes).hex)
        #expect(try Tokens.refold(source, through: 300) == Tokens.refold(inMemory, through: 300))
        await models.stop()
    }
}
