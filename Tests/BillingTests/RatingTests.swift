import Testing

@testable import Billing

@Suite struct RatingTests {
    @Test func `the worked examples hold to the digit`() {
        Script.run(
            """
            plan professional markup=0.6
            assign org:acme professional
            prices rule any=0.015 mult power_level eco=0.1 balanced=0.25 precision=1
            grant g org:acme 10000 => grant org:acme 10000 = 10000 [g -10000]
            call org=acme in=1000 out=500 attr.power_level=balanced \
            => charge 0.009; org:acme -0.009 = 9999.991 [g 0.009]
            call org=acme in=1000 out=500 attr.power_level=balanced byok => charge 0 notional 0.009
            balance org:acme => 9999.991
            """)
        Script.run(
            """
            prices rule call=1.5
            grant g org:acme 10000
            call org=acme => charge 1.5; org:acme -1.5 = 9998.5 [g 1.5]
            """)
    }

    @Test func `a rule that prices usage asks for one count at least, also beside a price per call`() {
        Script.run(
            """
            prices rule in=2 call=1
            call org=acme => charge 0 noUsage
            call org=acme searches=1 => charge 0 noUsage
            call org=acme in=0 => charge 1; org:acme -1 = -1 [] over 1
            call org=acme out=1000 => charge 1; org:acme -1 = -2 [] over 1
            prices rule in=0 call=1
            call org=acme => charge 1; org:acme -1 = -3 [] over 1
            """)
    }

    @Test func `each kind of token has its price or that of its total`() {
        let rows: [(prices: String, call: String, charge: String)] = [
            ("rule any=1", "in=1000 out=500 cr=100 re=50", "1.5"),
            ("rule in=1 out=2", "in=1000 out=500", "2"),
            ("rule in=1 out=2", "in=1000 out=500 cr=400 cw=100 re=500", "2"),
            ("rule in=1 out=2 cr=0.1", "in=1000 cr=400", "0.64"),
            ("rule in=1 out=2 cw=1.25", "in=1000 cw=400", "1.1"),
            ("rule in=1 out=2 cr=0.1 cw=1.25", "in=1000 cr=1000", "0.1"),
            ("rule in=1 out=2 re=3", "out=1000 re=250", "2.25"),
            ("rule out=2", "in=1000 out=500", "1"),
            ("rule in=1", "in=1000 out=500", "1"),
            ("rule cr=1", "in=1000 cr=500", "0.5"),
            ("rule any=1 per=1000000", "in=1000000 out=1", "1.000001"),
            ("rule any=1 call=5", "in=1000", "6"),
            ("rule image=2", "images=3", "6"),
            ("rule second=0.01", "seconds=12.5", "0.125"),
            ("rule search=4", "searches=2 in=1000", "8"),
            ("rule any=1 image=2 second=3 search=4 call=5", "in=1000 images=1 seconds=1 searches=1", "15"),
            ("unit=usd rule any=0.001", "in=1000", "1"),
            ("unit=usd rule in=2.5 out=10 per=1000000", "in=1000 out=100", "3.5"),
            ("rule cost=1.2", "cost=0.0000135", "0.0162"),
            ("unit=usd rule cost=1", "cost=0.5", "500"),
            ("rule any=1 mult power_level eco=0.1", "in=1000 attr.power_level=eco", "0.1"),
            ("rule any=1 mult power_level eco=0.1", "in=1000 attr.power_level=turbo", "1"),
            ("rule any=1 mult power_level eco=0.1", "in=1000", "1"),
            ("rule any=1 mult a x=0.5 mult b y=3", "in=1000 attr.a=x attr.b=y", "1.5"),
            ("rule any=1 mult client.level eco=0.1", "in=1000 attr.client.level=eco", "1"),
            ("rule any=0", "in=1000", "0"),
            ("rule above=200 any=2 rule any=1", "in=200", "0.2"),
            ("rule above=200 any=2 rule any=1", "in=201", "0.402"),
            ("rule above=200 any=2 rule any=1", "in=201 cr=200", "0.402"),
            ("rule above=200 any=2 rule any=1", "in=200 out=1000", "1.2"),
            ("rule above=200 any=2 rule any=1", "out=1000", "1"),
            ("rule above=0 any=2 rule any=1", "in=0 out=1000", "1"),
            ("rule above=300 any=3 rule above=200 any=2 rule any=1", "in=1000", "3"),
            ("rule above=200 call=1 rule image=1", "images=2", "2"),
        ]
        for row in rows {
            Script.run(
                """
                prices \(row.prices)
                call user=ann \(row.call) => \(row.charge == "0" ? "charge 0" : charged(row.charge))
                """)
        }
        func charged(_ charge: String) -> String {
            "charge \(charge); user:ann -\(charge) = -\(charge) [] over \(charge)"
        }
    }

