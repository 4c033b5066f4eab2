@testable import Billing
import Testing

/// Voids and amendments of calls: what goes back where (Schemas/RULES.md).
@Suite struct CorrectionTests {
    @Test func `a void goes back along the slices in reverse order, overage first`() {
        Script.run(
            """
            prices rule call=10
            plan both
            assign org:acme both funding=org_then_user
            grant a org:acme 4
            grant b org:acme 3 priority=200
            grant w user:ann 2
            call id=c1 org=acme user=ann \
            => charge 10; org:acme -8 = -1 [a 4, b 3] over 1; user:ann -2 = 0 [w 2]
            callvoid c1 => refund user:ann 2 = 2 [w -2]; refund org:acme 8 = 7 [b -3, a -4] over -1
            callvoid c1 => rejects already_voided data.id
            amend c1 org=acme => rejects already_voided data.id
            available org:acme => 7
            call org=acme => charge 10; org:acme -10 = -3 [a 4, b 3] over 3
            """)
    }

    @Test func `a void of nothing is an error by name, and so is one of what is no call`() {
        Script.run(
            """
            grant g org:acme 4
            callvoid nothing => rejects unknown_call data.id
            callvoid g => rejects unknown_call data.id
            amend nothing org=acme => rejects unknown_call data.id
            call id=free org=acme => charge 0 noList
            callvoid free =>
            callvoid free => rejects already_voided data.id
            usage id=u org=acme in=1
            callvoid u =>
            """)
    }

    @Test func `several amendments each replace the last, and a void unwinds the one that stands`() {
        Script.run(
            """
            prices rule any=1
            grant g org:acme 100
            grant h org:beta 100
            call id=c org=acme in=10000 => charge 10; org:acme -10 = 90 [g 10]
            amend c org=acme in=25000 => charge 25; refund org:acme 10 = 100 [g -10]; org:acme -25 = 75 [g 25]
            amend c org=beta in=5000 => charge 5; refund org:acme 25 = 100 [g -25]; org:beta -5 = 95 [h 5]
            amend c org=beta in=0 => charge 0; refund org:beta 5 = 100 [h -5]
            amend c org=acme user=ann in=1000 => charge 1; org:acme -1 = 99 [g 1]
            callvoid c => refund org:acme 1 = 100 [g -1]
            amend c org=acme in=1 => rejects already_voided data.id
            """)
    }

    @Test func `an amendment is rated at the call's own time, by what is published by then`() {
        Script.run(
            """
            grant g org:acme 100
            @11-03 call id=c org=acme in=1000 => charge 0 noList
            @11-10 prices from=11-01 rule any=2
            prices from=11-05 rule any=7
            @11-11 amend c org=acme in=1000 => charge 2; org:acme -2 = 98 [g 2]
            plan m markup=0.5
            assign org:acme m from=11-02
            amend c org=acme in=1000 => charge 3; refund org:acme 2 = 100 [g -2]; org:acme -3 = 97 [g 3]
            """)
    }

    @Test func `an amendment of usage takes no price per call`() {
        Script.run(
            """
            prices rule call=5 any=1
            usage id=u org=acme in=1000 => charge 1; org:acme -1 = -1 [] over 1
            amend u org=acme in=2000 => charge 2; refund org:acme 1 = 0 [] over -1; org:acme -2 = -2 [] over 2
            """)
    }

    @Test func `a refund into a lot that has ended expires at once`() {
        Script.run(
            """
            prices rule call=10
            @11-01 grant g org:acme 30 until=11-05
            @11-02 call id=c1 org=acme => charge 10; org:acme -10 = 20 [g 10]
            call id=c2 org=acme => charge 10; org:acme -10 = 10 [g 10]
            call id=c3 org=acme => charge 10; org:acme -10 = 0 [g 10]
            @11-04 callvoid c1 => refund org:acme 10 = 10 [g -10]
            available org:acme => 10
            @11-05 callvoid c2 => refund org:acme 10 = 20 [g -10]; expiry org:acme -10 = 10 [g 10]
            ending => g 10
            expire g 10 => expiry org:acme -10 = 0 [g 10]
            @11-03 callvoid c3 => refund org:acme 10 = 10 [g -10]; expiry org:acme -10 = 0 [g 10]
            @11-09 ending =>
            available org:acme => 0
            """)
    }

    @Test func `a refund into a lot that was used up before its end waits for that end`() {
        Script.run(
            """
            prices rule call=10
            @11-01 grant g org:acme 10 until=11-05
            @11-02 call id=c org=acme => charge 10; org:acme -10 = 0 [g 10]
            @11-09 ending =>
            @11-04 callvoid c => refund org:acme 10 = 10 [g -10]
            @11-09 ending => g 10
            expire g 10 => expiry org:acme -10 = 0 [g 10]
            """)
    }

    @Test func `a refund into a voided lot is void at once`() {
        Script.run(
            """
            prices rule call=10
            grant g org:acme 30 until=11-05
            call id=c org=acme => charge 10; org:acme -10 = 20 [g 10]
            void g => void org:acme -20 = 0 [g 20]
            callvoid c => refund org:acme 10 = 10 [g -10]; void org:acme -10 = 0 [g 10]
            @11-09 ending =>
            """)
    }

