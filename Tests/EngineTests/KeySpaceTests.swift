import Billing
import EventLog
import Glibc
import Hashing
import Platform
import Records
import Testing

@testable import Engine

/// Who may take which idempotency key: every kind of sender against what every other one stored.
struct KeySpaceTests {
    private func void(_ call: Name, id: Name, org: Name? = nil, reason: String = "r") -> Event {
        Event(
            source: "admin", id: id, time: nil,
            fact: .callVoided(CallVoided(source: "gateway", id: call, org: org, reason: reason)))
    }

    /// The verdict on one event.
    private func post(_ rig: Rig, _ event: Event, confinedTo org: Name? = nil) throws -> String {
        try rig.post([event], confinedTo: org)[0].summary
    }

    @Test func `a confined key occupies nobody's future key, in one group, over restarts and a lost index`() throws {
        let rig = try Rig()
        let first = try rig.post([call("1", org: "acme"), call("1", org: "acme", tokens: 11)], confinedTo: "acme")
        #expect(first.map(\.summary) == ["stored 1", "conflict 1"])
        #expect(try post(rig, call("1", org: "beta")) == "stored 2")
        #expect(try post(rig, call("1", org: "beta", tokens: 12), confinedTo: "beta") == "stored 3")
        for _ in 0..<2 {
            #expect(try post(rig, call("1", org: "acme"), confinedTo: "acme") == "duplicate 1")
            #expect(try post(rig, call("1", org: "acme", tokens: 9), confinedTo: "acme") == "conflict 1")
            #expect(try post(rig, call("1", org: "beta")) == "duplicate 2")
            #expect(try post(rig, call("1", org: "acme", tokens: 9)) == "conflict 2")
            #expect(try post(rig, call("1", org: "beta", tokens: 12), confinedTo: "beta") == "duplicate 3")
            try rig.restart()
        }
        #expect(try rig.records().map(\.space) == [.org("acme"), .common, .org("beta")])
    }

    @Test func `the same of the same org is a duplicate in both spaces, of another org in none`() throws {
        let rig = try Rig()
        #expect(try post(rig, call("a", org: "acme"), confinedTo: "acme") == "stored 1")
        #expect(try post(rig, call("b", org: "acme")) == "stored 2")
        for _ in 0..<2 {
            // The sender has changed its key, either way.
            #expect(try post(rig, call("a", org: "acme")) == "duplicate 1")
            #expect(try post(rig, call("b", org: "acme"), confinedTo: "acme") == "duplicate 2")
            try rig.restart()
        }
        // Other words are no conflict with the other space.
        #expect(try post(rig, call("a", org: "acme", tokens: 11)) == "stored 3")
        #expect(try post(rig, call("b", org: "acme", tokens: 11), confinedTo: "acme") == "stored 4")
        // Another org's, alike in all but the org.
        #expect(try post(rig, call("b", org: "beta"), confinedTo: "beta") == "stored 5")
        // Both in one group.
        var submission = Submission(door: .native, key: "k", confinedTo: nil)
        submission.add(call("c", org: "acme"))
        #expect(try rig.submit(submission).get().verdicts.map(\.summary) == ["stored 6"])
        #expect(try post(rig, call("c", org: "acme"), confinedTo: "acme") == "duplicate 6")
    }

    @Test func `a correction means its sender's own call, then the common one, then the only one`() throws {
        let rig = try Rig()
        _ = try rig.post([call("1", org: "acme")], confinedTo: "acme")
        _ = try rig.post([call("1", org: "beta")], confinedTo: "beta")
        _ = try rig.post([call("2", org: "acme")], confinedTo: "acme")
        _ = try rig.post([call("3", org: "beta")])
        #expect(try post(rig, void("1", id: "v1")) == "rejected ambiguous_call")
        #expect(try post(rig, void("1", id: "v1", org: "gamma")) == "rejected unknown_call")
        #expect(try post(rig, void("3", id: "v2"), confinedTo: "acme") == "rejected unknown_call")
        #expect(try post(rig, void("1", id: "v3", org: "beta"), confinedTo: "acme") == "rejected org_forbidden")
        try rig.restart()
        // Its own, though another has one too.
        #expect(try post(rig, void("1", id: "v4"), confinedTo: "acme") == "stored 5")
        #expect(try post(rig, void("1", id: "v5", org: "beta")) == "stored 6")
        // The only one there is.
        #expect(try post(rig, void("2", id: "v6")) == "stored 7")
        // The common one where it is its org's.
        #expect(try post(rig, void("3", id: "v7"), confinedTo: "beta") == "stored 8")
        #expect(try post(rig, void("3", id: "v7", org: "beta"), confinedTo: "beta") == "conflict 8")
        let voided = try rig.records().compactMap(\.event.fact.unwinds).map(\.original)
        #expect(voided == [1, 2, 3, 4])
        // The same void by the other kind of sender is of the same call: a duplicate; by itself it means another.
        #expect(try post(rig, void("2", id: "v6"), confinedTo: "acme") == "duplicate 7")
        #expect(try post(rig, void("1", id: "v4")) == "rejected ambiguous_call")
        #expect(try post(rig, void("1", id: "v4", org: "acme")) == "rejected already_voided")
    }

