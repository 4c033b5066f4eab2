import Billing
import EventLog
import Platform
import Records
import Testing

@testable import Engine

struct WriterTests {
    @Test func `the same key is a duplicate, with other content a conflict, in one request and over restarts`() throws {
        let rig = try Rig()
        let first = try rig.post([call("1"), call("1"), call("1", tokens: 11), call("2")])
        #expect(first.map(\.summary) == ["stored 1", "duplicate 1", "conflict 1", "stored 2"])
        #expect(try rig.post([call("1")]).map(\.summary) == ["duplicate 1"])
        #expect(try rig.post([call("1", source: "other")]).map(\.summary) == ["stored 3"])
        try rig.restart()
        #expect(
            try rig.post([call("2"), call("2", tokens: 99), call("3")]).map(\.summary)
                == ["duplicate 2", "conflict 2", "stored 4"])
        #expect(rig.log.highWater == 4)
    }

    @Test func `keys are found again when they have left memory for the runs on disk`() throws {
        let rig = try Rig()
        let events = (0..<1000).map { call(Name(checked: "c\($0)")) }
        let stored = try rig.post(events)
        #expect(stored.map(\.summary) == (1...1000).map { "stored \($0)" })
        #expect(try rig.post(events).map(\.summary) == (1...1000).map { "duplicate \($0)" })
        try rig.restart()
        #expect(try rig.post(events).map(\.summary) == (1...1000).map { "duplicate \($0)" })
    }

    @Test func `a lost index comes back from the log`() throws {
        let rig = try Rig()
        _ = try rig.post((0..<200).map { call(Name(checked: "c\($0)")) })
        try rig.restart()
        try Folder.remove(rig.folder + "/index/data")
        #expect(throws: Never.self) { try rig.restart() }
        #expect(try rig.post([call("c7"), call("new")]).map(\.summary) == ["duplicate 8", "stored 201"])
    }

    @Test func `what is told again otherwise is a duplicate where its money is the same, and only there`() throws {
        let rig = try Rig()
        func usage(_ second: Int64, tokens: Int64 = 10, user: Name? = nil, cost: Decimal? = nil) -> Event {
            var event = call("b", user: user, time: Timestamp(microseconds: second * 1_000_000), tokens: tokens)
            guard case .call(var fact) = event.fact else { return event }
            fact.cost = cost
            event.fact = .usage(fact)
            return event
        }
        func tell(_ events: [Event], isRetold: Bool = true) throws -> [String] {
            var submission = Submission(door: .litellm, key: "test")
            for event in events { submission.add(event, isRetold: isRetold) }
            return try rig.submit(submission).get().verdicts.map(\.summary)
        }
        // In one group, and later; at another time, to another user.
        #expect(
            try tell([usage(1), usage(2), usage(3, tokens: 11)]) == ["stored 1", "duplicate 1", "conflict 1"])
        #expect(
            try tell([usage(4, user: "bob"), usage(5, cost: .zero), usage(6, tokens: 9)])
                == ["duplicate 1", "conflict 1", "conflict 1"])
        #expect(try tell([usage(7)], isRetold: false) == ["conflict 1"])
        #expect(try rig.post([call("b")]).map(\.summary) == ["conflict 1"])
        #expect(try rig.records().count == 1)
    }

    @Test func `a duplicate is told before a rule is asked`() throws {
        let rig = try Rig()
        let grant = Event(
            source: "admin", id: "lot-1", time: nil,
            fact: .creditsGranted(Grant(owner: .org("acme"), credits: Money(nanos: 5), category: .paid)))
        let other = Event(source: "elsewhere", id: "lot-1", time: nil, fact: grant.fact)
        #expect(
            try rig.post([grant, grant, other]).map(\.summary) == ["stored 1", "duplicate 1", "rejected lot_exists"])
    }

    @Test func `a time more than five minutes ahead is rejected, the past has no limit`() throws {
        let rig = try Rig()
        let now = Timestamp(microseconds: Rig.noon)
        let verdicts = try rig.post([
            call("a", time: now.adding(seconds: 300)), call("b", time: now.adding(seconds: 301)),
            call("c", time: Timestamp(rfc3339: "0001-01-01T00:00:00Z")),
        ])
        #expect(verdicts.map(\.summary) == ["stored 1", "rejected time_in_future", "stored 2"])
    }

    @Test func `recording times never go back when the clock does`() throws {
        let rig = try Rig()
        _ = try rig.post([call("a")])
        rig.time.withLock { $0 -= 3_600_000_000 }
        _ = try rig.post([call("b")])
        try rig.restart()
        _ = try rig.post([call("c")])
        #expect(try rig.records().map(\.recordedAt.microseconds) == [Rig.noon, Rig.noon, Rig.noon])
    }

    @Test func `a subscription stands for the owner whose plan names it, else for an org`() throws {
        let rig = try Rig()
        let plan = Event(
            source: "a", id: "p", time: nil, fact: .planDefined(Plan(name: "pro", calls: [], markup: .zero)))
        let assigned = Event(
            source: "a", id: "as", time: nil,
            fact: .planAssigned(
                Assignment(
                    owner: .user("bob"), plan: "pro",
                    lago: .init(externalCustomerID: "cust", externalSubscriptionID: "sub-1"))))
        let known = call("k", org: nil, subscription: "sub-1")
        _ = try rig.post([plan, assigned, known, call("u", org: nil, subscription: "sub-2")])
        let calls = try rig.records().compactMap { record -> Call? in
            if case .call(let call) = record.event.fact { return call }
            return nil
        }
        #expect(calls.map(\.user) == ["bob", nil])
        #expect(calls.map(\.org) == [nil, "sub-2"])
        #expect(calls.map(\.subscription) == ["sub-1", "sub-2"])
        // What was sent is what is compared: the owner found later does not make it another event.
        #expect(try rig.post([known]).map(\.summary) == ["duplicate 3"])
    }

    @Test func `a confined key writes for its own org alone and learns nothing of others`() throws {
        let rig = try Rig()
        _ = try rig.post([call("1", org: "other")])
        let verdicts = try rig.post(
            [
                call("1", org: "other"), call("2", org: "acme"), call("3", org: nil, user: "u"),
                call("4", org: nil, subscription: "other"),
            ],
            confinedTo: "acme")
        #expect(
            verdicts.map(\.summary)
                == ["rejected org_forbidden", "stored 2", "rejected org_forbidden", "rejected org_forbidden"])
    }

    @Test func `what another org has stored is told to no confined key, nor stands in its way`() throws {
        let rig = try Rig()
        _ = try rig.post([
            call("1", org: "other"), call("2", org: nil, subscription: "other"), call("3", org: "acme"),
            call("4", org: nil, subscription: "acme"),
        ])
        let verdicts = try rig.post(
            [
                // The same key with content of its own: a key of its own.
                call("1", org: "acme"), call("1", org: "acme", tokens: 11),
                // Whose a subscription is decides before the key is looked for: stored before or not, the same answer.
                call("2", org: nil, subscription: "other"), call("new", org: nil, subscription: "other"),
                // Its own, by another sender: the same is the same, anything else is no conflict.
                call("3", org: "acme"), call("3", org: "acme", tokens: 11), call("4", org: nil, subscription: "acme"),
            ],
            confinedTo: "acme")
        #expect(
            verdicts.map(\.summary) == [
                "stored 5", "conflict 5", "rejected org_forbidden", "rejected org_forbidden",
                "duplicate 3", "stored 6", "duplicate 4",
            ])
    }

    @Test func `what ends is recorded as expired at its time, once`() throws {
        let rig = try Rig()
        let end = Timestamp(microseconds: Rig.noon).adding(seconds: 60)
        _ = try rig.post([
            Event(
                source: "admin", id: "lot", time: nil,
                fact: .creditsGranted(
                    Grant(owner: .org("acme"), credits: Money(nanos: 5_000_000), category: .promo, expiresAt: end)))
        ])
        rig.time.withLock { $0 += 60_000_000 }
        #expect(rig.log.waitForAppend(after: 1, milliseconds: 60_000) == 2)
        try rig.restart()
        _ = try rig.post([call("later")])
        let records = try rig.records()
        #expect(records.map(\.event.fact.type) == ["credits.granted", "credits.expired", "llm.call"])
        #expect(records[1].event.time == end)
        #expect(records[1].event.fact == .creditsExpired(LotExpired(lot: "lot", credits: Money(nanos: 5_000_000))))
    }

    @Test func `a window is closed once at its end, and only when Lago is to hear of something`() throws {
        let rig = try Rig()
        _ = try rig.post([
            Event(source: "a", id: "p", time: nil, fact: .planDefined(Plan(name: "pro", calls: [], markup: .zero))),
            Event(
                source: "a", id: "as", time: nil,
                fact: .planAssigned(
                    Assignment(
                        owner: .org("acme"), plan: "pro",
                        lago: .init(externalCustomerID: "cust", externalSubscriptionID: "sub-1")))),
            call("nobody", org: "other"),
        ])
        rig.time.withLock { $0 += 3_600_000_000 }
        _ = try rig.post([call("ours")])
        rig.time.withLock { $0 += 3_600_000_000 }
        #expect(rig.log.waitForAppend(after: 4, milliseconds: 60_000) == 5)
        let last = try rig.records()[4].event.fact
        let through = Timestamp(microseconds: Rig.noon + 2 * 3_600_000_000)
        #expect(last == .lagoWindowClosed(LagoWindowClosed(windowSeconds: 3600, through: through)))
        // Asked for by hand with nothing new: nothing is written.
        let done = Condition<UInt64?>(nil)
        try rig.writer.closeLagoWindows { result in done.signal { $0 = try? result.get() } }
        #expect(done.wait { $0 } == 5)
    }

    @Test func `a call of the window that still runs is not forgotten when an earlier window is closed`() throws {
        let rig = try Rig()
        let start = Timestamp(microseconds: Rig.noon)
        rig.time.withLock { $0 += 3_605_000_000 }
        _ = try rig.post([
            Event(source: "a", id: "p", time: start, fact: .planDefined(Plan(name: "pro", calls: [], markup: .zero))),
            Event(
                source: "a", id: "as", time: start,
                fact: .planAssigned(
                    Assignment(
                        owner: .org("acme"), plan: "pro",
                        lago: .init(externalCustomerID: "cust", externalSubscriptionID: "sub-1")))),
            call("before", time: start.adding(seconds: 3599)), call("after", time: start.adding(seconds: 3602)),
        ])
        let done = Condition<UInt64?>(nil)
        try rig.writer.closeLagoWindows { result in done.signal { $0 = try? result.get() } }
        #expect(done.wait { $0 } == 5)
        // Also after a restart, which recovers what is open from the log.
        try rig.restart()
        rig.time.withLock { $0 += 3_600_000_000 }
        #expect(rig.log.waitForAppend(after: 5, milliseconds: 60_000) == 6)
        let closings = try rig.records().compactMap { record -> Timestamp? in
            if case .lagoWindowClosed(let closed) = record.event.fact { return closed.through }
            return nil
        }
        #expect(closings == [start.adding(seconds: 3600), start.adding(seconds: 7200)])
    }

    @Test func `64 tasks appending at once lose nothing, share commits, and get gapless positions`() async throws {
        let rig = try Rig()
        let positions = await withTaskGroup(of: [UInt64].self) { group in
            for task in 0..<64 {
                group.addTask {
                    var mine: [UInt64] = []
                    for number in 0..<20 {
                        let event = call(Name(checked: "t\(task)-\(number)"))
                        var submission = Submission(door: .native, key: nil)
                        submission.add(event)
                        let result = await withCheckedContinuation { continuation in
                            do throws(SubmitError) {
                                try rig.writer.submit(submission) { continuation.resume(returning: $0) }
                            } catch {
                                continuation.resume(returning: .failure(error))
                            }
                        }
                        if case .success(let receipt) = result, case .stored(let position, _) = receipt.verdicts[0] {
                            mine.append(position)
                        }
                    }
                    return mine
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(positions.sorted() == Array(1...1280))
        #expect(rig.writer.statistics.commits < 1280)
        #expect(rig.writer.statistics.stored == 1280)
    }

    @Test func `over the limit of what waits a submission is refused at once`() throws {
        var limits = Rig.limits
        limits.pendingBytesMax = 1000
        let rig = try Rig(limits: limits)
        // The writer's thread is held in the completion of the first; the second waits, the third is over the limit.
        let gate = Condition(false)
        let entered = Condition(false)
        var one = Submission(door: .native, key: nil)
        one.add(call("1"))
        try rig.writer.submit(one) { _ in
            entered.signal { $0 = true }
            _ = gate.wait { $0 ? true : nil }
        }
        _ = entered.wait { $0 ? true : nil }
        var many = Submission(door: .native, key: nil)
        for number in 0..<10 { many.add(call(Name(checked: "m\(number)"))) }
        try rig.writer.submit(many) { _ in }
        #expect(throws: SubmitError.overloaded) { try rig.writer.submit(many) { _ in } }
        gate.signal { $0 = true }
        #expect(try rig.post([call("after")]).map(\.summary) == ["stored 12"])
        #expect(rig.writer.statistics.overloaded == 1)
    }

    @Test func `a full log refuses whole submissions, keeps what it has, and says so`() throws {
        let rig = try Rig(mapBytes: 1 << 20)
        var stored = 0
        var refused = false
        for batch in 0..<200 where !refused {
            var submission = Submission(door: .native, key: nil)
            for number in 0..<50 { submission.add(call(Name(checked: "b\(batch)-\(number)"))) }
            switch rig.submit(submission) {
            case .success: stored += 50
            case .failure(let error):
                #expect(error == .full)
                refused = true
            }
        }
        #expect(refused)
        #expect(rig.log.highWater == UInt64(stored))
        #expect(rig.writer.statistics.isFull)
        // Nothing of the refused batch is known: its first event is not a duplicate once there is room.
        #expect(try rig.records().count == stored)
    }

    @Test func `after a stop everything is refused`() throws {
        let rig = try Rig()
        rig.writer.stop()
        var submission = Submission(door: .native, key: nil)
        submission.add(call("1"))
        #expect(throws: SubmitError.stopping) { try rig.writer.submit(submission) { _ in } }
    }
}
