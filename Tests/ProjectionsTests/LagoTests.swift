import Billing
import Records
import SQLite
import TestEvents
import Testing

@testable import Projections

@Suite struct LagoTests {
    private let now = AdmittedLog.start

    /// A source with one org whose overage is invoiced, at 2 credits a call.
    private func source(funds: Int64 = 0) -> ArraySource {
        let source = ArraySource()
        source.append(.planDefined(Plan(name: "p", calls: [], markup: .zero, overage: .invoice)), at: now)
        source.append(
            .planAssigned(
                Assignment(
                    owner: .org("o"), plan: "p", effectiveAt: now.adding(seconds: -3600),
                    lago: Assignment.Lago(externalCustomerID: "c", externalSubscriptionID: "sub \"1\""))), at: now)
        let rule = PriceRule(perCall: Decimal(mantissa: 2, scale: 0))
        source.append(.pricesPublished(PriceList(unit: .credits, rules: [rule])), at: now)
        if funds > 0 {
            let credits = Money(nanos: funds * Money.nanosPerCredit)
            source.append(.creditsGranted(Grant(owner: .org("o"), credits: credits, category: .paid)), at: now)
        }
        return source
    }

    private func call(_ model: Name = "m", org: Name = "o", input: Int64? = nil, status: Call.Status = .success) -> Fact
    {
        .call(
            Call(
                org: org, provider: "openai", model: model, operation: .chat, status: status,
                usage: input.map { Usage(inputTokens: $0, outputTokens: 5, cacheReadTokens: 2) }))
    }

    private func close(_ seconds: Int64, through: Timestamp) -> Fact {
        .lagoWindowClosed(LagoWindowClosed(windowSeconds: seconds, through: through))
    }