    @Test func `what is no call stands in no correction's way`() throws {
        let rig = try Rig()
        _ = try rig.post([call("mine", org: "acme"), call("mine", org: "beta")])
        for org in ["beta", "gamma"] as [Name] { _ = try rig.post([call("x", org: org)], confinedTo: org) }
        // Two orgs have a void under the id that a third one's call has.
        for org in ["beta", "gamma"] as [Name] {
            let event = Event(
                source: "gateway", id: "1", time: nil,
                fact: .callVoided(CallVoided(source: "gateway", id: "x", reason: "r")))
            #expect(try post(rig, event, confinedTo: org).hasPrefix("stored"))
        }
        _ = try rig.post([call("1", org: "acme")], confinedTo: "acme")
        #expect(try post(rig, void("1", id: "v")) == "stored 7")
    }

    @Test func `what is told again is told by whichever key, in whichever words`() throws {
        let rig = try Rig()
        func tell(_ tokens: Int64, confinedTo org: Name?) throws -> String {
            var submission = Submission(door: .litellm, key: "gw", confinedTo: org)
            submission.add(call("llb1:1", source: "litellm/gw", tokens: tokens), isRetold: true)
            return try rig.submit(submission).get().verdicts[0].summary
        }
        #expect(try tell(10, confinedTo: "acme") == "stored 1")
        #expect(try tell(10, confinedTo: nil) == "duplicate 1")
        #expect(try tell(12, confinedTo: nil) == "conflict 1")
        #expect(try tell(12, confinedTo: "acme") == "conflict 1")
    }

    @Test func `keys of orgs are found again when they have left memory, and merged`() throws {
        let rig = try Rig()
        let orgs: [Name] = ["acme", "beta", "gamma"]
        for round in 0..<4 {
            for org in orgs {
                let calls = (0..<50).map { call(Name(checked: "c\(round * 50 + $0)"), org: org) }
                _ = try rig.post(calls, confinedTo: org)
            }
        }
        try rig.restart()
        for org in orgs {
            let again = try rig.post(
                (0..<200).map { call(Name(checked: "c\($0)"), org: org) }, confinedTo: org)
            #expect(again.allSatisfy { $0.summary.hasPrefix("duplicate") })
        }
        #expect(try post(rig, void("c17", id: "v")) == "rejected ambiguous_call")
        #expect(try post(rig, void("c17", id: "v", org: "beta")) == "stored 601")
    }

    // MARK: - The daemon's own

    /// A client's record under an id of the daemon's own, as a log of before the spaces may hold it.
    private func plant(_ events: [Event], door: Door = .openmeter) throws -> Rig {
        let rig = try Rig()
        rig.writer.stop()
        var arena: [UInt8] = []
        var ends: [Int] = []
        var hashes: [Digest] = []
        for (index, event) in events.enumerated() {
            let start = arena.count
            RecordCodec.encode(event, door: door, key: "evil", into: &arena)
            let hash = arena.withUnsafeMutableBytes { bytes in
                let record = UnsafeMutableRawBufferPointer(rebasing: bytes[start...])
                RecordCodec.stamp(
                    record, position: rig.log.highWater + UInt64(index) + 1,
                    recordedAt: Timestamp(microseconds: Rig.noon))
                return RecordCodec.hash(UnsafeRawBufferPointer(record))
            }
            ends.append(arena.count)
            hashes.append(hash)
        }
        try rig.log.append(records: arena, ends: ends, hashes: hashes, recordedAt: Rig.noon)
        try rig.restart()
        return rig
    }

    @Test func `by every door every source of another door is refused`() throws {
        let rig = try Rig()
        let sources: [Name] = ["tallystick", "litellm/", "litellm/key", "lago/", "lago/sub_1"]
        for door in Door.allCases where door != .daemon {
            for source in sources where Door.owning(source) != door {
                for org in [nil, "acme" as Name] {
                    var submission = Submission(door: door, key: "k", confinedTo: org)
                    submission.add(call("1", source: source))
                    let verdict = try rig.submit(submission).get().verdicts[0].summary
                    #expect(verdict == "rejected reserved_source", "\(door) \(source)")
                }
            }
        }
        #expect(rig.log.highWater == 0)
        for source in ["Tallystick", "tallystick/x", "litellm", "lagoon/x"] as [Name] {
            #expect(Door.owning(source) == nil)
        }
    }

