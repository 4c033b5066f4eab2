import Billing
import Testing

/// Whether a call may run: every verdict, with the numbers seen (contract 5).
@Suite struct AuthorizationTests {
    @Test func `call 10,000 of 10,000 is allowed and 10,001 is not, running ones counted`() {
        Script.run(
            """
            plan p calls=3/month overage=block
            assign org:acme p from=11-01
            @11-02 call org=acme
            call org=acme failure
            call org=acme byok
            usage org=acme in=5
            hold h1 org=acme => holds 0 of 0 org:acme 2+0/3
            ask h2 org=acme => calls_exhausted org:acme 2+1 of 3 per month until 2026-12-01T00:00:00Z
            @12-01 ask h2 org=acme => holds 0 of 0 org:acme 0+1/3
            @11-02 release h1 org:acme
            ask h2 org=acme => holds 0 of 0 org:acme 2+0/3
            call org=acme id=c
            ask h2 org=acme => calls_exhausted org:acme 3+0 of 3 per month until 2026-12-01T00:00:00Z
            callvoid c
            ask h2 org=acme => holds 0 of 0 org:acme 2+0/3
            """)
    }

    @Test func `limits of the org's plan and of the user's must both have room`() {
        Script.run(
            """
            plan o calls=4/day,100/month
            plan u calls=2/ever
            assign org:acme o
            assign user:ann u
            call org=acme user=ann
            ask a org=acme user=ann => holds 0 of 0 org:acme 1+0/4 org:acme 1+0/100 user:ann 1+0/2
            call org=beta user=ann
            ask a org=acme user=ann => calls_exhausted user:ann 2+0 of 2 per ever
            ask a org=acme user=bob => holds 0 of 0 org:acme 1+0/4 org:acme 1+0/100
            call org=acme
            call org=acme
            call org=acme
            ask a org=acme user=bob => calls_exhausted org:acme 4+0 of 4 per day until 2026-11-02T00:00:00Z
            @11-02 ask a org=acme user=bob => holds 0 of 0 org:acme 0+0/4 org:acme 4+0/100
            """)
    }

    @Test func `a refusal says when time alone makes room, and heeds the limit that lasts longest`() throws {
        var script = Script.run(
            """
            plan p calls=1/month/soft,2/day,2/month,100/ever overage=block
            plan q calls=1/ever,1/day overage=block
            assign org:acme p
            assign org:beta q
            alloc acme ann cap 3 week
            alloc acme bob cap 3 never
            """)
        func ask(_ org: String, _ user: String?, _ credits: String) throws -> AuthorizationDecision {
            let request = AuthorizationRequest(
                id: Script.name("a"), org: Script.name(org), user: user.map(Script.name), provider: Script.name("p"),
                model: Script.name("m"), credits: Script.money(credits))
            return try script.book.authorize(request, at: script.time)
        }
        // Nothing used: the hard limit with the fewest left, not the soft one before it.
        #expect(try ask("acme", nil, "0").tightest?.status.limit == Plan.CallLimit(limit: 2, per: .day, enforce: .hard))
        #expect(try ask("acme", nil, "0").retryAt == nil)
        // No credits: nobody knows when there will be some. An allocation starts afresh, if that is enough.
        #expect(try ask("acme", nil, "1").retryAt == nil)
        #expect(try ask("acme", "ann", "4").retryAt == nil)
        #expect(script.perform("grant g org:acme 10") == "grant org:acme 10 = 10 [g -10]")
        _ = script.perform("prices rule call=2")
        _ = script.perform("call org=acme user=ann")
        _ = script.perform("call org=acme user=bob id=b")
        let full = try ask("acme", "ann", "2")
        #expect(full.refusal?.calls?.per == .day)
        #expect(full.tightest?.status.limit.per == .month)
        #expect(full.retryAt == Script.instant("12-01T00:00"))
        _ = script.perform("callvoid b")
        let short = try ask("acme", "ann", "2")
        #expect(short.refusal?.rule == .allocation)
        #expect(short.retryAt == Script.instant("11-02T00:00"))
        #expect(try ask("acme", "ann", "3.5").retryAt == nil)
        #expect(try ask("acme", "bob", "3.5").retryAt == nil)
        // A limit that never starts afresh.
        _ = script.perform("call org=beta")
        #expect(try ask("beta", nil, "0").refusal?.rule == .calls)
        #expect(try ask("beta", nil, "0").retryAt == nil)
        #expect(try ask("beta", nil, "0").tightest?.status.limit.per == .ever)
    }

