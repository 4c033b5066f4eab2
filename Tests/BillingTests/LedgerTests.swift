import Billing
import Testing

@Suite struct LedgerTests {
    @Test func `who pays, in order`() {
        Script.run(
            """
            prices rule call=10
            plan both
            plan own
            plan inv overage=invoice
            assign org:acme both funding=org_then_user
            grant pool org:acme 15
            grant purse user:ann 12
            call org=acme user=ann => charge 10; org:acme -10 = 5 [pool 10]
            call org=acme user=ann => charge 10; org:acme -5 = 0 [pool 5]; user:ann -5 = 7 [purse 5]
            call org=acme user=ann => charge 10; org:acme -3 = -3 [] over 3; user:ann -7 = 0 [purse 7]
            call org=acme user=bob => charge 10; org:acme -10 = -13 [] over 10
            call org=acme => charge 10; org:acme -10 = -23 [] over 10
            assign org:acme own funding=user
            grant purse2 user:ann 25
            call org=acme user=ann => charge 10; user:ann -10 = 15 [purse2 10]
            call org=acme => charge 10; org:acme -10 = -33 [] over 10
            assign org:acme inv funding=org lago=s
            call org=acme user=ann => charge 10; org:acme -10 = -33 [] over 10 invoiced 10
            assign org:acme inv funding=org
            call org=acme user=ann => charge 10; org:acme -10 = -43 [] over 10
            call user=ann => charge 10; user:ann -10 = 5 [purse2 10]
            call user=ann => charge 10; user:ann -10 = -5 [purse2 5] over 5
            """)
    }

    @Test func `lots burn by priority, end, category, effective time and id, whatever the order of arrival`() {
        let inOrder = [
            "a priority=0", "b until=11-20 priority=50", "c priority=50 category=promo", "d until=11-20",
            "e until=11-21 category=promo", "f category=promo", "g category=plan", "h category=refund",
            "i from=10-01", "j from=10-02", "k from=10-02",
        ]
        var random = Seeded(1)
        for _ in 0..<40 {
            var rows = ["prices rule call=11"]
            for lot in inOrder.shuffled(using: &random) {
                let words = lot.split(separator: " ", maxSplits: 1).map(String.init)
                rows.append("grant \(words[0]) org:acme 1 \(words.count > 1 ? words[1] : "")")
            }
            let slices = inOrder.map { "\($0.first ?? "?") 1" }.joined(separator: ", ")
            rows.append("@11-02 call org=acme => charge 11; org:acme -11 = 0 [\(slices)]")
            Script.run(rows.joined(separator: "\n"))
        }
    }

    @Test func `a lot takes part from its effective time up to its end`() {
        Script.run(
            """
            prices rule call=1
            @11-01 grant g org:acme 100 from=11-05 until=11-06
            @11-04T12:00 call org=acme => charge 1; org:acme -1 = 99 [] over 1
            @11-05T11:59:59.999999 call org=acme => charge 1; org:acme -1 = 98 [] over 1
            available org:acme => 0
            @11-05T12:00 call org=acme => charge 1; org:acme -1 = 97 [g 1]
            available org:acme => 97
            @11-06T11:59:59.999999 call org=acme => charge 1; org:acme -1 = 96 [g 1]
            ending =>
            @11-06T12:00 call org=acme => charge 1; org:acme -1 = 95 [] over 1
            ending => g 98
            available org:acme => 0
            @11-05T13:00 call org=acme => charge 1; org:acme -1 = 94 [g 1]
            expire g 97 => rejects lot_not_ended data.lot
            @11-06T12:00 expire g 98 => rejects expiry_mismatch data.credits
            expire g 97 => expiry org:acme -97 = -3 [g 97]
            expire g 97 => rejects lot_not_ended data.lot
            @11-05T13:00 call org=acme => charge 1; org:acme -1 = -4 [] over 1
            balance org:acme => -4
            """)
    }

    @Test func `ends are found in order, and only where something is left`() {
        Script.run(
            """
            prices rule call=5
            grant b org:acme 5 until=11-03
            grant a org:acme 6 until=11-03
            grant c user:ann 7 until=11-02
            grant d user:ann 7
            ending =>
            @11-03 ending => c 7, a 6, b 5
            @11-02T11:00 call org=acme => charge 5; org:acme -5 = 6 [a 5]
            call user=ann => charge 5; user:ann -5 = 9 [c 5]
            call org=acme => charge 5; org:acme -5 = 1 [a 1, b 4]
            @11-03 ending => c 2, b 1
            void b => void org:acme -1 = 0 [b 1]
            ending => c 2
            """)
    }

