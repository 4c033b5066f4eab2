internal import Billing
internal import EventLog
internal import Records

/// Authorizations, on the writer's thread: decided against the book that every earlier grant of the group is in
/// already, so that two requests never get the same credit.
extension LogWriter {
    func decide(_ order: AuthorizationOrder, completion: @escaping AuthorizationCompletion) {
        let request = order.request
        guard let key = HoldKey(org: request.org, user: request.user, id: request.id) else {
            completion(
                .success(
                    .rejected(
                        Rejection(code: "missing_owner", field: "org", detail: "an org or a user is needed"))))
            return
        }
        let now = recordingTime()
        let decision: AuthorizationDecision
        do {
            decision = try admission.book.authorize(request, at: now)
        } catch {
            completion(.success(.rejected(error)))
            return
        }
        guard order.holds else {
            completion(
                .success(.decided(decision, expiresAt: nil, position: nil, highWater: log.highWater)))
            return
        }
        guard fullSince == nil || roomIsBack() else {
            completion(.failure(.full))
            return
        }
        let id = Admission.id(of: key, "asked")
        if let position = earlier(id) {
            answerAgain(order, decision, from: position, completion)
            return
        }
        let expiresAt = now.adding(seconds: order.ttlSeconds)
        let fact = decision.fact(for: request, expiresAt: expiresAt)
        let verdict = append(fact, id: id, time: now, by: order.key)
        let answered = decision.refusal == nil ? standing(decision, of: request, at: now) : decision
        group.waiting.append(
            Waiting(verdicts: [verdict]) { result in
                completion(
                    result.map { highWater in
                        switch verdict {
                        case .stored(let position, _):
                            .decided(
                                answered, expiresAt: answered.refusal == nil ? expiresAt : nil, position: position,
                                highWater: highWater)
                        case .duplicate(let position), .conflict(let position): .conflict(position: position)
                        case .rejected(let rejection): .rejected(rejection)
                        }
                    })
            })
    }

    /// What is left once `decision` holds.
    private func standing(
        _ decision: AuthorizationDecision, of request: AuthorizationRequest, at time: Timestamp
    ) -> AuthorizationDecision {
        // What fitted in an amount before the hold fits after it.
        guard let after = try? admission.book.authorize(request, at: time) else { return decision }
        var decision = decision
        decision.available = after.available
        decision.calls = after.calls
        return decision
    }

    /// The same question again, as after a lost answer: what was decided then stands, while it runs. It is the same
    /// when it is of the same call, for as long, and came to as much at that time.
    private func answerAgain(
        _ order: AuthorizationOrder, _ decision: AuthorizationDecision, from position: UInt64,
        _ completion: @escaping AuthorizationCompletion
    ) {
        let found: Record?
        do {
            found = try record(at: position)
        } catch {
            onFatal("the log could not be read at position \(position): \(error)")
        }
        var answer = AuthorizationAnswer.conflict(position: position)
        var decision = decision
        let highWater = max(log.highWater, position)
        let subject = AuthorizationSubject(order.request)
        let requested = found.flatMap { try? admission.book.requested(order.request, at: $0.occurredAt) }
        switch found?.event.fact {
        case .authorizationGranted(let granted)
        where granted.subject == subject && granted.held == requested
            && granted.expiresAt == found?.occurredAt.adding(seconds: order.ttlSeconds):
            let key = HoldKey(org: subject.org, user: subject.user, id: subject.id)
            guard let key, admission.book.ledger.hold(key)?.position == position else {
                answer = .ended(position: position)
                break
            }
            decision.refusal = nil
            decision.requested = granted.held
            answer = .decided(decision, expiresAt: granted.expiresAt, position: position, highWater: highWater)
        case .authorizationDenied(let denied)
        where denied.subject == subject && denied.refusal.requested == requested:
            if decision.refusal?.rule != denied.refusal.rule { decision.retryAt = nil }
            decision.refusal = denied.refusal
            decision.requested = denied.refusal.requested
            decision.available = denied.refusal.available
            answer = .decided(decision, expiresAt: nil, position: position, highWater: highWater)
        default:
            break
        }
        // It may be in the group that is being built: durable before it is told.
        group.waiting.append(Waiting { result in completion(result.map { _ in answer }) })
    }

    func end(_ key: HoldKey, by poster: Name?, completion: @escaping ReleaseCompletion) {
        let id = Admission.id(of: key, "released")
        guard let hold = admission.book.ledger.hold(key) else {
            // Nothing runs: it was released before, or never was.
            guard let position = earlier(id) else {
                completion(.success(.unknown))
                return
            }
            group.waiting.append(
                Waiting { result in completion(result.map { .released(position: position, highWater: $0) }) })
            return
        }
        guard fullSince == nil || roomIsBack() else {
            completion(.failure(.full))
            return
        }
        let ended = AuthorizationEnded(id: key.id, org: hold.org, user: hold.user, credits: hold.amount)
        let verdict = append(.authorizationReleased(ended), id: id, time: recordingTime(), by: poster)
        guard case .stored(let position, _) = verdict else {
            completion(.success(.refused))
            return
        }
        group.waiting.append(
            Waiting(verdicts: [verdict]) { result in
                completion(result.map { .released(position: position, highWater: $0) })
            })
    }

    /// Where the daemon's own event with this id is, in the log or in the group.
    private func earlier(_ id: Name) -> UInt64? {
        defer { if !admission.foreign.isEmpty { noteForeign() } }
        do {
            return try admission.ownPosition(of: id, history: history)
        } catch {
            onFatal("the log could not be read while looking for a duplicate: \(error)")
        }
    }

    private func append(_ fact: Fact, id: Name, time: Timestamp, by key: Name?) -> Verdict {
        var submission = Submission(door: .daemon, key: key)
        let event = Event(source: Admission.source, id: id, time: time, fact: fact)
        submission.add(event)
        let verdict = admit(submission, at: recordingTime())[0]
        note(verdict, on: event)
        return verdict
    }
}