    @Test func `soft limits refuse nothing, byok counts where the plan says so, anchors start the month`() {
        Script.run(
            """
            plan soft calls=1/ever/soft
            plan free calls=1/month byok=free
            assign org:acme soft
            call org=acme
            ask a org=acme => holds 0 of 0 org:acme 1+0/1
            assign org:beta free anchor=15
            @11-14 call org=beta byok
            ask a org=beta => holds 0 of 0 org:beta 0+0/1
            ask a org=beta byok => holds 0 of 0
            call org=beta
            ask a org=beta byok => holds 0 of 0
            ask a org=beta => calls_exhausted org:beta 1+0 of 1 per month until 2026-11-15T00:00:00Z
            @11-15 ask a org=beta => holds 0 of 0 org:beta 0+0/1
            """)
    }

    @Test func `a plan change in mid-month counts what was used before it`() {
        Script.run(
            """
            plan a calls=2/month
            plan b calls=3/month
            assign org:acme a from=11-01
            @11-05 call org=acme
            call org=acme
            ask x org=acme => calls_exhausted org:acme 2+0 of 2 per month until 2026-12-01T00:00:00Z
            assign org:acme b from=11-10
            ask x org=acme => calls_exhausted org:acme 2+0 of 2 per month until 2026-12-01T00:00:00Z
            @11-10 ask x org=acme => holds 0 of 0 org:acme 2+0/3
            """)
    }

    @Test func `credits are held once, and only what is there`() {
        Script.run(
            """
            prices rule in=1 out=3
            plan p markup=0.5 overage=block
            assign org:acme p from=11-01
            grant g org:acme 10
            ask a org=acme in=1000 out=1000 => holds 6 of 10
            hold a org=acme in=1000 out=1000 => holds 6 of 10
            held org:acme => 6
            available org:acme => 4
            balance org:acme => 10
            hold b org=acme credits=4.000001 => credits_exhausted org:acme 4.000001 of 4
            hold a org=acme credits=1 => rejects authorization_exists data.id
            hold b org=acme credits=4 => holds 4 of 4
            ask c org=acme credits=0.000001 => credits_exhausted org:acme 0.000001 of 0
            ask c org=acme credits=0 => holds 0 of 0
            ask c org=acme byok in=1000000 => holds 0 of 0
            ask c org=acme in=1000 byok credits=5 => holds 0 of 0
            ask c => rejects owner_missing org
            release b org:acme
            release b org:acme => rejects unknown_authorization data.id
            available org:acme => 4
            """)
    }

    @Test func `a call settles its hold with less, equal or more, and a late one is taken`() {
        Script.run(
            """
            prices rule call=5
            plan p overage=block
            assign org:acme p
            grant g org:acme 30
            hold less org=acme credits=8
            hold equal org=acme credits=5
            hold more org=acme credits=2
            hold gone org=acme credits=1 ttl=60
            hold out org=acme credits=1
            held org:acme => 17
            call org=acme auth=less => charge 5; org:acme -5 = 25 [g 5]; covered 8
            call org=acme auth=equal => charge 5; org:acme -5 = 20 [g 5]; covered 5
            call org=acme auth=more => charge 5; org:acme -5 = 15 [g 5]; exceeded 2
            held org:acme => 2
            expirehold gone org:acme => rejects authorization_running data.id
            @11-01T12:01 holds => gone 1
            expirehold gone org:acme
            call org=acme auth=gone => charge 5; org:acme -5 = 10 [g 5]; late 0
            call org=acme auth=less => charge 5; org:acme -5 = 5 [g 5]; late 0
            call org=acme auth=never => charge 5; org:acme -5 = 0 [g 5]; late 0
            call org=beta auth=out => charge 5; org:beta -5 = -5 [] over 5; late 0
            held org:acme => 1
            call org=acme failure auth=out => charge 0 notional 5; covered 1
            held org:acme => 0
            """)
    }

