/// How long to wait after a try that failed. A pure function of the try, the answer and a random number.
struct Backoff {
    static let waitMillisecondsMax: UInt64 = 300_000
    static let refusalFirstMilliseconds: UInt64 = 60_000
    static let refusalMillisecondsMax: UInt64 = 3_600_000
    /// Refusals in a row after which a firing is skipped.
    static let refusalsMax = 12

    var firstMilliseconds: UInt64 = 1000

    /// `failures`: tries that failed, this one included. `random`: any; shortens the wait by up to a half, so that many
    /// senders do not come back at once.
    func wait(after failures: Int, isRefusal: Bool, retryAfterSeconds: UInt64?, random: UInt64) -> UInt64 {
        precondition(failures > 0, "\(failures) failures")
        // The shorter first wait that a test asks for holds for refusals as well.
        let first = isRefusal ? min(Backoff.refusalFirstMilliseconds, firstMilliseconds * 60) : firstMilliseconds
        let longest = isRefusal ? Backoff.refusalMillisecondsMax : Backoff.waitMillisecondsMax
        let whole = failures > 32 ? longest : min(longest, first << UInt64(failures - 1))
        let wait = whole - random % (whole / 2 + 1)
        guard let asked = retryAfterSeconds else { return wait }
        return max(wait, min(asked, Backoff.waitMillisecondsMax / 1000) * 1000)
    }
}

/// What an answer to a try means.
enum Verdict: Equatable {
    case delivered
    /// Nobody there, busy or broken: it may work later.
    case failed(retryAfterSeconds: UInt64?)
    /// The receiver does not want it as it is.
    case refused

    /// Nil: there was no answer.
    init(status: Int?, retryAfter: String?) {
        switch status {
        case .some(200..<300): self = .delivered
        case nil, 408, 429, .some(500...):
            let digits = retryAfter.flatMap { text in
                text.utf8.count < 10 && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(text) : nil
            }
            self = .failed(retryAfterSeconds: digits)
        case .some: self = .refused
        }
    }
}