    @Test func `by every door a lot named like the daemon's own is refused`() throws {
        let rig = try Rig()
        let amount = Money(nanos: 5)
        let facts: [Fact] = [
            .creditsGranted(Grant(owner: .org("acme"), credits: amount, category: .promo)),
            .creditsAdjusted(Adjustment(owner: .org("acme"), credits: amount, reason: "r")),
        ]
        for door in Door.allCases where door != .daemon {
            for fact in facts {
                var submission = Submission(door: door, key: "k")
                submission.add(Event(source: "shop", id: "tallystick/lot", time: nil, fact: fact))
                let long = try #require(EventID("tallystick/" + String(repeating: "x", count: 300)))
                submission.add(Event(source: "shop", id: long, time: nil, fact: fact))
                let verdicts = try rig.submit(submission).get().verdicts
                #expect(verdicts.map(\.summary) == ["rejected reserved_id", "rejected reserved_id"])
            }
        }
        // What makes no lot may be named anyhow.
        let taken = Fact.creditsAdjusted(Adjustment(owner: .org("acme"), credits: Money(nanos: -5), reason: "r"))
        #expect(try post(rig, Event(source: "shop", id: "tallystick/x", time: nil, fact: taken)) == "stored 1")
    }

    @Test func `what a client once stored under the daemon's ids ends no hold or lot, and is told`() async throws {
        let key = try #require(HoldKey(org: "acme", user: nil, id: "a"))
        let end = Timestamp(microseconds: Rig.noon).adding(seconds: 60)
        let planted = ["asked", "released", "expired"].map { Admission.id(of: key, $0) } + [Admission.expiryID(of: "lot")]
        let rig = try plant(planted.map { call($0, org: "evil", source: "tallystick") })
        _ = try rig.post([
            Event(
                source: "shop", id: "lot", time: nil,
                fact: .creditsGranted(
                    Grant(owner: .org("acme"), credits: Money(nanos: 10_000_000), category: .paid, expiresAt: end)))
        ])
        let order = AuthorizationOrder(
            request: AuthorizationRequest(
                id: "a", org: "acme", provider: "p", model: "m", credits: Money(nanos: 1_000_000)),
            holds: true, ttlSeconds: 600, key: "test")
        let answer = try await withCheckedThrowingContinuation { continuation in
            do { try rig.writer.authorize(order) { continuation.resume(with: $0) } } catch {
                continuation.resume(throwing: error)
            }
        }
        guard case .decided(let decision, _, let position?, _) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(decision.refusal == nil && position == 6)
        let released = try await withCheckedThrowingContinuation { continuation in
            do { try rig.writer.release(key, by: nil) { continuation.resume(with: $0) } } catch {
                continuation.resume(throwing: error)
            }
        }
        guard case .released(position: 7, _) = released else {
            Issue.record("\(released)")
            return
        }
        rig.time.withLock { $0 += 61_000_000 }
        #expect(eventually { rig.log.highWater == 8 })
        let records = try rig.records()
        #expect(records.suffix(3).map(\.space) == [.daemon, .daemon, .daemon])
        guard case .creditsExpired? = records.last?.event.fact else {
            Issue.record("\(records)")
            return
        }
        // Each that was met is told once; what was not met is not known of.
        #expect(rig.writer.statistics.foreign == [1, 2, 4])
    }

    @Test func `the daemon's own events of an old log are known again`() throws {
        let delivered = Event(
            source: "tallystick", id: "delivery/b/failed/x", time: nil,
            fact: .lagoBatchFailed(LagoDelivery(batch: "b", detail: "no")))
        let rig = try plant([delivered], door: .daemon)
        var submission = Submission(door: .daemon, key: "k")
        submission.add(delivered)
        #expect(try rig.submit(submission).get().verdicts[0].summary == "duplicate 1")
        #expect(rig.writer.statistics.foreign.isEmpty)
    }

    @Test func `an event of the daemon's own that is not taken is named until it is, and ends nothing`() throws {
        let rig = try Rig()
        rig.writer.stop()
        let writer = rig.writer
        let early = Event(
            source: Admission.source, id: "expired/x", time: Timestamp(microseconds: Rig.noon),
            fact: .creditsExpired(LotExpired(lot: "lot", credits: Money(nanos: 1))))
        writer.appendOwn([early])
        writer.appendOwn([early])
        #expect(writer.statistics.ownRefused == ["credits.expired": "lot_unknown"])
        #expect(rig.log.highWater == 0)
        let window = Event(
            source: Admission.source, id: "window/1", time: nil,
            fact: .lagoWindowClosed(LagoWindowClosed(windowSeconds: 3600, through: .earliest)))
        writer.appendOwn([window])
        #expect(writer.statistics.ownRefused == ["credits.expired": "lot_unknown"])
        // One that is there already is no success either.
        writer.appendOwn([window])
        #expect(writer.statistics.ownRefused["lago.window.closed"] == "taken")
        writer.note(.stored(position: 1, hash: .zero), on: early)
        #expect(writer.statistics.ownRefused == ["lago.window.closed": "taken"])
    }

    private func eventually(_ holds: () -> Bool) -> Bool {
        for _ in 0..<500 {
            if holds() { return true }
            usleep(10_000)
        }
        return false
    }
}
