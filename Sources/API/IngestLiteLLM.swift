internal import Billing
internal import Engine
internal import Formats
internal import HTTP
internal import JSON

/// `POST /v1/ingest/litellm`: LiteLLM's generic API callback. Its sender drops a batch on any answer but 2xx, so the
/// good items are stored, the bad ones parked, and the answer is 2xx once both are durable.
extension API {
    func litellmIntake(_ head: RequestHead, _ resolved: Resolved) -> HeadVerdict {
        guard let key = resolved.key else { preconditionFailure("\(resolved.route.path) needs a key") }
        let body: LiteLLMBody
        do throws(BodyError) {
            body = try LiteLLMBody(
                keyName: key.name, defaultOrg: key.defaultOrg ?? key.org, itemBytesMax: limits.callbackItemBytesMax)
        } catch {
            return .answer(bodyProblem(error).response)
        }
        return .stream(bytesMax: limits.callbackBodyBytesMax) { [self] answer, wake in
            LiteLLMIntake(api: self, head: head, body: body, answer: answer, wake: wake)
        }
    }

    /// What became of the items of a compatible door. The receipt has a verdict for each that became an event.
    struct DoorOutcome: Sendable {
        var counts: DoorCounts
        var receipt: Receipt
    }

    /// Items by what became of them.
    struct DoorCounts: Sendable {
        var accepted = 0
        var duplicates = 0
        var conflicts = 0
        var parked = 0
        var skipped = 0
        /// Of those that are stored, now or before.
        var lastPosition: UInt64?

        static func += (total: inout DoorCounts, part: DoorCounts) {
            total.accepted += part.accepted
            total.duplicates += part.duplicates
            total.conflicts += part.conflicts
            total.parked += part.parked
            total.skipped += part.skipped
            if let position = part.lastPosition { total.lastPosition = max(total.lastPosition ?? 0, position) }
        }
    }

    /// Parks what cannot be taken, stores the rest; what admission refuses is parked too, so that nothing is lost.
    func ingest(
        _ items: [DoorItem], door: Door, key: Key,
        completion: @escaping @Sendable (Result<DoorOutcome, ProblemError>) -> Void
    ) {
        var submission = Submission(
            door: door, key: key.name, confinedTo: key.org, subscriptionOwner: key.lagoOwnerIsUser ? .user : .org,
            reservingEvents: items.count)
        var counts = DoorCounts()
        var parked: [Parked] = []
        var facts: [[Parked.Fact]] = []
        for item in items {
            switch item.outcome {
            case .event(let event):
                submission.add(event)
                facts.append(API.parkedFacts(of: event))
            case .skipped:
                counts.skipped += 1
            case .parked(let one):
                parked.append(one)
            }
        }
        let (start, alreadyParked, eventFacts) = (counts, parked, facts)
        let store = self.parked
        let now = self.now
        submit(submission) { result in
            switch result {
            case .failure(let problem):
                completion(.failure(problem))
            case .success(let receipt):
                var counts = start
                var parked = alreadyParked
                for (verdict, facts) in zip(receipt.verdicts, eventFacts) {
                    switch verdict {
                    case .stored(let position, _):
                        counts.accepted += 1
                        counts.lastPosition = max(counts.lastPosition ?? 0, position)
                    case .duplicate(let position):
                        counts.duplicates += 1
                        counts.lastPosition = max(counts.lastPosition ?? 0, position)
                    case .conflict(let position):
                        counts.conflicts += 1
                        parked.append(
                            Parked(
                                code: "conflict", field: "id",
                                detail: "its key was stored before with other content, at position \(position)",
                                facts: facts))
                    case .rejected(let rejection):
                        parked.append(
                            Parked(
                                code: rejection.code, field: API.field(rejection.field, at: door),
                                detail: rejection.detail, facts: facts))
                    }
                }
                counts.parked = parked.count
                let outcome = DoorOutcome(counts: counts, receipt: receipt)
                if parked.isEmpty {
                    completion(.success(outcome))
                    return
                }
                let toPark = parked
                Task {
                    do {
                        try await store.add(toPark, door: door, key: key.name, org: key.org, now: now())
                        completion(.success(outcome))
                    } catch {
                        completion(
                            .failure(
                                ProblemError(
                                    problem: Problem(
                                        503, "parking_failed",
                                        "items that could not be taken could not be parked either: \(error)",
                                        headers: [("Retry-After", "30")]))))
                    }
                }
            }
        }
    }

    /// What the sender calls a member of the event that was made of his item.
    static func field(_ field: String, at door: Door) -> String {
        switch (door, field) {
        case (.litellm, "time"): "endTime"
        case (.litellm, "data.org"): "metadata.user_api_key_org_id"
        case (.litellm, "data.cost_usd"): "response_cost"
        case (.lago, "time"): "timestamp"
        case (.lago, "data.org"): "external_subscription_id"
        case (.lago, "data.cost_usd"): "properties.response_cost"
        case (.openmeter, "data.org"): "subject"
        case (.openmeter, "data.cost_usd"): "data.cost"
        default: field
        }
    }

    private static func parkedFacts(of event: Event) -> [Parked.Fact] {
        var facts = [
            Parked.Fact(name: "source", value: event.source.text), Parked.Fact(name: "id", value: event.id.text),
        ]
        if let time = event.time { facts.append(Parked.Fact(name: "time", value: time.rfc3339)) }
        switch event.fact {
        case .call(let call), .usage(let call):
            facts.append(Parked.Fact(name: "model", value: call.model.text))
            facts.append(Parked.Fact(name: "status", value: call.status.name))
        default: break
        }
        return facts
    }
}
