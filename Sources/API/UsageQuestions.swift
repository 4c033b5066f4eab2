internal import Billing
internal import EventLog
internal import Formats
internal import HTTP
internal import JSON
internal import Projections

/// Call counts and token totals (contract 4).
extension API {
    /// Waits until the read model has seen what the asker must see, and `position`, then asks it. One that is stopped
    /// answers only who names a position that it has reached: an answer that grows old without a word is worse than
    /// none.
    /// - Parameters:
    ///   - position: what the answer must have seen, whoever asks.
    ///   - named: the position that the question itself is about (`as_of`); 0: it is about now.
    func ask<Asked: Projections.Query>(
        _ asked: Asked, _ question: Question, from position: UInt64 = 0, asOf named: UInt64 = 0
    ) async throws -> Seen<Asked.Answer> {
        let least = max(try question.minPosition(), named)
        let wanted = max(least, position)
        if wanted > 0 {
            let reached = await models.wait(
                Asked.model, until: wanted, timeoutMilliseconds: limits.waitMillisecondsMax)
            guard reached >= wanted else {
                try refuseStopped(Asked.model)
                throw ProblemError(
                    problem: Problem(
                        503, "not_caught_up",
                        "the answer has seen position \(reached), not yet \(wanted); nothing is lost, ask again",
                        headers: [("Retry-After", "1"), ("X-Position", String(reached))]))
            }
        }
        if least == 0 { try refuseStopped(Asked.model) }
        do {
            return try await models.ask(asked)
        } catch {
            switch error {
            case .overloaded:
                throw ProblemError(
                    problem: Problem(503, "overloaded", error.description, headers: [("Retry-After", "1")]))
            case .unavailable:
                throw ProblemError(
                    problem: Problem(503, "not_caught_up", error.description, headers: [("Retry-After", "1")]))
            case .tooManyRows:
                throw ProblemError(400, "too_many_rows", error.description)
            case .failed:
                throw ProblemError(500, "internal", error.description)
            }
        }
    }

    /// Says so when a read model does not move.
    private func refuseStopped(_ model: String) throws(ProblemError) {
        guard let status = models.status(model), case .stopped(let reason) = status.state else { return }
        throw ProblemError(
            problem: Problem(
                503, "projector_stopped",
                "the read model \(model) has stopped at position \(status.progress): \(reason); what it had seen by "
                    + "then is answered to those who name a position up to that one, with min_position",
                headers: [("Retry-After", "30"), ("X-Position", String(status.progress))]))
    }

    func getCalls(_ owner: Owner, _ question: Question) async throws -> Response {
        try question.check("period", "as_of", "effective")
        var span = CallsQuery.Span.current
        if let text = question["period"] {
            guard let given = CallsQuery.Span(text) else {
                throw ProblemError(
                    400, "invalid_parameter", "period must be a month (2025-11) or a day (2025-11-03)",
                    field: "period")
            }
            span = given
        }
        let seen: Seen<CallsAnswer>
        if let past = try question.past(highWater: log.highWater) {
            seen = try API.orOverloaded(
                try await asOf.ask(Calls.self, of: owner, at: past.moment, effective: past.effective) { [span] in
                    CallsQuery(owner: owner, span: span, now: $0)
                })
        } else {
            seen = try await ask(CallsQuery(owner: owner, span: span, now: question.now), question)
        }
        if !seen.answer.isKnown {
            // Of an org that made no call the number is known: none. No record need name it for that, since what a
            // gateway tells of it may all be bookkeeping. Of a user 404 says what it says of every name.
            guard case .org = owner else { throw Question.unknown(owner.kind, owner.name) }
        }
        return Answers.json(position: seen.position) { AnswerFormat.write(seen.answer, into: &$0) }
    }

    func getTokens(org: Name?, _ question: Question) async throws -> Response {
        try question.check("from", "to", "group_by", "as_of", "effective")
        var groups: [TokensQuery.Dimension] = []
        for part in (question["group_by"] ?? "").split(separator: ",") {
            guard let dimension = TokensQuery.Dimension(part), !groups.contains(dimension) else {
                let known = TokensQuery.Dimension.allCases.map(\.rawValue).joined(separator: ", ")
                throw ProblemError(
                    400, "invalid_parameter", "group_by takes each of these once: \(known)", field: "group_by")
            }
            groups.append(dimension)
        }
        let asked = TokensQuery(
            org: org, from: try day("from", isEnd: false, question), to: try day("to", isEnd: true, question),
            groups: groups)
        let seen: Seen<TokensAnswer>
        if let past = try question.past(highWater: log.highWater) {
            seen = try API.orOverloaded(
                try await asOf.ask(
                    Tokens.self, of: org.map(Owner.org), at: past.moment, effective: past.effective
                ) { _ in asked })
        } else {
            seen = try await ask(asked, question)
        }
        return Answers.json(position: seen.position) { AnswerFormat.write(seen.answer, into: &$0) }
    }

    /// Calls charged 0 for want of a price: what to publish prices for, and which calls to amend then.
    func listUnpriced(_ question: Question) async throws -> Response {
        try question.check("after", "limit", "org")
        var org = question.key.org
        if let text = question["org"] { org = try question.org(text) }
        let after = try question.integer("after", in: 0...UInt64(Int64.max)) ?? 0
        let asked = UnpricedQuery(org: org, after: after, limit: try question.limit())
        let seen = try await ask(asked, question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("unpriced")
                writer.array(seen.answer.calls) { writer, call in
                    writer.object { writer in
                        writer.member("position", integer: call.position)
                        writer.member("time", string: call.time.rfc3339)
                        writer.member("org", string: call.org?.text)
                        writer.member("user", string: call.user?.text)
                        writer.member("provider", string: call.provider.text)
                        writer.member("model", string: call.model.text)
                        writer.member("operation", string: call.operation.name)
                        writer.member("reason", string: call.reason.name)
                    }
                }
                if let next = seen.answer.next { writer.member("next", integer: next) }
            }
        }
    }

    private func day(_ name: String, isEnd: Bool, _ question: Question) throws(ProblemError) -> Day? {
        guard let text = question[name] else { return nil }
        guard let day = TokensQuery.day(text, isEnd: isEnd) else {
            throw ProblemError(
                400, "invalid_parameter", "\(name) must be a day (2025-11-03) or an RFC 3339 time", field: name)
        }
        return day
    }
}

extension Owner {
    var kind: String {
        switch self {
        case .org: "org"
        case .user: "user"
        }
    }

    var kindKey: StaticString {
        switch self {
        case .org: "org"
        case .user: "user"
        }
    }
}