    @Test func `a cap is a ceiling in its period, by the event's own time`() {
        Script.run(
            """
            prices rule call=4
            grant g org:acme 1000
            alloc acme ann cap 10 day
            @11-01 call org=acme user=ann => charge 4; org:acme -4 = 996 [g 4]
            call org=acme user=ann => charge 4; org:acme -4 = 992 [g 4]
            available acme ann => 2
            call org=acme user=ann => charge 4; org:acme -4 = 988 [g 2] over 2
            available acme ann => 0
            available acme bob => 988
            @11-02 call org=acme user=ann => charge 4; org:acme -4 = 984 [g 4]
            @11-01 call org=acme user=ann => charge 4; org:acme -4 = 980 [] over 4
            drawn acme ann => 10 left 0 until 2026-11-02T00:00:00Z
            @11-02 drawn acme ann => 4 left 6 until 2026-11-03T00:00:00Z
            call org=acme user=bob => charge 4; org:acme -4 = 976 [g 4]
            call org=acme => charge 4; org:acme -4 = 972 [g 4]
            alloc acme ann cap 20 month
            drawn acme ann => 14 left 6 until 2026-12-01T00:00:00Z
            @11-28 call org=acme user=ann => charge 4; org:acme -4 = 968 [g 4]
            call org=acme user=ann => charge 4; org:acme -4 = 964 [g 2] over 2
            @12-01 call org=acme user=ann => charge 4; org:acme -4 = 960 [g 4]
            @11-01 alloc acme ann cap 25 never
            drawn acme ann => 24 left 1 until -
            @12-09 call org=acme user=ann => charge 4; org:acme -4 = 956 [g 1] over 3
            alloc acme ann cap 12 week
            drawn acme ann => 1 left 11 until 2026-12-14T00:00:00Z
            alloc acme ann cap 0 never
            @12-30 call org=acme user=ann => charge 4; org:acme -4 = 952 [] over 4
            """)
    }

    @Test func `a carve-out is reserved for its user and then the pool is open to him`() {
        Script.run(
            """
            prices rule call=10
            grant g org:acme 100
            alloc acme ann carve_out 60 month
            available org:acme => 40
            available acme ann => 100
            available acme bob => 40
            call org=acme user=bob => charge 10; org:acme -10 = 90 [g 10]
            call org=acme user=bob => charge 10; org:acme -10 = 80 [g 10]
            call org=acme => charge 10; org:acme -10 = 70 [g 10]
            call org=acme => charge 10; org:acme -10 = 60 [g 10]
            call org=acme => charge 10; org:acme -10 = 50 [] over 10
            available org:acme => 0
            call org=acme user=ann => charge 10; org:acme -10 = 40 [g 10]
            call org=acme => charge 10; org:acme -10 = 30 [] over 10
            drawn acme ann => 10 left 50 until 2026-12-01T00:00:00Z
            alloc acme ann carve_out 25 month
            drawn acme ann => 10 left 15 until 2026-12-01T00:00:00Z
            alloc acme cat carve_out 20 never
            call org=acme user=ann => charge 10; org:acme -10 = 20 [g 10]
            call org=acme user=ann => charge 10; org:acme -10 = 10 [g 10]
            call org=acme user=ann => charge 10; org:acme -10 = 0 [g 10]
            call org=acme user=cat => charge 10; org:acme -10 = -10 [g 10]
            alloc acme cat carve_out 0 never
            call org=acme user=cat => charge 10; org:acme -10 = -20 [] over 10
            call org=acme => charge 10; org:acme -10 = -30 [g 10]
            """)
    }

    @Test func `a carve-out starts afresh in each period, and late calls count in theirs`() {
        Script.run(
            """
            prices rule call=10
            grant g org:acme 100 from=10-01
            alloc acme ann carve_out 30 day
            @11-02 call org=acme user=ann => charge 10; org:acme -10 = 90 [g 10]
            @11-01 available org:acme => 60
            @11-02 available org:acme => 70
            @11-03 available org:acme => 60
            @11-02 call org=acme => charge 10; org:acme -10 = 80 [g 10]
            @11-01 call org=acme user=ann => charge 10; org:acme -10 = 70 [g 10]
            @11-01 call org=acme => charge 10; org:acme -10 = 60 [g 10]
            @11-02 call org=acme user=ann => charge 10; org:acme -10 = 50 [g 10]
            @11-03 call org=acme user=bob => charge 10; org:acme -10 = 40 [g 10]
            @11-03 call org=acme user=bob => charge 10; org:acme -10 = 30 [g 10]
            @11-03 call org=acme user=bob => charge 10; org:acme -10 = 20 [] over 10
            @11-02 call org=acme user=bob => charge 10; org:acme -10 = 10 [g 10]
            @11-02 call org=acme user=bob => charge 10; org:acme -10 = 0 [g 10]
            @11-02 call org=acme user=bob => charge 10; org:acme -10 = -10 [] over 10
            @11-02 call org=acme user=ann => charge 10; org:acme -10 = -20 [g 10]
            """)
    }