    @Test func `what is not charged says why, and what it would have been`() {
        let rows: [(prices: String, call: String, verdict: String)] = [
            ("rule any=1", "in=1000 byok", "charge 0 notional 1"),
            ("rule any=1 call=1", "failure", "charge 0"),
            ("rule call=1", "failure", "charge 0 notional 1"),
            ("rule any=1", "in=0 out=0 failure", "charge 0"),
            ("rule any=1", "in=1000 hit", "charge 0 notional 1"),
            ("rule any=1", "in=1000 hit byok", "charge 0 notional 1"),
            ("rule model=other any=1", "in=1000", "charge 0 noRule"),
            ("rule model=other any=1", "in=1000 byok", "charge 0"),
            ("rule model=other any=1", "failure", "charge 0"),
            ("rule cost=1", "in=1000", "charge 0 noCost"),
            ("rule any=1", "", "charge 0 noUsage"),
            ("rule any=1", "aborted", "charge 0 noUsage"),
            ("rule any=1", "images=1", "charge 0 noUsage"),
            ("rule image=1", "in=1", "charge 0 noUsage"),
            ("rule any=0", "", "charge 0"),
            ("rule any=1", "in=0", "charge 0"),
            ("from=11-02 rule any=1", "in=1000", "charge 0 noList"),
        ]
        for row in rows {
            Script.run("prices \(row.prices)\ncall user=ann \(row.call) => \(row.verdict)")
        }
        Script.run("call user=ann in=1000 => charge 0 noList\ncall user=ann in=1000 byok => charge 0")
        Script.run(
            """
            prices cache_hit=0.1 rule any=1
            call user=ann in=1000 hit => charge 0.1 notional 1; user:ann -0.1 = -0.1 [] over 0.1
            call user=ann in=1000 failure => charge 1; user:ann -1 = -1.1 [] over 1
            call user=ann in=1000 aborted => charge 1; user:ann -1 = -2.1 [] over 1
            """)
    }

    @Test func `usage apart from a call takes no price per call`() {
        Script.run(
            """
            prices rule any=1 call=5
            usage user=ann in=1000 => charge 1; user:ann -1 = -1 [] over 1
            call user=ann in=1000 => charge 6; user:ann -6 = -7 [] over 6
            """)
    }

    @Test func `the first rule that matches wins, and stars stand for any bytes`() {
        let prices = """
            prices rule provider=groq any=1 rule model=gpt-4o*mini any=2 rule model=gpt-4o any=3 \
            rule model=*embed* op=embedding any=4 rule model=gpt* any=5 rule provider=openai op=image any=6
            """
        let rows: [(call: String, charge: String?)] = [
            ("provider=groq model=gpt-4o", "1"), ("model=gpt-4o-mini", "2"), ("model=gpt-4omini", "2"),
            ("model=gpt-4o", "3"), ("model=x-embed-1 op=embedding", "4"), ("model=embed op=embedding", "4"),
            ("model=x-embed-1", nil), ("model=gpt-5", "5"), ("model=gpt", "5"), ("model=gp", nil),
            ("model=dall-e op=image", "6"), ("model=dall-e op=image provider=azure", nil), ("model=GPT-4o", nil),
        ]
        // Twice each: found, and remembered.
        for row in rows + rows {
            let expected =
                row.charge.map { "charge \($0); user:ann -\($0) = -\($0) [] over \($0)" } ?? "charge 0 noRule"
            Script.run("\(prices)\ncall user=ann in=1000 \(row.call) => \(expected)")
        }
        var book = Script.run(prices).book
        for row in rows + rows {
            let options = Dictionary(
                uniqueKeysWithValues: row.call.split(separator: " ").map { word in
                    let parts = word.split(separator: "=").map(String.init)
                    return (parts[0], parts[1])
                })
            var call = Script.call(options, [])
            call.user = Script.name("ann")
            call.usage = Usage(inputTokens: 1000)
            let event = Event(source: call.model, id: call.model, time: nil, fact: .call(call))
            let outcome = book.apply(event, position: 9, at: Script.instant("11-01"))
            #expect(outcome.rating?.charge.credits == row.charge ?? "0", "\(row.call)")
        }
    }

