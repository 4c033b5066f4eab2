import Billing
import Testing

@testable import API

@Suite struct TokenBucketTests {
    static let second: UInt64 = 1_000_000_000

    @Test func `a burst is taken at once, then the rate holds to the nanosecond`() {
        var bucket = TokenBucket(perSecond: 3, burst: 5, now: 7)
        for remaining in (0..<5).reversed() { #expect(bucket.take(now: 7) == .taken(remaining: UInt64(remaining))) }
        #expect(bucket.take(now: 7) == .refused(waitNanoseconds: 333_333_334))
        #expect(bucket.take(now: 7 + 333_333_333) == .refused(waitNanoseconds: 1))
        #expect(bucket.take(now: 7 + 333_333_334) == .taken(remaining: 0))
        // What is left over is kept: after exactly a second there were three, not two.
        #expect(bucket.take(now: 7 + 666_666_667) == .taken(remaining: 0))
        #expect(bucket.take(now: 7 + Self.second) == .taken(remaining: 0))
        #expect(bucket.take(now: 7 + Self.second) == .refused(waitNanoseconds: 333_333_334))
    }

    @Test func `a long pause fills it to the burst and no further`() {
        var bucket = TokenBucket(perSecond: 1_000_000, burst: 2, now: 0)
        #expect(bucket.take(now: .max) == .taken(remaining: 1))
        #expect(bucket.take(now: .max) == .taken(remaining: 0))
        #expect(bucket.take(now: .max) == .refused(waitNanoseconds: 1000))
    }

    @Test func `over any time no more is taken than rate and burst allow`() {
        for (rate, burst) in [(1, 1), (7, 3), (1000, 50), (999_999_937, 1)] as [(UInt64, UInt64)] {
            var bucket = TokenBucket(perSecond: rate, burst: burst, now: 0)
            var now: UInt64 = 0
            var taken: UInt64 = 0
            var seed: UInt64 = rate
            for _ in 0..<20_000 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                now += (seed >> 33) % (Self.second / rate * 2 + 2)
                if case .taken = bucket.take(now: now) { taken += 1 }
                let (whole, part) = (now / Self.second, now % Self.second)
                #expect(taken <= burst + whole * rate + part * rate / Self.second)
            }
            #expect(taken > 5000)
        }
    }

    @Test func `each key has its own`() {
        let rates = KeyRates(perSecond: 1, burst: 2)
        #expect(rates.refusal(Name(checked: "a"), now: 0) == nil)
        #expect(rates.refusal(Name(checked: "a"), now: 0) == nil)
        let problem = rates.refusal(Name(checked: "a"), now: 0)
        #expect(problem?.status == 429)
        #expect(problem?.headers.first { $0.0 == "Retry-After" }?.1 == "1")
        #expect(rates.refusal(Name(checked: "b"), now: 0) == nil)
        #expect(rates.refusal(Name(checked: "a"), now: Self.second) == nil)
    }

    @Test func `rates are changed while requests come, and the same rates change nothing`() {
        let name = Name(checked: "a")
        let rates = KeyRates(perSecond: 0, burst: 1)
        for _ in 0..<1000 { #expect(rates.refusal(name, now: 0) == nil) }
        rates.change(perSecond: 5, burst: 1)
        #expect(rates.refusal(name, now: 0) == nil)
        rates.change(perSecond: 5, burst: 1)
        let problem = rates.refusal(name, now: 0)
        #expect(problem?.headers.first { $0.0 == "RateLimit-Policy" }?.1 == "\"key\";q=5;w=1")
        rates.change(perSecond: 5, burst: 2)
        #expect(rates.refusal(name, now: 0) == nil && rates.refusal(name, now: 0) == nil)
        #expect(rates.refusal(name, now: 0) != nil)
        rates.change(perSecond: 0, burst: 2)
        #expect(rates.refusal(name, now: 0) == nil)
    }
}