    @Test func `a blocked user still has his own wallet where the plan lets him`() {
        Script.run(
            """
            prices rule call=10
            plan both
            assign org:acme both funding=org_then_user
            grant g org:acme 100
            grant w user:ann 15
            alloc acme ann cap 0 never
            call org=acme user=ann => charge 10; user:ann -10 = 5 [w 10]
            call org=acme user=ann => charge 10; org:acme -5 = 95 [] over 5; user:ann -5 = 0 [w 5]
            """)
    }

    @Test func `corrections by hand add a lot or burn lots`() {
        Script.run(
            """
            grant g org:acme 10
            adjust more org:acme 5 => adjustment org:acme 5 = 15 [more -5]
            adjust less org:acme -12 => adjustment org:acme -12 = 3 [more 5, g 7]
            adjust much org:acme -4.5 => adjustment org:acme -4.5 = -1.5 [g 3] over 1.5
            adjust more org:acme 5 => rejects lot_exists id
            adjust first user:ann -1 => adjustment user:ann -1 = -1 [] over 1
            grant late user:ann 3 => grant user:ann 3 = 2 [late -3]
            available user:ann => 2
            """)
    }

    @Test func `every refusal names its member and changes nothing`() {
        let largest = "9223372036854.775807"
        Script.run(
            """
            assign org:acme nothing => rejects unknown_plan data.plan
            void nothing => rejects lot_unknown data.lot
            expire nothing 1 => rejects lot_unknown data.lot
            grant g org:acme 1 => grant org:acme 1 = 1 [g -1]
            grant g org:acme 1 => rejects lot_exists id
            grant g user:ann 2 => rejects lot_exists id
            grant z org:acme 0 => rejects invalid data.credits
            grant n org:acme -1 => rejects invalid data.credits
            grant s org:acme 1 from=11-05 until=11-05 => rejects invalid data.expires_at
            grant s org:acme 1 until=11-01 => rejects invalid data.expires_at
            expire g 1 => rejects lot_not_ended data.lot
            void g => void org:acme -1 = 0 [g 1]
            void g => rejects lot_empty data.lot
            grant big user:ann \(largest)
            grant over user:ann 0.000001 => rejects amount_out_of_range data.credits
            adjust up user:ann 0.000001 => rejects amount_out_of_range data.credits
            adjust d1 user:bob -\(largest)
            adjust d2 user:bob -0.000001 => rejects amount_out_of_range data.credits
            alloc acme ann cap -1 day => rejects invalid data.credits
            plan free markup=-1
            plan gift markup=-1.000001 => rejects invalid data.markup
            plan dear markup=1000
            plan more markup=1000.000001 => rejects invalid data.markup
            plan fine markup=0.0000001 => rejects invalid data.markup
            prices rule any=1 rule per=500 any=1 => rejects invalid data.rules[1].per
            prices rule any=1 cr=-0.1 => rejects invalid data.rules[0]
            prices rule any=1 mult a x=1 mult b x=1 y=-1 => rejects invalid data.multipliers[1]
            prices cache_hit=-1 rule any=1 => rejects invalid data.cache_hit
            callvoid nothing => rejects unknown_call data.id
            amend nothing user=ann => rejects unknown_call data.id
            call => rejects owner_missing data.org
            close 11-01 =>
            prices rule any=900000 call=900000
            call user=bob in=1 => rejects amount_out_of_range data.usage
            call user=cat in=1000000000000 => rejects amount_out_of_range data.usage
            """)
        Script.run(
            """
            prices rule cost=1 model=a rule call=900000
            call user=ann model=a cost=-1 => rejects amount_out_of_range data.cost_usd
            call user=ann model=a cost=9223372036.854775807 \
            => charge \(largest); user:ann -\(largest) = -\(largest) [] over \(largest)
            call user=ann model=a cost=0.000000001 => rejects amount_out_of_range data.usage
            call user=ann model=a byok cost=0.000000001 => charge 0 notional 0.000001
            call user=bob model=a cost=10000000000 => rejects amount_out_of_range data.usage
            """)
    }
}
