internal import Billing
internal import Engine
internal import Formats
internal import HTTP
internal import Hashing
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
        /// Kept at `/v1/parked`, and those that found no room there.
        var parked = 0
        var dropped = 0
        var skipped = 0
        /// Of those that are stored, now or before.
        var lastPosition: UInt64?

        static func += (total: inout DoorCounts, part: DoorCounts) {
            total.accepted += part.accepted
            total.duplicates += part.duplicates
            total.conflicts += part.conflicts
            total.parked += part.parked
            total.dropped += part.dropped
            total.skipped += part.skipped
            if let position = part.lastPosition { total.lastPosition = max(total.lastPosition ?? 0, position) }
        }
    }

    /// Stores what can be taken and parks the rest, what admission refuses too. Whatever becomes of bad items, good
    /// ones are stored and their sender is told so: LiteLLM would drop the good ones behind any other answer.
    func ingest(
        _ items: [DoorItem], door: Door, key: Key,
        completion: @escaping @Sendable (Result<DoorOutcome, ProblemError>) -> Void
    ) {
        var submission = Submission(
            door: door, key: key.name, confinedTo: key.org, subscriptionOwner: key.lagoOwnerIsUser ? .user : .org,
            reservingEvents: items.count)
        var counts = DoorCounts()
        var parked: [Parked] = []
        var known: [(facts: [Parked.Fact], hash: Digest)] = []
        // Numbers of the events that say what a job came to.
        var jobs: Set<Int> = []
        for item in items {
            switch item.outcome {
            case .event(let event):
                submission.add(event)
                known.append((API.parkedFacts(of: event), item.hash))
            case .job(let event):
                jobs.insert(submission.count)
                submission.add(event, isRetold: true)
                known.append((API.parkedFacts(of: event), item.hash))
            case .skipped:
                counts.skipped += 1
            case .parked(let one):
                parked.append(one)
            }
        }
        let (start, alreadyParked, ofEvents, jobEvents) = (counts, parked, known, jobs)
        let store = self.parked
        let now = self.now
        submit(submission) { result in
            switch result {
            case .failure(let problem):
                completion(.failure(problem))
            case .success(let receipt):
                var counts = start
                var parked = alreadyParked
                for (number, (verdict, (facts, hash))) in zip(receipt.verdicts, ofEvents).enumerated() {
                    switch verdict {
                    case .stored(let position, _):
                        counts.accepted += 1
                        counts.lastPosition = max(counts.lastPosition ?? 0, position)
                    case .duplicate(let position):
                        counts.duplicates += 1
                        counts.lastPosition = max(counts.lastPosition ?? 0, position)
                    case .conflict(let position) where jobEvents.contains(number):
                        // Other tokens or another cost than at the first look, and so at each look from now on: the
                        // writer has counted it, and a list of them would help nobody.
                        counts.duplicates += 1
                        counts.lastPosition = max(counts.lastPosition ?? 0, position)
                    case .conflict(let position):
                        counts.conflicts += 1
                        parked.append(
                            Parked(
                                code: "conflict", field: "id",
                                detail: "its key was stored before with other content, at position \(position)",
                                facts: facts, itemHash: hash))
                    case .rejected(let rejection):
                        parked.append(
                            Parked(
                                code: rejection.code, field: API.field(rejection.field, at: door),
                                detail: rejection.detail, facts: facts, itemHash: hash))
                    }
                }
                let outcome = DoorOutcome(counts: counts, receipt: receipt)
                if parked.isEmpty {
                    completion(.success(outcome))
                    return
                }
                let toPark = parked
                Task {
                    var outcome = outcome
                    let added = await store.add(toPark, door: door, key: key.name, org: key.org, now: now())
                    outcome.counts.parked = added.parked
                    outcome.counts.dropped = added.dropped
                    completion(.success(outcome))
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
            Parked.Fact(name: "source", value: event.source.text), Parked.Fact(name: "id", value: event.statedID),
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
