import Billing
import Testing

@Suite struct MoneyTests {
    @Test func `decimals are parsed from the digits as written`() {
        let rows: [(text: String, expected: String?)] = [
            ("0", "0"), ("-0", "0"), ("0.0", "0"), ("1", "1"), ("-1", "-1"), ("10", "10"), ("1.50", "1.5"),
            ("1.35e-05", "0.0000135"), ("1.35E-5", "0.0000135"), ("1e3", "1000"), ("1E+3", "1000"),
            ("0e999999999", "0"),
            ("1e-999999999", "0"), ("0.1", "0.1"), ("123456789.123456789", "123456789.123456789"),
            ("999999999999999999", "999999999999999999"), ("1000000000000000000", nil), ("1e18", nil),
            ("1e17", "100000000000000000"),
            ("1e999999999", nil), ("0.000000000000000000001e20", "0.1"),
            // 12 decimals, then half to even.
            ("0.0000000000005", "0"), ("0.00000000000051", "0.000000000001"), ("0.0000000000015", "0.000000000002"),
            ("0.0000000000025", "0.000000000002"), ("0.9999999999995", "1"), ("-0.0000000000015", "-0.000000000002"),
            ("0.00000000000050000000000000000000000000001", "0.000000000001"),
            ("", nil), ("-", nil), ("+1", nil), ("01", nil), (".5", nil), ("1.", nil), ("1e", nil), ("1e+", nil),
            (" 1", nil), ("1 ", nil), ("0x1", nil), ("NaN", nil), ("Infinity", nil), ("1,5", nil), ("--1", nil),
            ("-01", nil),
        ]
        for row in rows {
            let decimal = try? Decimal(parsing: row.text.utf8)
            #expect(decimal?.text == row.expected, "\(row.text)")
        }
    }

    @Test func `why a text is no amount`() {
        #expect(throws: Decimal.ParseError.notANumber) { try Decimal(parsing: "1.".utf8) }
        #expect(throws: Decimal.ParseError.tooLarge) { try Decimal(parsing: "1e18".utf8) }
    }

    @Test func `rescaling rounds half to even around every half`() {
        for mantissa in Int64(-3_000)...3_000 {
            let decimal = Decimal(mantissa: mantissa, scale: 2)
            // By hand: twice the value, compared with odd and even neighbours.
            var expected = mantissa / 100
            let rest = abs(mantissa % 100)
            if rest > 50 || (rest == 50 && expected % 2 != 0) { expected += mantissa < 0 ? -1 : 1 }
            #expect(decimal.rescaled(to: 0) == expected, "\(mantissa)")
        }
        #expect(Decimal(mantissa: .max, scale: 0).rescaled(to: 1) == nil)
        #expect(Decimal(mantissa: .max, scale: 18).rescaled(to: 18) == .max)
    }

    @Test func `amounts are written plain`() {
        let rows: [(nanos: Int64, credits: String, dollars: String)] = [
            (0, "0", "0"), (9_998_500_000, "9998.5", "9.9985"), (-9_000, "-0.009", "-0.000009"),
            (1, "0.000001", "0.000000001"),
            (13_500, "0.0135", "0.0000135"), (1_000_000, "1", "0.001"),
            (.max, "9223372036854.775807", "9223372036.854775807"),
            (.min, "-9223372036854.775808", "-9223372036.854775808"),
        ]
        for row in rows {
            #expect(Money(nanos: row.nanos).credits == row.credits)
            #expect(Money(nanos: row.nanos).dollars == row.dollars)
        }
    }

    @Test func `amounts come in rounded half to even to a nano-dollar`() {
        let rows: [(credits: String, nanos: Int64?)] = [
            ("1.5", 1_500_000), ("0.0000005", 0), ("0.0000015", 2), ("-0.0000025", -2), ("9223372036854.775807", .max),
            ("10000000000000", nil), ("99999999999999999", nil),
        ]
        for row in rows { #expect(Money(credits: Script.decimal(row.credits))?.nanos == row.nanos, "\(row.credits)") }
        #expect(Money(dollars: Script.decimal("0.0000135"))?.nanos == 13_500)
    }

    @Test func `sums that do not fit are told apart`() {
        #expect(Money(nanos: .max).adding(Money(nanos: 1)) == nil)
        #expect(Money(nanos: .min).adding(Money(nanos: -1)) == nil)
        #expect(Money(nanos: .max).adding(Money(nanos: -1)) == Money(nanos: .max - 1))
    }

    @Test func `names are bytes`() {
        let empty = ""
        #expect(Name(empty) == nil)
        #expect(Name(String(repeating: "a", count: 256)) != nil)
        #expect(Name(String(repeating: "a", count: 257)) == nil)
        #expect(Name(String(repeating: "é", count: 129)) == nil)
        for control in ["a\u{0}", "\n", "\u{7F}", "\u{80}", "\u{9F}", "a\r\nb", "\u{1F}"] {
            #expect(Name(control) == nil)
        }
        for fine in [" ", "é", "e\u{301}", "\u{A0}", "日本", "~", "\u{2028}"] { #expect(Name(fine) != nil) }
        #expect(Name(bytes: [0xC3]) == nil)
        #expect(Name(bytes: [0xED, 0xA0, 0x80]) == nil)
        let (composed, decomposed) = (Script.name("\u{E9}"), Script.name("e\u{301}"))
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed, composed]).count == 2)
        #expect(decomposed < composed)
        #expect(Script.name("a") < Script.name("aa"))
        #expect(Script.name("Z") < Script.name("a"))
    }
}