    @Test func `an allocation limits what is held for its user`() {
        Script.run(
            """
            plan p overage=allow
            assign org:acme p
            grant g org:acme 100
            alloc acme ann cap 10 day
            hold a org=acme user=ann credits=7 => holds 7 of 10
            hold b org=acme user=ann credits=4 => allocation_exhausted org:acme 4 of 3
            hold b org=acme user=bob credits=4 => holds 4 of 93
            available acme ann => 3
            prices rule call=6
            call org=acme user=ann auth=a => charge 6; org:acme -6 = 94 [g 6]; covered 7
            ask c org=acme user=ann credits=4.5 => allocation_exhausted org:acme 4.5 of 4
            @11-02 ask c org=acme user=ann credits=10 => holds 10 of 10
            @11-01 alloc acme ann cap 0 never
            ask c org=acme user=ann credits=1 => allocation_exhausted org:acme 1 of 0
            ask c org=acme user=ann byok credits=1 => holds 0 of 0
            """)
    }

    @Test func `a carve-out is kept for its user, what is held of it is not kept twice`() {
        Script.run(
            """
            plan p overage=block
            assign org:acme p
            grant g org:acme 100
            alloc acme ann carve_out 60 month
            ask b org=acme user=bob credits=41 => credits_exhausted org:acme 41 of 40
            hold a org=acme user=ann credits=50 => holds 50 of 100
            available acme ann => 50
            ask b org=acme user=bob credits=40 => holds 40 of 40
            ask b org=acme credits=41 => credits_exhausted org:acme 41 of 40
            hold b org=acme user=bob credits=40 => holds 40 of 40
            ask c org=acme user=ann credits=10 => holds 10 of 10
            ask c org=acme user=ann credits=11 => credits_exhausted org:acme 11 of 10
            ask c org=acme user=bob credits=1 => credits_exhausted org:acme 1 of 0
            release a org:acme
            ask c org=acme user=bob credits=1 => credits_exhausted org:acme 1 of 0
            ask c org=acme user=ann credits=60 => holds 60 of 60
            """)
    }

    @Test func `who would pay is asked: pool, wallet or both`() {
        Script.run(
            """
            plan p overage=block
            assign org:acme p funding=org_then_user
            assign org:beta p funding=user
            grant g org:acme 10
            grant w user:ann 5
            hold a org=acme user=ann credits=12 => holds 12 of 15
            held org:acme => 10
            held user:ann => 2
            ask b org=acme user=ann credits=4 => credits_exhausted org:acme 4 of 3
            ask b org=beta user=ann credits=3 => holds 3 of 3
            ask b org=beta user=ann credits=4 => credits_exhausted user:ann 4 of 3
            ask b org=beta credits=1 => credits_exhausted org:beta 1 of 0
            hold b user=ann credits=4 => credits_exhausted user:ann 4 of 3
            assign user:ann p
            hold b user=ann credits=3 => holds 3 of 3
            held user:ann => 5
            alloc acme ann cap 0 never
            release a org:acme
            held user:ann => 3
            ask c org=acme user=ann credits=1 => allocation_exhausted org:acme 1 of 0
            """)
    }

    @Test func `an overage policy says how far below zero a hold may reach`() {
        Script.run(
            """
            prices rule call=8
            plan block overage=block
            plan some overage=allow limit=10
            plan all overage=allow
            plan inv overage=invoice limit=10
            grant g org:acme 5
            ask a org=acme credits=6 => credits_exhausted org:acme 6 of 5
            assign org:acme some
            ask a org=acme credits=15 => holds 15 of 15
            ask a org=acme credits=15.1 => credits_exhausted org:acme 15.1 of 15
            call org=acme => charge 8; org:acme -8 = -3 [g 5] over 3
            hold a org=acme credits=4 => holds 4 of 7
            ask b org=acme credits=3.1 => credits_exhausted org:acme 3.1 of 3
            balance org:acme => -3
            alloc acme ann cap 2 never
            ask b org=acme user=ann credits=2 => holds 2 of 2
            ask b org=acme user=ann credits=3 => allocation_exhausted org:acme 3 of 2
            assign org:acme all
            ask b org=acme credits=1000 => holds 1000 of 0
            assign org:acme inv lago=s
            ask b org=acme credits=1000 => holds 1000 of 0
            assign org:acme inv
            ask b org=acme credits=3.1 => credits_exhausted org:acme 3.1 of 3
            assign org:acme block
            ask b org=acme credits=0.5 => credits_exhausted org:acme 0.5 of 0
            """)
    }

