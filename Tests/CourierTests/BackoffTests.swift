import Testing

@testable import tallystick_alerts

struct BackoffTests {
    @Test(arguments: [
        (1, 1000), (2, 2000), (3, 4000), (9, 256_000), (10, 300_000), (33, 300_000), (1_000_000, 300_000),
    ] as [(Int, UInt64)])
    func `waits double to five minutes, and are cut by at most a half`(failures: Int, whole: UInt64) {
        let backoff = Backoff()
        for random in [0, 1, 77, UInt64.max, whole / 2] {
            let wait = backoff.wait(after: failures, isRefusal: false, retryAfterSeconds: nil, random: random)
            #expect(wait <= whole && wait >= whole / 2)
        }
        #expect(backoff.wait(after: failures, isRefusal: false, retryAfterSeconds: nil, random: 0) == whole)
        let shortest = backoff.wait(after: failures, isRefusal: false, retryAfterSeconds: nil, random: whole / 2)
        #expect(shortest == whole - whole / 2)
    }

    @Test(arguments: [(1, 60_000), (2, 120_000), (6, 1_920_000), (7, 3_600_000), (11, 3_600_000)] as [(Int, UInt64)])
    func `a refusal waits from a minute to an hour`(refusals: Int, whole: UInt64) {
        #expect(Backoff().wait(after: refusals, isRefusal: true, retryAfterSeconds: nil, random: 0) == whole)
    }

    @Test func `what the receiver asks for is waited, up to five minutes`() {
        let backoff = Backoff()
        #expect(backoff.wait(after: 1, isRefusal: false, retryAfterSeconds: 7, random: 0) == 7000)
        #expect(backoff.wait(after: 1, isRefusal: false, retryAfterSeconds: 0, random: 0) == 1000)
        #expect(backoff.wait(after: 1, isRefusal: false, retryAfterSeconds: .max, random: 0) == 300_000)
    }

    @Test(arguments: [
        (200, .delivered), (204, .delivered), (299, .delivered), (199, .refused), (301, .refused), (400, .refused),
        (404, .refused), (410, .refused), (408, .failed(retryAfterSeconds: 9)), (429, .failed(retryAfterSeconds: 9)),
        (500, .failed(retryAfterSeconds: 9)), (599, .failed(retryAfterSeconds: 9)),
    ] as [(Int, Verdict)])
    func `an answer is taken, failed or refused`(status: Int, verdict: Verdict) {
        #expect(Verdict(status: status, retryAfter: "9") == verdict)
    }

    @Test func `no answer is a failure, and only plain seconds are a time to wait`() {
        #expect(Verdict(status: nil, retryAfter: nil) == .failed(retryAfterSeconds: nil))
        for text in ["", "+5", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9999999999"] {
            #expect(Verdict(status: 503, retryAfter: text) == .failed(retryAfterSeconds: nil))
        }
    }
}