    private func answers(_ source: ArraySource, _ ask: (ReadModels) async throws -> Void) async throws {
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Lago.self], runners: 1)
        try await models.start()
        let seen = await models.wait("lago", until: source.highWater, timeoutMilliseconds: 120_000)
        #expect(seen == source.highWater, "\(models.statuses)")
        try await ask(models)
        await models.stop()
    }

    @Test func `a batch's body, byte by byte`() async throws {
        let source = source(funds: 3)
        source.append(call("m\\", input: 10), at: now.adding(seconds: 61))
        source.append(call("m\\", input: 7), at: Timestamp(microseconds: now.microseconds + 1_500_000))
        source.append(
            .usage(
                Call(
                    org: "o", provider: "openai", model: "img", operation: .image, status: .success,
                    usage: Usage(images: 2, audioSeconds: Decimal(mantissa: 125, scale: 1)))),
            at: now.adding(seconds: 3599))
        source.append(close(3600, through: now.adding(seconds: 3600)))
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.id.text) == ["b-8-1"])
            let batch = try #require(batches.first)
            #expect(batch.windowStart == now.microseconds / 1_000_000 && batch.windowSeconds == 3600)
            #expect(batch.firstPosition == 5 && batch.lastPosition == 7 && batch.lines == 2 && batch.events == 3)
            #expect(batch.state == .pending)
            let content = try await models.ask(LagoBatchQuery(id: batch.id)).answer
            let closed = try #require(try source.record(at: 8)).recordedAt.microseconds
            let expected = #"""
                {"events":[{"transaction_id":"l-8-1-\#(closed)",\#
                "external_subscription_id":"sub \"1\"","code":"llm_usage",\#
                "timestamp":1793494799,"properties":{"model":"img","provider":"openai","operation":"image","calls":0,\#
                "input_tokens":0,"output_tokens":0,"cache_read_tokens":0,"cache_write_tokens":0,"reasoning_tokens":0,\#
                "images":2,"audio_seconds":12.5,"credits":"0","line_id":"l-8-1","batch_id":"b-8-1"}},\#
                {"transaction_id":"l-8-2-\#(closed)","external_subscription_id":"sub \"1\"","code":"llm_usage",\#
                "timestamp":1793491261,"properties":{"model":"m\\","provider":"openai","operation":"chat","calls":2,\#
                "input_tokens":17,"output_tokens":10,"cache_read_tokens":4,"cache_write_tokens":0,\#
                "reasoning_tokens":0,"credits":"4","line_id":"l-8-2","batch_id":"b-8-1"}},\#
                {"transaction_id":"l-8-2-\#(closed)-overage",\#
                "external_subscription_id":"sub \"1\"","code":"llm_overage",\#
                "timestamp":1793491261,"precise_total_amount_cents":"0.1","properties":{"model":"m\\",\#
                "provider":"openai","operation":"chat","units":"1","line_id":"l-8-2","batch_id":"b-8-1"}}]}
                """#
            #expect(content.map { String(decoding: $0.body, as: UTF8.self) } == expected)
            #expect(try await models.ask(LagoBatchQuery(id: LagoBatchID(position: 8, number: 2))).answer == nil)
        }
    }

    @Test func `windows are cut by the calls' own time, and a late call opens a new line`() async throws {
        let source = source()
        source.append(call(), at: now.adding(seconds: 3599))  // 4: first window
        source.append(call(), at: now.adding(seconds: 3600))  // 5: second
        source.append(call("late"), at: now.adding(seconds: -1))  // 6: the one before
        source.append(close(3600, through: now.adding(seconds: 3599)))  // 7: seals that before
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 8: seals the first
        source.append(call(), at: now.adding(seconds: 10))  // 9: late for the first
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 10: seals it as a new line
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 11: nothing
        source.append(call(), at: now.adding(seconds: 3700))  // 12: joins 5
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.id.text) == ["b-7-1", "b-8-1", "b-10-1"])
            let start = now.microseconds / 1_000_000
            #expect(batches.map(\.windowStart) == [start - 3600, start, start])
            #expect(batches.map(\.firstPosition) == [6, 4, 9])
            let open = try await models.ask(LagoOpenQuery()).answer
            #expect(open == LagoOpen(lines: 1, firstEnd: start + 7200))
        }
    }

    @Test func `windows of the time before 1970 are half-open too`() {
        let rows: [(micros: Int64, start: Int64)] = [
            (0, 0), (-1, -3600), (-3_600_000_000, -3600), (-3_600_000_001, -7200), (3_599_999_999, 0),
        ]
        for row in rows {
            #expect(LagoLineKey.windowStart(of: Timestamp(microseconds: row.micros), seconds: 3600) == row.start)
        }
    }

    @Test func `a closing with another length cuts the lines that come after it`() async throws {
        let source = source()
        source.append(call(), at: now.adding(seconds: 100))  // 4: in an hour's window
        source.append(close(900, through: now.adding(seconds: 900)))  // 5: nothing has ended
        source.append(call(), at: now.adding(seconds: 200))  // 6: in a quarter's window
        source.append(close(900, through: now.adding(seconds: 900)))  // 7
        source.append(close(900, through: now.adding(seconds: 3600)))  // 8
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.id.text) == ["b-7-1", "b-8-1"])
            #expect(batches.map(\.windowSeconds) == [900, 3600])
        }
    }

    @Test func `a batch holds 100 events of one window, and a line's events stay together`() async throws {
        let source = source(funds: 2 * 99)
        // 99 lines that lots pay, then 3 whose overage is due: two events each.
        for number in 0..<102 { source.append(call(Name(checked: "m\(1000 + number)")), at: now) }
        source.append(call("next"), at: now.adding(seconds: 3600))
        source.append(close(3600, through: now.adding(seconds: 7200)))
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.lines) == [99, 3, 1])
            #expect(batches.map(\.events) == [99, 6, 2])
            let second = try await models.ask(LagoBatchQuery(id: batches[1].id)).answer
            #expect(second?.lines.map(\.number) == [100, 101, 102])
            let pages = try await models.ask(LagoBatchesQuery(after: batches[0].id, limit: 1)).answer
            #expect(pages == [batches[1]])
        }
    }

    @Test func `who has no subscription, and what used nothing, makes no line`() async throws {
        let source = source()
        source.append(call(org: "other"), at: now)
        source.append(call(status: .failure), at: now)
        source.append(call(), at: now.adding(seconds: -86_400))  // before the assignment
        source.append(close(3600, through: now.adding(seconds: 3600)))
        try await answers(source) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoBatchesQuery()).answer.isEmpty)
            #expect(try await models.ask(LagoOpenQuery()).answer == LagoOpen(lines: 0, firstEnd: nil))
        }
    }

    /// A call's resolution as admission writes it: 2 credits, all of them overage that is due.
    private func standing(_ position: UInt64, _ seconds: Int64, stated: UInt64? = nil) -> StandingCall {
        let due = Money(nanos: 2_000_000)
        return StandingCall(
            original: position, position: stated ?? position, occurredAt: now.adding(seconds: seconds), isCall: true,
            org: "o", user: nil, isCounted: true,
            charge: ChargeRecord(
                parts: [ChargeRecord.Part(owner: .org("o"), slices: [], overage: due, invoiced: due)]))
    }

    private func void(_ standing: StandingCall) -> Fact {
        .callVoided(
            CallVoided(source: "test", id: Name(checked: "id-\(standing.original)"), reason: "r", unwinds: standing))
    }

    @Test func `a call of a sealed batch that is voided makes a new line with the difference`() async throws {
        let source = source()
        source.append(call(input: 10), at: now.adding(seconds: 60))  // 4
        source.append(call(input: 7), at: now.adding(seconds: 61))  // 5
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 6
        source.append(void(standing(4, 60)), at: now.adding(seconds: 9000))  // 7
        source.append(close(3600, through: now.adding(seconds: 10_800)))  // 8
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.id.text) == ["b-6-1", "b-8-1"])
            #expect(batches.map(\.events) == [2, 1])
            #expect(batches.map(\.windowStart) == [now, now].map { $0.microseconds / 1_000_000 })
            let sealed = try await models.ask(LagoBatchQuery(id: batches[0].id)).answer
            #expect(sealed?.lines.map(\.sums.calls) == [2])
            #expect(sealed?.lines.map(\.sums.due.credits) == ["4"])
            let difference = try #require(try await models.ask(LagoBatchQuery(id: batches[1].id)).answer)
            let line = try #require(difference.lines.first)
            #expect(difference.lines.count == 1)
            #expect(line.sums.calls == -1 && line.sums.inputTokens == -10 && line.sums.cacheReadTokens == -2)
            #expect(line.sums.charge.credits == "-2" && line.sums.due == .zero && line.sums.creditDue.credits == "2")
            let body = String(decoding: difference.body, as: UTF8.self)
            #expect(body.contains("\"calls\":-1,\"input_tokens\":-10"))
            #expect(body.contains("\"credits\":\"-2\""))
            #expect(!body.contains("llm_overage"))
        }
    }

    @Test func `an amendment of a sealed call makes one line with the difference, by model`() async throws {
        let source = source()
        source.append(call(input: 10), at: now.adding(seconds: 60))  // 4
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 5
        func amend(_ model: Name, _ input: Int64, _ standing: StandingCall) -> Fact {
            guard case .call(let call) = call(model, input: input) else { preconditionFailure() }
            return .callAmended(
                CallAmended(source: "test", id: "id-4", reason: "r", call: call, unwinds: standing))
        }
        source.append(amend("m", 25, standing(4, 60)), at: now.adding(seconds: 9000))  // 6
        source.append(close(3600, through: now.adding(seconds: 10_800)))  // 7
        source.append(amend("n", 25, standing(4, 60, stated: 6)), at: now.adding(seconds: 9000))  // 8
        source.append(close(3600, through: now.adding(seconds: 10_800)))  // 9
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            var lines: [String] = []
            for batch in batches {
                for line in try await models.ask(LagoBatchQuery(id: batch.id)).answer?.lines ?? [] {
                    lines.append(
                        "\(line.key.model) \(line.sums.calls) \(line.sums.inputTokens) \(line.sums.charge.credits)")
                }
            }
            #expect(lines == ["m 1 10 2", "m 0 15 0", "m -1 -25 -2", "n 1 25 2"])
        }
    }

    @Test func `a call that is voided before its line is sealed leaves nothing`() async throws {
        let source = source()
        source.append(call(input: 10), at: now.adding(seconds: 60))  // 4
        source.append(void(standing(4, 60)), at: now.adding(seconds: 90))  // 5
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 6
        try await answers(source) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoBatchesQuery()).answer.isEmpty)
            #expect(try await models.ask(LagoOpenQuery()).answer.lines == 0)
        }
    }

    @Test func `what is unwound goes to the subscription that it was told of, whoever has one now`() async throws {
        let source = source()
        source.append(call(input: 10), at: now.adding(seconds: 60))  // 4
        source.append(
            .planAssigned(
                Assignment(
                    owner: .org("o"), plan: "p", effectiveAt: now.adding(seconds: -60),
                    lago: Assignment.Lago(externalCustomerID: "c", externalSubscriptionID: "other"))), at: now)  // 5
        source.append(void(standing(4, 60)), at: now.adding(seconds: 90))  // 6
        source.append(close(3600, through: now.adding(seconds: 3600)))  // 7
        try await answers(source) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoBatchesQuery()).answer.isEmpty)
        }
    }

    @Test func `what is delivered stays delivered, what failed may be yet`() async throws {
        let source = source()
        for (index, model) in ["a", "b", "c"].enumerated() {
            source.append(call(Name(checked: model)), at: now.adding(seconds: Int64(index) * 3600))
        }
        source.append(close(3600, through: now.adding(seconds: 4 * 3600)))  // 7: b-7-1 ... b-7-3
        source.append(.lagoBatchFailed(LagoDelivery(batch: "b-7-1", detail: "422")))
        source.append(.lagoBatchDelivered(LagoDelivery(batch: "b-7-2", detail: "ok")))
        source.append(.lagoBatchFailed(LagoDelivery(batch: "b-7-2", detail: "no")))
        source.append(.lagoBatchDelivered(LagoDelivery(batch: "b-7-9")))
        source.append(.lagoBatchDelivered(LagoDelivery(batch: "nothing")))
        try await answers(source) { (models: ReadModels) async throws in
            let batches = try await models.ask(LagoBatchesQuery()).answer
            #expect(batches.map(\.state) == [.failed, .delivered, .pending])
            #expect(batches.map(\.detail) == ["422", "ok", nil])
            #expect(batches.map(\.statePosition) == [8, 9, 0])
            for state in LagoBatch.State.allCases {
                #expect(try await models.ask(LagoBatchesQuery(state: state)).answer.map(\.state) == [state])
            }
        }
        source.append(.lagoBatchDelivered(LagoDelivery(batch: "b-7-1")))
        try await answers(source) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoBatchesQuery(state: .delivered)).answer.map(\.id.number) == [1, 2])
        }
    }

    @Test func `records of Lago's door are found by their transaction id`() async throws {
        let source = source()
        for (door, id) in [(Door.lago, "t1"), (.native, "t2"), (.lago, "t1"), (.openmeter, "t3")] as [(Door, Name)] {
            let position = source.highWater + 1
            let event = Event(source: Name(checked: "s\(position)"), id: id, time: now, fact: call())
            source.append([Record(position: position, recordedAt: now, door: door, key: nil, event: event)])
        }
        try await answers(source) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoReceivedQuery(transactionID: "t1", org: nil)).answer == [4, 6])
            #expect(try await models.ask(LagoReceivedQuery(transactionID: "t2", org: nil)).answer == [])
            #expect(try await models.ask(LagoReceivedQuery(transactionID: "t3", org: nil)).answer == [])
        }
    }

    @Test(arguments: [31, 32] as [UInt64])
    func `lines hold each call of a subscription once, and its money to the nano-dollar`(seed: UInt64) async throws {
        var (records, _) = AdmittedLog.make(1500, seed: seed)
        let last = UInt64(records.count + 1)
        let closing = Event(
            source: "test", id: "closing", time: nil,
            fact: close(3600, through: now.adding(seconds: 40 * 86_400)))
        records.append(Record(position: last, recordedAt: now, door: .daemon, key: nil, event: closing))
        var book = Book()
        var sums: [Name: [Int64]] = [:]
        // By call: what its standing version added where.
        var standing: [UInt64: (subscription: Name, added: [Int64])] = [:]
        for record in records {
            let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
            func stand(_ call: Call, isCall: Bool, at time: Timestamp, for original: UInt64) {
                standing[original] = nil
                guard let lago = book.catalog.standing(for: call, at: time)?.assignment.lago,
                    let charge = outcome.rating?.charge
                else { return }
                let invoiced = outcome.charge?.invoiced.nanos ?? 0
                let counted: Int64 = isCall && (call.status == .success || call.hasUsage) ? 1 : 0
                let added = [counted, call.usage?.inputTokens ?? 0, charge.nanos, invoiced]
                standing[original] = (lago.externalSubscriptionID, added)
            }
            switch record.event.fact {
            case .call(let call): stand(call, isCall: true, at: record.occurredAt, for: record.position)
            case .usage(let call): stand(call, isCall: false, at: record.occurredAt, for: record.position)
            case .callVoided(let fact): standing[fact.unwinds!.original] = nil
            case .callAmended(let fact):
                let old = fact.unwinds!
                stand(fact.call, isCall: old.isCall, at: old.occurredAt, for: old.original)
            default: break
            }
        }
        for (subscription, added) in standing.values {
            sums[subscription] = zip(sums[subscription] ?? [0, 0, 0, 0], added).map { $0 + $1 }
        }
        try await answers(ArraySource(records)) { (models: ReadModels) async throws in
            #expect(try await models.ask(LagoOpenQuery()).answer.lines == 0)
            var found: [Name: [Int64]] = [:]
            var after: LagoBatchID?
            var ids: Set<String> = []
            while true {
                let batches = try await models.ask(LagoBatchesQuery(after: after, limit: 50)).answer
                guard let last = batches.last else { break }
                after = last.id
                for batch in batches {
                    let content = try #require(try await models.ask(LagoBatchQuery(id: batch.id)).answer)
                    #expect(content.lines.count == Int(batch.lines) && batch.events <= 100)
                    for line in content.lines {
                        #expect(ids.insert(line.id).inserted)
                        let seconds = line.sums.lastAt.microseconds / 1_000_000
                        #expect(seconds >= line.key.windowStart && seconds < line.key.windowEnd)
                        #expect(line.key.windowStart == batch.windowStart)
                        let added = [
                            line.sums.calls, Int64(line.sums.inputTokens), Int64(line.sums.charge.nanos),
                            Int64(line.sums.invoiced.nanos),
                        ]
                        found[line.key.subscription] = zip(found[line.key.subscription] ?? [0, 0, 0, 0], added).map {
                            $0 + $1
                        }
                    }
                }
            }
            #expect(found.filter { $0.value != [0, 0, 0, 0] } == sums.filter { $0.value != [0, 0, 0, 0] })
            #expect(sums.values.contains { $0[3] > 0 })
        }
    }
}
