import Hashing
import Platform

/// Carries firings from the daemon to the webhook: every one once, those of one alert in their order.
struct Courier {
    /// Firings known and not yet done; past it the daemon is not asked for more.
    static let outstandingMax = 1000
    /// Firings after the first one that is not done: the state lists them. Past it that one is waited for.
    static let seenMax = 100_000

    /// The firings of one alert that wait, and how the first of them fares.
    private struct Lane {
        var firings: [Firing] = []
        var failures = 0
        var refusals = 0
        /// On the steady clock.
        var dueNanoseconds: UInt64 = 0
    }

    private let options: Options
    /// What bodies are signed with; another one when it has been read again.
    private let secret: Lock<[UInt8]>
    private let web: Web
    private let feed: Feed
    private let stopping: Condition<Bool>
    private var delivered: Delivered
    private var lanes: [[UInt8]: Lane] = [:]
    /// Fetched and after `delivered.through`, in order.
    private var seen: [(number: Int64, position: Int64)] = []
    private var random = SystemRandomNumberGenerator()
    /// Whether the daemon's last answer was an error: said once, not every two seconds.
    private var isCutOff = false

    init(
        _ options: Options, secret: Lock<[UInt8]>, web: Web, delivered: Delivered, stopping: Condition<Bool>
    ) {
        self.options = options
        self.secret = secret
        self.web = web
        self.delivered = delivered
        self.stopping = stopping
        feed = Feed(web: web, url: options.url, key: options.key)
    }

    private var isStopping: Bool { stopping.wait(milliseconds: 0) { $0 ? true : nil } ?? false }

    /// Waits, at most until told to stop.
    private func pause(milliseconds: UInt64) {
        _ = stopping.wait(milliseconds: Int(milliseconds)) { $0 ? true : nil }
    }

    // MARK: - Runs

    /// Until told to stop.
    mutating func run() throws {
        while !isStopping {
            do throws(Feed.Fault) {
                try fetch()
                if isCutOff { LogLine.write(.info, "the daemon answers again") }
                isCutOff = false
            } catch {
                if !isCutOff { LogLine.write(.warning, error.description, ["url": options.url]) }
                isCutOff = true
            }
            try deliverDue()
            let now = SteadyClock.nanoseconds()
            let next = lanes.values.map(\.dueNanoseconds).min() ?? .max
            let poll = UInt64(options.pollSeconds) * 1000
            pause(milliseconds: next <= now ? 0 : min(poll, (next - now) / 1_000_000 + 1))
        }
    }

    /// Tries everything there is once; true when all of it is done.
    mutating func runOnce() throws -> Bool {
        while true {
            let before = seen.last?.number ?? delivered.through
            try fetch()
            try deliverDue()
            let after = seen.last?.number ?? delivered.through
            if after == before || isStopping { return lanes.isEmpty }
        }
    }

    /// Says where the daemon's numbers are now, so that a new state begins there.
    mutating func skipHistory() throws {
        while true {
            let page = try feed.firings(after: delivered.through, limit: Feed.pageMax)
            guard let last = page.last else { break }
            delivered.through = last.number
            delivered.position = last.position
        }
        try delivered.write(options.statePath)
    }

    /// Whether the daemon still has the firing that the state ends with: else its numbers mean something else.
    func belongs() throws(Feed.Fault) -> Bool {
        if delivered.through == 0 { return true }
        let last = try feed.firings(after: delivered.through - 1, limit: 1).first
        return last?.number == delivered.through && last?.position == delivered.position
    }

    // MARK: - Steps

    private mutating func fetch() throws(Feed.Fault) {
        while true {
            let room = Courier.outstandingMax - lanes.values.reduce(0) { $0 + $1.firings.count }
            if room <= 0 || seen.count >= Courier.seenMax { return }
            let page = try feed.firings(
                after: seen.last?.number ?? delivered.through, limit: min(room, Feed.pageMax))
            for firing in page {
                seen.append((firing.number, firing.position))
                if delivered.beyond.contains(firing.number) { continue }
                lanes[firing.alert, default: Lane()].firings.append(firing)
            }
            advance()
            if page.count < min(room, Feed.pageMax) { return }
        }
    }

