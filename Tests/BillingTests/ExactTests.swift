import Testing

@testable import Billing

/// Decimal digits by hand: slow, and nothing in common with the code under test.
private struct Digits {
    /// Lowest first.
    var digits: [Int]

    init(_ value: Int64) {
        digits = String(value).utf8.reversed().map { Int($0) - 48 }
    }

    mutating func multiply(by other: Digits) {
        var product = Array(repeating: 0, count: digits.count + other.digits.count)
        for (i, a) in digits.enumerated() {
            for (j, b) in other.digits.enumerated() { product[i + j] += a * b }
        }
        for i in product.indices.dropLast() {
            product[i + 1] += product[i] / 10
            product[i] %= 10
        }
        digits = product
    }

    /// Divided by 10^`dropped` and rounded half to even, as text.
    func rounded(dropping dropped: Int) -> String {
        var kept = Array(digits.dropFirst(dropped))
        if kept.isEmpty { kept = [0] }
        let cut = Array(digits.prefix(dropped)) + Array(repeating: 0, count: max(0, dropped - digits.count))
        if let first = cut.last {
            let rest = cut.dropLast().contains { $0 != 0 }
            if first > 5 || (first == 5 && (rest || kept[0] % 2 == 1)) {
                var i = 0
                kept.append(0)
                while kept[i] == 9 {
                    kept[i] = 0
                    i += 1
                }
                kept[i] += 1
            }
        }
        while kept.count > 1 && kept.last == 0 { kept.removeLast() }
        return kept.reversed().map(String.init).joined()
    }
}

/// SplitMix64: the same numbers on every machine.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@Suite struct ExactTests {
    @Test func `every value around a half is rounded to even, in small and in wide numbers`() {
        for value in Int64(0)...2_000 {
            for dropped in 0...4 {
                let expected = {
                    var d = Digits(value)
                    d.multiply(by: Digits(1))
                    return d.rounded(dropping: dropped)
                }()
                let small = Exact(UInt64(value), scale: dropped)
                #expect(small.rounded(digits: 0).map(String.init) == expected, "\(value)e-\(dropped)")
                // The same value with 60 more decimals is wide.
                var wide = small
                for _ in 0..<60 { wide.multiply(by: 10) }
                wide.shift(right: 60)
                #expect(wide.rounded(digits: 0).map(String.init) == expected, "\(value)e-\(dropped) wide")
            }
        }
    }

    @Test func `products of many decimals agree with arithmetic by hand`() {
        var random = Seeded(7)
        for _ in 0..<3_000 {
            let count = Int.random(in: 1...10, using: &random)
            var exact = Exact(1, scale: 0)
            var slow = Digits(1)
            var scale = 0
            for _ in 0..<count {
                let width = Int64(pow(Int.random(in: 0...18, using: &random)))
                let decimal = Decimal(
                    mantissa: Int64.random(in: 0...width, using: &random), scale: Int.random(in: 0...12, using: &random)
                )
                exact.multiply(by: decimal)
                slow.multiply(by: Digits(decimal.mantissa))
                scale += decimal.scale
            }
            for digits in [0, 6, 9] where digits <= scale {
                let expected = slow.rounded(dropping: scale - digits)
                #expect(exact.rounded(digits: digits) == Int64(expected))
            }
            let text = exact.text(digits: 0).split(separator: ".").first.map(String.init)
            let whole = Array(slow.digits.dropFirst(scale).reversed().drop { $0 == 0 }).map(String.init).joined()
            #expect(text == (whole.isEmpty ? "0" : whole))
        }
        func pow(_ exponent: Int) -> Int { (0..<exponent).reduce(1) { value, _ in value * 10 } }
    }

    @Test func `sums align their decimals, across the border of 128 bits too`() {
        var sum = Exact(5, scale: 1)
        sum.add(Exact(25, scale: 2))
        #expect(sum.text(digits: 0) == "0.75")
        var wide = Exact(UInt64.max, scale: 0)
        wide.multiply(by: UInt64.max)
        wide.multiply(by: UInt64.max)
        wide.add(Exact(1, scale: 3))
        // (2^64 - 1)^3 + 0.001
        #expect(wide.text(digits: 0) == "6277101735386680762814942322444851025767571854389858533375.001")
        var carried = Exact(UInt64.max, scale: 0)
        carried.multiply(by: UInt64.max)
        for _ in 0..<4 { carried.add(carried) }
        #expect(carried.text(digits: 0) == "5444517870735015414823697908549585731600")
        #expect(carried.rounded(digits: 0) == nil)
    }

    @Test func `the largest that fits is given, and one more is nil`() {
        #expect(Exact(UInt64(Int64.max), scale: 0).rounded(digits: 0) == .max)
        #expect(Exact(UInt64(Int64.max) + 1, scale: 0).rounded(digits: 0) == nil)
        var half = Exact(UInt64(Int64.max), scale: 0)
        half.multiply(by: 10)
        half.add(Exact(4, scale: 0))
        half.shift(right: 1)
        #expect(half.rounded(digits: 0) == .max)
        half.add(Exact(1, scale: 1))
        #expect(half.rounded(digits: 0) == nil)
    }

    @Test func `eight multipliers of twelve decimals on the largest counts do not round early`() {
        let list = PriceList(
            unit: .credits,
            rules: [PriceRule(anyToken: Script.decimal("999999.999999999999"))],
            multipliers: (0..<8).map {
                PriceList.Multiplier(
                    attribute: Script.name("a\($0)"),
                    values: [
                        .init(value: "x", factor: Script.decimal($0 < 4 ? "999999.999999999999" : "0.000001000001"))
                    ])
            })
        var book = Book()
        let time = Script.instant("11-01")
        book.apply(
            Event(source: Script.name("s"), id: Script.name("p"), time: time, fact: .pricesPublished(list)),
            position: 1,
            at: time)
        var call = Script.call(["user": "ann", "in": "3"], [])
        call.attributes = (0..<8).map { Attribute(name: Script.name("a\($0)"), value: "x") }
        let rating = try? book.catalog.rate(call, at: time)
        // 3/1000 x (10^6 - 10^-12)^5 x (10^-6 + 10^-12)^4 credits, computed with integers of any size elsewhere.
        #expect(rating?.charge.nanos == 3_000_012_000)
        #expect(rating?.multipliers.count == 8)
        call.usage = Usage(inputTokens: Usage.countMax)
        #expect(throws: Rejection.self) { try book.catalog.rate(call, at: time) }
        do { _ = try book.catalog.rate(call, at: time) } catch {
            #expect(error.code == "amount_out_of_range")
            #expect(error.field == "data.usage")
        }
    }
}
