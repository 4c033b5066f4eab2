internal import Billing
internal import Engine
internal import EventLog
internal import Formats
internal import HTTP
internal import JSON
internal import Platform

/// One callback of LiteLLM on its way in: items are read as they come and go to the writer in groups, one at a time;
/// while a group is on its way and the next is full, the socket is not read. So a body of any length takes little
/// memory, and a slow disk slows its sender.
///
/// What a group stored stays stored, whatever becomes of the rest: sent again, it is a duplicate. Used on the loop
/// thread only, but for `inbox`.
final class LiteLLMIntake: BodySink {
    private enum State {
        /// No group is on its way.
        case free
        /// The group is with the writer; for the first time, or tried again since a moment of the steady clock.
        case submitted(triedSince: UInt64?)
        /// The writer had no room: the group waits a little.
        case pausing(since: UInt64)
    }

    private let api: API
    private let head: RequestHead
    private let answer: API.Answer
    private let wake: @Sendable () -> Void
    private var body: LiteLLMBody
    /// Items for the next group, and the group on its way.
    private var items: [DoorItem] = []
    private var group: [DoorItem] = []
    private var state = State.free
    private let inbox = Lock<Result<API.DoorOutcome, ProblemError>?>(nil)
    private var total = API.DoorCounts()
    /// Of the last group that was stored; 0 before the first.
    private var highWater: UInt64 = 0
    private var hasEnded = false
    private var isAnswered = false

    init(
        api: API, head: RequestHead, body: LiteLLMBody, answer: @escaping API.Answer,
        wake: @escaping @Sendable () -> Void
    ) {
        self.api = api
        self.head = head
        self.body = body
        self.answer = answer
        self.wake = wake
    }

    var bytesHeld: Int { body.bytesHeld }

    func take(_ bytes: [UInt8]) -> BodyDemand {
        guard !isAnswered else { return .wait }
        do throws(BodyError) {
            try body.take(bytes, into: &items)
        } catch {
            finish(api.bodyProblem(error).response)
        }
        return goOn()
    }

    func end() {
        guard !isAnswered else { return }
        hasEnded = true
        do throws(BodyError) {
            try body.end(into: &items)
        } catch {
            finish(api.bodyProblem(error).response)
        }
        _ = goOn()
    }

    func woken() -> BodyDemand {
        guard !isAnswered else { return .wait }
        let result = inbox.withLock { inbox in
            defer { inbox = nil }
            return inbox
        }
        switch result {
        case .success(let outcome):
            total += outcome.counts
            highWater = outcome.receipt.highWater
            group = []
            state = .free
        case .failure(let problem):
            refused(problem.problem)
        case nil:
            if case .pausing(let since) = state { submit(triedSince: since) }
        }
        return goOn()
    }

    /// Sends the next group off when there is one and nothing stands before it.
    private func goOn() -> BodyDemand {
        guard !isAnswered else { return .wait }
        let isFull = items.count >= api.limits.callbackGroupItems
        guard case .free = state else { return isFull ? .wait : .more }
        if isFull || (hasEnded && !items.isEmpty) {
            swap(&group, &items)
            submit(triedSince: nil)
        } else if hasEnded {
            finish(good)
        }
        return .more
    }

    private func submit(triedSince: UInt64?) {
        // Looked up for each group: a key that is revoked while the body comes in stores no more.
        switch api.resolve(head) {
        case .failure(let refusal):
            finish(refusal.response)
        case .success(let resolved):
            guard let key = resolved.key else { preconditionFailure("\(resolved.route.path) needs a key") }
            state = .submitted(triedSince: triedSince)
            api.ingest(group, door: .litellm, key: key) { [inbox, wake] result in
                inbox.withLock { $0 = result }
                wake()
            }
        }
    }

    /// The group was not stored. When the writer only has too much to do and others of this body are stored already,
    /// it is tried again for a while: its sender cannot send the rest alone.
    private func refused(_ problem: Problem) {
        guard case .submitted(let triedSince) = state else { preconditionFailure("a result without a group") }
        let now = SteadyClock.nanoseconds()
        let since = triedSince ?? now
        guard problem.code == Problem.overloaded.code, total.items > 0,
            now - since < UInt64(api.limits.callbackRetryMilliseconds) * 1_000_000
        else {
            finish(rest(problem).response)
            return
        }
        state = .pausing(since: since)
        Task { [wake, pause = api.limits.callbackPauseMilliseconds] in
            try? await Task.sleep(for: .milliseconds(pause))
            wake()
        }
    }

    private func rest(_ problem: Problem) -> Problem {
        guard total.items > 0 else { return problem }
        return Problem(
            problem.status, problem.code,
            "\(problem.detail) after \(total.items) items that are kept; sent again as a whole, they are duplicates",
            headers: problem.headers)
    }

    private var good: Response {
        Answers.json(position: total.items == 0 ? api.log.highWater : highWater) { writer in
            writer.beginObject()
            writer.member("accepted", integer: total.accepted)
            writer.member("duplicates", integer: total.duplicates)
            writer.member("conflicts", integer: total.conflicts)
            writer.member("parked", integer: total.parked)
            if total.dropped > 0 { writer.member("dropped", integer: total.dropped) }
            writer.member("skipped", integer: total.skipped)
            if let last = total.lastPosition { writer.member("last_position", integer: last) }
            writer.endObject()
        }
    }

    private func finish(_ response: Response) {
        precondition(!isAnswered, "a second answer to one callback")
        isAnswered = true
        api.count(body.tally)
        items = []
        group = []
        answer(response)
    }
}

extension API.DoorCounts {
    /// Items that have been dealt with for good.
    fileprivate var items: Int { accepted + duplicates + parked + dropped + skipped }
}
