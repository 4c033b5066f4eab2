import Billing
import EventLog
import Platform
import Records
import Testing

@testable import Engine

struct AuthorizationTests {
    private static func grant(_ credits: Int64, to org: Name) -> Event {
        Event(
            source: "admin", id: "lot", time: nil,
            fact: .creditsGranted(
                Grant(
                    owner: .org(org), credits: Money(nanos: credits * Money.nanosPerCredit), category: .paid)))
    }

    private static func order(
        _ id: Name, credits: Int64?, org: Name = "acme", model: Name = "gpt-4o", tokens: Int64? = nil,
        holds: Bool = true, ttl: Int64 = 600
    ) -> AuthorizationOrder {
        AuthorizationOrder(
            request: AuthorizationRequest(
                id: id, org: org, provider: "openai", model: model, inputTokens: tokens,
                credits: credits.map { Money(nanos: $0 * Money.nanosPerCredit) }),
            holds: holds, ttlSeconds: ttl, key: "test")
    }

    /// "granted 5", "denied credits_exhausted 3", "conflict 2", "rejected code".
    private static func ask(_ rig: Rig, _ order: AuthorizationOrder) async -> String {
        let result = await withCheckedContinuation { continuation in
            do throws(SubmitError) {
                try rig.writer.authorize(order) { continuation.resume(returning: $0) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        switch result {
        case .failure(let error): return "\(error)"
        case .success(.conflict(let position)): return "conflict \(position)"
        case .success(.ended(let position)): return "ended \(position)"
        case .success(.rejected(let rejection)): return "rejected \(rejection.code)"
        case .success(.decided(let decision, _, let position, _)):
            let at = position.map { " \($0)" } ?? ""
            return decision.refusal.map { "denied \($0.rule.name)\(at)" } ?? "granted\(at)"
        }
    }

    private static func release(_ rig: Rig, _ id: Name, org: Name = "acme") async -> String {
        guard let key = HoldKey(org: org, user: nil, id: id) else { return "nobody" }
        let result = await withCheckedContinuation { continuation in
            do throws(SubmitError) {
                try rig.writer.release(key, by: nil) { continuation.resume(returning: $0) }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        switch result {
        case .failure(let error): return "\(error)"
        case .success(.unknown): return "unknown"
        case .success(.refused): return "refused"
        case .success(.released(let position, _)): return "released \(position)"
        }
    }

    @Test func `grant and denial are events, and the same id gets the same answer, over restarts`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 7)) == "granted 2")
        #expect(
            await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 7))
                == "denied credits_exhausted 3")
        for _ in 0..<2 {
            #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 7)) == "granted 2")
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 7))
                    == "denied credits_exhausted 3")
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("c", credits: 3, holds: false))
                    == "granted")
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("c", credits: 4, holds: false))
                    == "denied credits_exhausted")
            try rig.restart()
        }
        #expect(rig.log.highWater == 3)
    }

    @Test func `the same id for another question is a conflict, whatever was decided`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        let list = PriceList(unit: .credits, rules: [PriceRule(anyToken: Decimal(mantissa: 1, scale: 0))])
        _ = try rig.post([Event(source: "admin", id: "prices", time: nil, fact: .pricesPublished(list))])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 4)) == "granted 3")
        #expect(
            await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 7))
                == "denied credits_exhausted 4")
        #expect(
            await AuthorizationTests.ask(rig, AuthorizationTests.order("t", credits: nil, tokens: 2000)) == "granted 5")
        for _ in 0..<2 {
            // More credits, another model, another time to live, more tokens.
            #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 5)) == "conflict 3")
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 4, model: "m")) == "conflict 3"
            )
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 4, ttl: 601)) == "conflict 3")
            #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 1)) == "conflict 4")
            #expect(
                await AuthorizationTests.ask(rig, AuthorizationTests.order("t", credits: nil, tokens: 2001))
                    == "conflict 5")
            // The same in other words comes to the same.
            #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("t", credits: 2)) == "granted 5")
            try rig.restart()
        }
        #expect(rig.log.highWater == 5)
    }

    @Test func `an id whose hold has ended holds nothing, and says so`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10)) == "granted 2")
        #expect(await AuthorizationTests.release(rig, "a") == "released 3")
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10)) == "ended 2")
        try rig.restart()
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10)) == "ended 2")
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 9)) == "conflict 2")
        #expect(rig.log.highWater == 3)
    }

    @Test func `a release frees what was held, once`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10)) == "granted 2")
        #expect(await AuthorizationTests.release(rig, "a") == "released 3")
        #expect(await AuthorizationTests.release(rig, "a") == "released 3")
        #expect(await AuthorizationTests.release(rig, "other") == "unknown")
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 10)) == "granted 4")
    }

    @Test func `a hold expires at its time, as an event`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10, ttl: 60)) == "granted 2")
        rig.time.withLock { $0 += 60_000_000 }
        #expect(rig.log.waitForAppend(after: 2, milliseconds: 60_000) == 3)
        let last = try rig.records()[2].event
        #expect(last.fact.type == "authorization.expired")
        #expect(last.time == Timestamp(microseconds: Rig.noon + 60_000_000))
        #expect(await AuthorizationTests.release(rig, "a") == "unknown")
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 10)) == "granted 4")
    }

    @Test func `a call that names its authorization settles it`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(10, to: "acme")])
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("a", credits: 10)) == "granted 2")
        var event = call("call")
        guard case .call(var settling) = event.fact else { return }
        settling.authorization = "a"
        event.fact = .call(settling)
        #expect(try rig.post([event]).map(\.summary) == ["stored 3"])
        // No price list: it was charged 0, and all of the hold is free again.
        #expect(await AuthorizationTests.ask(rig, AuthorizationTests.order("b", credits: 10)) == "granted 4")
    }

    @Test func `a thousand at once for the last credits never get more than there is`() async throws {
        let rig = try Rig()
        _ = try rig.post([AuthorizationTests.grant(100, to: "acme")])
        let answers = await withTaskGroup(of: String.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    await AuthorizationTests.ask(
                        rig, AuthorizationTests.order(Name(checked: "n\(number)"), credits: 3))
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.count { $0.hasPrefix("granted") } == 33)
        #expect(answers.count { $0.hasPrefix("denied credits_exhausted") } == 967)
        #expect(rig.log.highWater == 1001)
    }
}