    @Test func `an amendment that changes no amount changes no lot, ended or not`() {
        Script.run(
            """
            prices rule any=1
            @11-01 grant g org:acme 30 until=11-05
            grant later org:acme 100
            @11-02 call id=c org=acme in=20000 => charge 20; org:acme -20 = 110 [g 20]
            @11-06 expire g 10 => expiry org:acme -10 = 100 [g 10]
            amend c org=acme in=20000 => charge 20; refund org:acme 20 = 120 [g -20]; org:acme -20 = 100 [g 20]
            amend c org=acme in=15000 \
            => charge 15; refund org:acme 20 = 120 [g -20]; org:acme -15 = 105 [g 15]; expiry org:acme -5 = 100 [g 5]
            amend c org=acme in=20000 \
            => charge 20; refund org:acme 15 = 115 [g -15]; org:acme -20 = 95 [g 15, later 5]
            """)
    }

    @Test func `what an allocation counted is given back on the call's own day`() {
        Script.run(
            """
            prices rule call=4
            grant g org:acme 1000
            call id=before org=acme user=ann
            alloc acme ann cap 10 day
            @11-01 call id=c1 org=acme user=ann
            call id=c2 org=acme user=ann
            @11-02 call id=c3 org=acme user=ann
            callvoid c1 => refund org:acme 4 = 988 [g -4]
            @11-01 drawn acme ann => 4 left 6 until 2026-11-02T00:00:00Z
            @11-02 drawn acme ann => 4 left 6 until 2026-11-03T00:00:00Z
            callvoid before => refund org:acme 4 = 992 [g -4]
            @11-01 drawn acme ann => 4 left 6 until 2026-11-02T00:00:00Z
            alloc acme ann carve_out 100 never
            available org:acme => 900
            callvoid c3 => refund org:acme 4 = 996 [g -4]
            available org:acme => 900
            drawn acme ann => 4 left 96 until -
            """)
    }

    @Test func `what was invoiced is not due any more`() {
        let script = Script.run(
            """
            prices rule call=4
            plan inv overage=invoice
            assign org:acme inv lago=s
            grant g org:acme 1
            call id=c org=acme => charge 4; org:acme -4 = 0 [g 1] over 3 invoiced 3
            callvoid c => refund org:acme 4 = 1 [g -1] over -3 invoiced -3
            """)
        let account = script.book.ledger.account(.org(Script.name("acme")))
        #expect(account?.invoiced == .zero && account?.spent == .zero && account?.overage == .zero)
    }

    @Test func `a refusal of an amendment names the member of its call and changes nothing`() {
        Script.run(
            """
            prices rule cost=1
            call id=c org=acme cost=1
            amend c cost=1 => rejects owner_missing data.call.org
            amend c org=acme cost=-1 => rejects amount_out_of_range data.call.cost_usd
            balance org:acme => -1000
            """)
    }

    @Test func `a correction that does not fit the ledger is refused`() throws {
        var script = Script.run("prices rule call=4\ngrant g org:acme 10\ncall id=c org=acme")
        let standing = StandingCall(
            original: 3, position: 3, occurredAt: script.time, isCall: true, org: Script.name("acme"), user: nil,
            isCounted: true,
            charge: ChargeRecord(
                parts: [
                    ChargeRecord.Part(
                        owner: .org(Script.name("acme")),
                        slices: [Slice(lot: Script.name("g"), amount: Script.money("4"))])
                ]))
        func refusal(_ change: (inout StandingCall) -> Void) -> String {
            var changed = standing
            change(&changed)
            let fact = CallVoided(
                source: Script.name("test"), id: Script.name("c"), reason: "r", unwinds: changed)
            let event = Event(
                source: Script.name("test"), id: Script.name("v"), time: script.time, fact: .callVoided(fact))
            do {
                _ = try script.book.take(event, position: 9, at: script.time)
                return "taken"
            } catch { return error.code }
        }
        #expect(refusal { $0.charge.parts[0].slices[0].amount = Script.money("5") } == "correction_mismatch")
        #expect(refusal { $0.charge.parts[0].slices[0].lot = Script.name("h") } == "correction_mismatch")
        #expect(refusal { $0.charge.parts[0].owner = .org(Script.name("other")) } == "correction_mismatch")
        #expect(refusal { $0.charge.drawn = Script.money("1") } == "correction_mismatch")
        #expect(refusal { _ in } == "taken")
        #expect(refusal { _ in } == "correction_mismatch")
    }
}

@Suite struct ConservationTests {
    @Test func `a credit that is not accounted for is found, with its lot or account named`() {
        let whole = Script.run("grant g org:acme 10\ngrant h user:ann 5\nprices rule call=3\ncall org=acme").book.ledger
        #expect(whole.fault == nil)
        let rows: [(named: String, change: (inout Ledger) -> Void)] = [
            ("lot h", { $0.lots[1].lot.left += Money(nanos: 1) }),
            ("lot g", { $0.lots[0].lot.spent -= Money(nanos: 1) }),
            ("lot g", { $0.lots[0].lot.left = -$0.lots[0].lot.left }),
            ("account of acme: granted 10.000001 + ", { $0.accounts[0].sums.granted += Money(nanos: 1) }),
            (
                "account of acme: its lots",
                {
                    $0.accounts[0].sums.left += Money(nanos: 1)
                    $0.accounts[0].sums.granted += Money(nanos: 1)
                }
            ),
        ]
        for row in rows {
            var ledger = whole
            row.change(&ledger)
            #expect(ledger.fault?.hasPrefix(row.named) == true, "\(ledger.fault ?? "no fault")")
        }
    }
}