    @Test func `what a policy adds stays within the user's allocation`() {
        Script.run(
            """
            plan some overage=allow limit=10
            assign org:acme some
            grant g org:acme 5
            alloc acme ann cap 8 never
            ask a org=acme user=ann credits=8 => holds 8 of 8
            ask a org=acme user=ann credits=8.1 => allocation_exhausted org:acme 8.1 of 8
            ask a org=acme user=bob credits=15 => holds 15 of 15
            """)
    }

    @Test func `lots that take no part now are not to be held`() {
        Script.run(
            """
            grant now org:acme 1
            grant later org:acme 10 from=11-05
            grant over org:acme 100 from=10-01 until=11-02
            @11-02 ask a org=acme credits=1 => holds 1 of 1
            @11-05 ask a org=acme credits=11 => holds 11 of 11
            @11-01 ask a org=acme credits=101 => holds 101 of 101
            """)
    }

    @Test func `what holds is restored with the ledger`() {
        var script = Script.run(
            """
            grant g org:acme 100
            alloc acme ann carve_out 60 month
            hold a org=acme user=ann credits=50 ttl=60
            hold b org=acme credits=7 ttl=30
            """)
        let state = script.book.ledger.state
        let restored = Ledger(restoring: state, tracksChanges: true)
        #expect(restored.state == state)
        #expect(restored.fault == nil)
        #expect(restored.nextHoldEnding == Script.instant("11-01T12:00:30"))
        script.book.ledger = restored
        #expect(script.perform("available acme ann") == "43")
        #expect(script.perform("@11-01T12:01 holds") == "b 7, a 50")
        #expect(script.perform("call org=acme user=ann auth=a") == "charge 0 noList; covered 50")
        #expect(script.perform("held org:acme") == "7")
        #expect(script.book.ledger.takeChanges().endedHolds.map(\.id.text) == ["a"])
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `a thousand requests for the last credits never hold more than there is`(seed: UInt64) {
        var random = Seeded(seed)
        var script = Script.run(
            """
            plan p overage=block
            assign org:acme p
            grant g org:acme 100
            alloc acme u1 cap 9 never
            alloc acme u2 carve_out 20 never
            alloc acme u3 cap 0 never
            prices rule any=1
            """)
        var running: [(id: String, user: String)] = []
        for number in 0..<1000 {
            let user = ["user=u1", "user=u2", "user=u3", "user=u4", ""].randomElement(using: &random) ?? ""
            let credits = Int.random(in: 1...40, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where !running.isEmpty:
                let place = Int.random(in: 0..<running.count, using: &random)
                _ = script.perform("release \(running.remove(at: place).id) org:acme")
            case 1 where number > 500 && !running.isEmpty:
                let place = Int.random(in: 0..<running.count, using: &random)
                // Costs less than the smallest hold.
                let hold = running.remove(at: place)
                _ = script.perform("call org=acme \(hold.user) in=900 auth=\(hold.id)")
            default:
                let verdict = script.perform("hold h\(number) org=acme \(user) credits=\(credits)")
                if verdict.hasPrefix("holds") { running.append(("h\(number)", user)) }
            }
            let ledger = script.book.ledger
            guard let pool = ledger.account(.org(Script.name("acme"))) else { preconditionFailure() }
            #expect(pool.held <= pool.left - pool.overage)
            var heldByUser: [String: Money] = [:]
            for hold in ledger.state.holds { heldByUser[hold.user?.text ?? "", default: .zero] += hold.first }
            #expect(heldByUser["u1"] ?? .zero <= Script.money("9"))
            #expect(heldByUser["u3"] ?? .zero == .zero)
            // What u2 has carved out and did not draw is left to him.
            let status = ledger.summary(of: .org(Script.name("acme")), at: script.time)?.allocations
                .first { $0.allocation.user.text == "u2" }
            let others = heldByUser.filter { $0.key != "u2" }.values.reduce(Money.zero, +)
            let kept = min(status?.remaining ?? .zero, Script.money("20"))
            #expect(others <= max(.zero, pool.left - pool.overage - kept))
        }
        #expect(!running.isEmpty)
    }
}
