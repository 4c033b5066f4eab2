import Billing
import TestEvents
import Testing

@Suite struct MoneySumTests {
    @Test func `a sum is written as an amount is, however large`() {
        for nanos in [0, 1, -1, 1_000_000, -9000, 123_456_789, Int64.max, -Int64.max] {
            let (sum, amount) = (MoneySum(nanos: Int128(nanos)), Money(nanos: nanos))
            #expect(sum.credits == amount.credits && sum.dollars == amount.dollars)
        }
        let most = MoneySum(Money(nanos: .max))
        #expect((most + most).credits == "18446744073709.551614")
        #expect((-(most + most)).dollars == "-18446744073.709551614")
        #expect(MoneySum(nanos: 27 * 1_000_000_000_000_000_000).dollars == "27000000000")
        #expect(MoneySum(nanos: -30 * 1_000_000_000_000_000_000).credits == "-30000000000000")
        #expect(MoneySum(nanos: 1 << 64).dollars == "18446744073.709551616")
        #expect(Decimal.text(Int128.max, scale: 0) == String(Int128.max))
        #expect(Decimal.text(Int128(1) << 65, scale: 18) == "36.893488147419103232")
    }

    @Test func `every decimal has a sum, rounded as an amount is`() throws {
        for (text, digits, expected) in [
            ("9000000000", 9, "9000000000000000000"), ("999999999999999999", 9, "999999999999999999000000000"),
            ("0.0000000015", 9, "2"), ("0.0000000025", 9, "2"), ("-1.5", 0, "-2"), ("12.5", 6, "12500000"),
            ("999999999999999999", 18, "999999999999999999000000000000000000"),
        ] {
            #expect(String(try Decimal(parsing: text.utf8).sum(of: digits)) == expected, "\(text)")
        }
    }

    @Test func `a cost of over a million dollars is refused by the member that states it, and folds all the same`() {
        func call(_ cost: String) -> Call {
            Call(
                org: "o", provider: "p", model: "m", operation: .chat, status: .success,
                cost: try? Decimal(parsing: cost.utf8))
        }
        for (cost, isRefused) in [
            ("1000000", false), ("1000000.000000000001", true), ("0", false), ("9000000000", true),
            ("999999999999999999", true),
        ] {
            for (fact, field) in [
                (Fact.call(call(cost)), "data.cost_usd"), (.usage(call(cost)), "data.cost_usd"),
                (.callAmended(CallAmended(source: "s", id: "i", reason: "r", call: call(cost))), "data.call.cost_usd"),
            ] {
                let refusal = fact.costRefusal
                #expect((refusal != nil) == isRefused, "\(cost)")
                if let refusal { #expect(refusal.code == "cost_out_of_range" && refusal.field == field) }
            }
            var book = Book()
            let event = Event(source: "s", id: "i", time: nil, fact: .call(call(cost)))
            #expect(throws: Never.self) { try book.take(event, position: 1, at: Timestamp(microseconds: 0)) }
        }
        #expect(call("1").cost != nil && Fact.callVoided(CallVoided(source: "s", id: "i", reason: "r")).costRefusal == nil)
    }

    /// What adjustments give and take leaves no trace in what was granted, so nothing else bounds what is voided.
    @Test func `what was voided stays an amount`() throws {
        var book = Book()
        let half = Money(nanos: 1 << 62)
        let time = Timestamp(microseconds: 0)
        var position: UInt64 = 0
        func take(_ fact: Fact) throws {
            position += 1
            let event = Event(source: "s", id: Name(checked: "e\(position)"), time: nil, fact: fact)
            _ = try book.take(event, position: position, at: time)
        }
        func adjust(_ credits: Money) throws {
            try take(.creditsAdjusted(Adjustment(owner: .org("o"), credits: credits, reason: "r")))
        }
        try adjust(half)
        try take(.creditsVoided(LotVoided(lot: "e1", reason: "r")))
        try adjust(-half)
        try adjust(half)
        let error = #expect(throws: Rejection.self) { try take(.creditsVoided(LotVoided(lot: "e4", reason: "r"))) }
        #expect(error?.code == "amount_out_of_range" && error?.field == "data.lot")
        #expect(book.ledger.fault == nil)
    }
}
