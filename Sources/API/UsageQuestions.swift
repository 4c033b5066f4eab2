internal import Billing
internal import HTTP
internal import JSON
internal import Projections

/// Call counts and token totals (contract 4).
extension API {
    /// Waits until the read model has seen what the asker must see, then asks it.
    func ask<Asked: Projections.Query>(_ asked: Asked, _ question: Question) async throws -> Seen<Asked.Answer> {
        let wanted = try question.minPosition()
        if wanted > 0 {
            let reached = await models.wait(
                Asked.model, until: wanted, timeoutMilliseconds: limits.waitMillisecondsMax)
            guard reached >= wanted else {
                throw ProblemError(
                    problem: Problem(
                        503, "not_caught_up",
                        "the answer has seen position \(reached), not yet \(wanted); nothing is lost, ask again",
                        headers: [("Retry-After", "1"), ("X-Position", String(reached))]))
            }
        }
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

    func getCalls(_ owner: Owner, _ question: Question) async throws -> Response {
        try question.check("period")
        var span = CallsQuery.Span.current
        if let text = question["period"] {
            guard let given = CallsQuery.Span(text) else {
                throw ProblemError(
                    400, "invalid_parameter", "period must be a month (2025-11) or a day (2025-11-03)",
                    field: "period")
            }
            span = given
        }
        let seen = try await ask(CallsQuery(owner: owner, span: span, now: question.now), question)
        guard seen.answer.isKnown else { throw Question.unknown(owner.kind, owner.name) }
        return Answers.json(position: seen.position) { API.write(seen.answer, into: &$0) }
    }

    static func write(_ calls: CallsAnswer, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member(calls.owner.kindKey, string: calls.owner.name.text)
            if let plan = calls.plan {
                writer.member("plan", string: plan.text)
            } else {
                writer.member(null: "plan")
            }
            writer.key("period")
            writer.object { writer in
                writer.member("start", string: calls.period.lowerBound.start.rfc3339)
                writer.member("end", string: calls.period.upperBound.start.rfc3339)
            }
            writer.member("used", integer: calls.used)
            writer.key("limits")
            writer.array(calls.limits) { writer, limit in
                writer.object { writer in
                    writer.member("per", string: limit.limit.per.name)
                    writer.member("limit", integer: limit.limit.limit)
                    writer.member("enforce", string: limit.limit.enforce.name)
                    writer.member("used", integer: limit.used)
                    writer.member("remaining", integer: limit.remaining)
                    if let time = limit.resetsAt {
                        writer.member("resets_at", string: time.rfc3339)
                    } else {
                        writer.member(null: "resets_at")
                    }
                }
            }
            writer.key("by_status")
            writer.object { writer in
                for status in Call.Status.allCases {
                    let count = calls.byStatus.first { $0.status == status }?.count ?? 0
                    writer.key(status.name)
                    writer.integer(count)
                }
            }
            writer.key("by_key_source")
            writer.object { writer in
                for source in Call.KeySource.allCases {
                    let count = calls.byKeySource.first { $0.keySource == source }?.count ?? 0
                    writer.key(source.name)
                    writer.integer(count)
                }
            }
        }
    }

    func getTokens(org: Name?, _ question: Question) async throws -> Response {
        try question.check("from", "to", "group_by")
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
        let seen = try await ask(asked, question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("rows")
                writer.array(seen.answer.rows) { writer, row in
                    writer.object { writer in
                        for dimension in groups { API.write(dimension, of: row, into: &writer) }
                        API.write(row.totals, into: &writer)
                    }
                }
                writer.key("totals")
                writer.object { API.write(seen.answer.totals, into: &$0) }
            }
        }
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

    private static func write(
        _ dimension: TokensQuery.Dimension, of row: TokensAnswer.Row, into writer: inout JSONWriter
    ) {
        let text: String? =
            switch dimension {
            case .day: row.day?.text
            case .org: row.org?.text
            case .model: row.model?.text
            case .provider: row.provider?.text
            case .user: row.user?.text
            case .service: row.service?.text
            case .keySource: row.keySource?.name
            }
        writer.key(dimension.rawValue)
        if let text { writer.string(text) } else { writer.null() }
    }

    static func write(_ totals: TokensAnswer.Totals, into writer: inout JSONWriter) {
        writer.member("calls", integer: totals.calls)
        writer.member("input_tokens", integer: totals.inputTokens)
        writer.member("output_tokens", integer: totals.outputTokens)
        writer.member("cache_read_tokens", integer: totals.cacheReadTokens)
        writer.member("cache_write_tokens", integer: totals.cacheWriteTokens)
        writer.member("reasoning_tokens", integer: totals.reasoningTokens)
        writer.member("images", integer: totals.images)
        writer.member("audio_seconds", string: Decimal(mantissa: totals.audioMicroseconds, scale: 6).text)
        writer.member("credits", string: totals.charge.credits)
        writer.member("cost_usd", string: totals.cost.dollars)
        writer.member("unpriced_calls", integer: totals.unpricedCalls)
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