    @Test func `wildcards match as a slow definition says`() {
        let letters: [Character] = ["a", "b", "*"]
        func texts(_ length: Int, _ letters: [Character]) -> [String] {
            length == 0 ? [""] : texts(length - 1, letters).flatMap { text in letters.map { text + String($0) } }
        }
        func slow(_ pattern: Substring, _ text: Substring) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == "*" {
                return slow(pattern.dropFirst(), text) || (!text.isEmpty && slow(pattern, text.dropFirst()))
            }
            return text.first == first && slow(pattern.dropFirst(), text.dropFirst())
        }
        for pattern in (0...4).flatMap({ texts($0, letters) }) {
            for text in (0...4).flatMap({ texts($0, ["a", "b"]) }) {
                let found = Array(text.utf8).withUnsafeBufferPointer { Wildcard.matches(Array(pattern.utf8), $0) }
                #expect(found == slow(pattern[...], text[...]), "\(pattern) on \(text)")
            }
        }
    }

    @Test func `a call is judged by the prices and plans in force at its own time`() {
        Script.run(
            """
            @11-10 prices from=11-05 rule call=1
            @11-10 prices from=11-08 rule call=2
            @11-10 call user=a => charge 2; user:a -2 = -2 [] over 2
            @11-07 call user=b => charge 1; user:b -1 = -1 [] over 1
            @11-04 call user=c => charge 0 noList
            @11-11 prices from=11-08 rule call=3
            @11-10 call user=d => charge 3; user:d -3 = -3 [] over 3
            @11-12 prices from=11-20 rule call=4
            @11-19 call user=e => charge 3; user:e -3 = -3 [] over 3
            @11-20 call user=f => charge 4; user:f -4 = -4 [] over 4
            @11-12 prices from=11-06 rule call=5
            @11-07 call user=g => charge 5; user:g -5 = -5 [] over 5
            @11-09 call user=h => charge 3; user:h -3 = -3 [] over 3
            """)
        Script.run(
            """
            prices rule call=1
            @11-10 plan pro markup=0.5
            @11-12 plan pro markup=1
            @11-10 assign org:acme pro from=11-05
            @11-04 call org=acme => charge 1; org:acme -1 = -1 [] over 1
            @11-05 call org=acme => charge 1.5; org:acme -1.5 = -2.5 [] over 1.5
            @11-11 call org=acme => charge 1.5; org:acme -1.5 = -4 [] over 1.5
            @11-12 call org=acme => charge 2; org:acme -2 = -6 [] over 2
            @11-12 plan own markup=3
            @11-12 assign user:ann own from=11-06
            @11-07 call org=acme user=ann => charge 4; org:acme -4 = -10 [] over 4
            @11-05 call org=acme user=ann => charge 1.5; org:acme -1.5 = -11.5 [] over 1.5
            @11-07 call user=ann => charge 4; user:ann -4 = -4 [] over 4
            @11-07 call user=bob => charge 1; user:bob -1 = -1 [] over 1
            """)
    }

    @Test func `a subscription is its holder's at that time, of several the newest assignment's`() {
        let script = Script.run(
            """
            plan p
            @11-01 assign org:acme p lago=sub-1
            assign user:ann p lago=sub-2
            @11-10 assign org:acme p
            @11-10 assign org:other p lago=sub-1
            """)
        func owner(_ subscription: String, at day: String) -> Owner? {
            script.book.catalog.owner(ofSubscription: Script.name(subscription), at: Script.instant(day))
        }
        #expect(owner("sub-1", at: "11-09") == .org(Script.name("acme")))
        #expect(owner("sub-1", at: "11-10") == .org(Script.name("other")))
        // Before anybody had it, whose it is first.
        #expect(owner("sub-1", at: "10-01") == .org(Script.name("acme")))
        #expect(owner("sub-2", at: "11-10") == .user(Script.name("ann")))
        #expect(owner("sub-3", at: "11-10") == nil)
    }

    @Test func `a subscription that is free stays with whose it was last, until the next one's time comes`() {
        let script = Script.run(
            """
            plan p
            @11-01 assign org:acme p lago=sub-1
            @11-10 assign org:acme p
            @11-10 assign org:other p lago=sub-1 from=11-20
            """)
        for (day, owner) in [("11-09", "acme"), ("11-15", "acme"), ("11-20", "other")] {
            #expect(
                script.book.catalog.owner(ofSubscription: Script.name("sub-1"), at: Script.instant(day))
                    == .org(Script.name(owner)))
        }
    }

    @Test func `an explanation shows the product before the rounding`() throws {
        let script = Script.run(
            "plan pro markup=0.6\nassign org:acme pro\nprices rule any=0.000001 mult power_level eco=0.1")
        let call = Script.call(["org": "acme", "in": "1", "attr.power_level": "eco"], [])
        let explained = try script.book.catalog.explain(call, at: script.time)
        #expect(explained.trace?.product == "0.00000000016")
        #expect(explained.rating.charge == .zero && explained.fault == nil)
    }
}