    /// Tries the first firing of every lane that is due, the oldest first, and goes on while they are taken.
    private mutating func deliverDue() throws {
        while !isStopping {
            let now = SteadyClock.nanoseconds()
            let due = lanes.filter { $0.value.dueNanoseconds <= now }
                .compactMap { lane in lane.value.firings.first.map { (alert: lane.key, firing: $0) } }
                .min { $0.firing.number < $1.firing.number }
            guard let due else { return }
            let (verdict, said) = attempt(due.firing)
            try settle(due.firing, verdict, said)
        }
    }

    private func attempt(_ firing: Firing) -> (verdict: Verdict, said: String) {
        var headers = [
            ("Content-Type", "application/json"), ("User-Agent", "tallystick-alerts"),
            ("X-Tallystick-Firing", String(firing.number)),
        ]
        let secret = secret.withLock { $0 }
        if !secret.isEmpty {
            let seconds = String(WallClock.microseconds() / 1_000_000)
            let code = HMAC.sha256(Array(seconds.utf8) + [0x2E] + firing.body, key: secret)
            headers.append(("X-Tallystick-Signature", "t=\(seconds),v1=\(code.hex)"))
        }
        do {
            let answer = try web.post(options.webhook, headers: headers, body: firing.body)
            return (Verdict(status: answer.status, retryAfter: answer.retryAfter), String(answer.status))
        } catch {
            return (Verdict(status: nil, retryAfter: nil), error.description)
        }
    }

    private mutating func settle(_ firing: Firing, _ verdict: Verdict, _ said: String) throws {
        guard var lane = lanes[firing.alert] else { preconditionFailure("firing \(firing.number) has no lane") }
        let number = String(firing.number)
        let alert = String(decoding: firing.alert, as: UTF8.self)
        var wait: UInt64 = 0
        switch verdict {
        case .delivered:
            LogLine.write(.info, "delivered", ["firing": number, "alert": alert])
            try finish(firing, lane)
            return
        case .failed(let retryAfter):
            lane.failures += 1
            lane.refusals = 0
            wait = options.backoff.wait(
                after: lane.failures, isRefusal: false, retryAfterSeconds: retryAfter, random: random.next())
        case .refused:
            lane.refusals += 1
            lane.failures = 0
            if lane.refusals >= Backoff.refusalsMax {
                LogLine.write(
                    .error, "skipped: refused too often", ["firing": number, "alert": alert, "answer": said])
                try finish(firing, lane)
                return
            }
            wait = options.backoff.wait(
                after: lane.refusals, isRefusal: true, retryAfterSeconds: nil, random: random.next())
        }
        LogLine.write(
            .warning, verdict == .refused ? "refused" : "not delivered",
            ["firing": number, "alert": alert, "answer": said, "again_in_ms": String(wait)])
        lane.dueNanoseconds = options.isOnce ? .max : SteadyClock.nanoseconds() + wait * 1_000_000
        lanes[firing.alert] = lane
    }

    /// The firing is done with, and the file says so before anything else is sent.
    private mutating func finish(_ firing: Firing, _ lane: Lane) throws {
        var lane = Lane(firings: lane.firings)
        lane.firings.removeFirst()
        lanes[firing.alert] = lane.firings.isEmpty ? nil : lane
        delivered.beyond.insert(firing.number)
        advance()
        try delivered.write(options.statePath)
    }

    /// Moves `through` past all that is done.
    private mutating func advance() {
        var count = 0
        while count < seen.count, delivered.beyond.remove(seen[count].number) != nil {
            delivered.through = seen[count].number
            delivered.position = seen[count].position
            count += 1
        }
        seen.removeFirst(count)
    }
}
