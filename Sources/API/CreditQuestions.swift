internal import Billing
internal import EventLog
internal import HTTP
internal import JSON
internal import Projections

/// Balances and statements (contract 4).
extension API {
    func getCredits(_ owner: Owner, _ question: Question) async throws -> Response {
        try question.check("as_of")
        let seen: Seen<CreditSummary?>
        if let moment = try question.asOf(highWater: log.highWater) {
            let answer = try await creditsAsOf(moment, owner, user: nil)
            seen = Seen(position: answer.position, answer: answer.summary)
        } else {
            seen = try await ask(CreditsQuery(owner: owner, now: question.now), question)
        }
        guard let credits = seen.answer else { throw Question.unknown(owner.kind, owner.name) }
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.member(owner.kindKey, string: owner.name.text)
                API.write(credits, into: &writer)
            }
        }
    }

    func getCredits(org: Name, user: Name, _ question: Question) async throws -> Response {
        try question.check("as_of")
        let seen: Seen<UserCredits?>
        if let moment = try question.asOf(highWater: log.highWater) {
            let answer = try await creditsAsOf(moment, .org(org), user: user)
            let credits = answer.summary.map { pool in
                UserCredits(
                    pool: pool, available: answer.available ?? .zero, spent: answer.spent, overage: answer.overage,
                    allocation: pool.allocations.first { $0.allocation.user == user })
            }
            seen = Seen(position: answer.position, answer: credits)
        } else {
            seen = try await ask(UserCreditsQuery(org: org, user: user, now: question.now), question)
        }
        guard let credits = seen.answer else { throw Question.unknown("org", org) }
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.member("org", string: org.text)
                writer.member("user", string: user.text)
                writer.member("available_credits", string: credits.available.credits)
                writer.member("balance_credits", string: credits.pool.account.balance.credits)
                writer.member("held_credits", string: credits.pool.account.held.credits)
                writer.member("granted_credits", string: credits.pool.account.granted.credits)
                writer.member("spent_credits", string: credits.spent.credits)
                writer.member("expired_credits", string: credits.pool.account.expired.credits)
                writer.member("overage_credits", string: credits.overage.credits)
                writer.key("lots")
                writer.array(credits.pool.lots) { API.write($1, into: &$0) }
                writer.key("allocations")
                writer.array(credits.allocation.map { [$0] } ?? []) { API.write($1, into: &$0) }
            }
        }
    }

    private func creditsAsOf(_ moment: AsOf.Moment, _ owner: Owner, user: Name?) async throws -> AsOf.Answer {
        guard let answer = try await asOf.credits(of: owner, user: user, at: moment) else {
            throw ProblemError(
                problem: Problem(
                    503, "overloaded", "more than \(AsOf.pendingMax) ask for the past already",
                    headers: [("Retry-After", "5")]))
        }
        return answer
    }

    static func write(_ credits: CreditSummary, into writer: inout JSONWriter) {
        let account = credits.account
        writer.member("available_credits", string: credits.available.credits)
        writer.member("balance_credits", string: account.balance.credits)
        writer.member("held_credits", string: account.held.credits)
        writer.member("granted_credits", string: account.granted.credits)
        writer.member("adjusted_credits", string: account.adjusted.credits)
        writer.member("spent_credits", string: account.spent.credits)
        writer.member("expired_credits", string: account.expired.credits)
        writer.member("voided_credits", string: account.voided.credits)
        writer.member("overage_credits", string: account.overage.credits)
        writer.member("invoiced_credits", string: account.invoiced.credits)
        writer.key("lots")
        writer.array(credits.lots) { write($1, into: &$0) }
        writer.key("allocations")
        writer.array(credits.allocations) { write($1, into: &$0) }
    }

    private static func write(_ lot: Lot, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("lot", string: lot.id.text)
            writer.member("category", string: lot.category.name)
            writer.member("priority", integer: lot.priority)
            writer.member("granted_credits", string: lot.granted.credits)
            writer.member("available_credits", string: lot.left.credits)
            writer.member("spent_credits", string: lot.spent.credits)
            writer.member("expired_credits", string: lot.expired.credits)
            writer.member("voided_credits", string: lot.voided.credits)
            writer.member("effective_at", string: lot.effectiveAt.rfc3339)
            if let time = lot.expiresAt {
                writer.member("expires_at", string: time.rfc3339)
            } else {
                writer.member(null: "expires_at")
            }
            writer.member("position", integer: lot.position)
        }
    }

    private static func write(_ status: AllocationStatus, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("user", string: status.allocation.user.text)
            writer.member("mode", string: status.allocation.mode.name)
            writer.member("credits", string: status.allocation.credits.credits)
            writer.member("period", string: status.allocation.period.name)
            writer.member("drawn_credits", string: status.drawn.credits)
            writer.member("remaining_credits", string: status.remaining.credits)
            if let time = status.resetsAt {
                writer.member("resets_at", string: time.rfc3339)
            } else {
                writer.member(null: "resets_at")
            }
        }
    }

    /// Newest first; `next` goes on. As CSV with `format=csv`, the cursor in `X-Next-Cursor`.
    func getStatement(_ org: Name, _ question: Question) async throws -> Response {
        try question.check("limit", "cursor", "format")
        var cursor: StatementCursor?
        if let text = question["cursor"] {
            guard let given = StatementCursor(text) else {
                throw ProblemError(400, "invalid_parameter", "cursor is what `next` gave", field: "cursor")
            }
            cursor = given
        }
        let format = question["format"] ?? "json"
        guard format == "json" || format == "csv" else {
            throw ProblemError(400, "invalid_parameter", "format is json or csv", field: "format")
        }
        let asked = StatementQuery(owner: .org(org), before: cursor, limit: try question.limit())
        let seen = try await ask(asked, question)
        if seen.answer.entries.isEmpty && cursor == nil {
            // No movement yet, or nobody of that name.
            let known = try await ask(CreditsQuery(owner: .org(org), now: question.now), question)
            guard known.answer != nil else { throw Question.unknown("org", org) }
        }
        return format == "csv" ? API.csv(seen) : API.json(seen)
    }

    private static func json(_ seen: Seen<StatementPage>) -> Response {
        Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("lines")
                writer.array(seen.answer.entries) { writer, entry in
                    writer.object { writer in
                        writer.member("position", integer: entry.position)
                        writer.member("time", string: entry.time.rfc3339)
                        writer.member("what", string: entry.movement.kind.name)
                        writer.member("amount_credits", string: entry.movement.amount.credits)
                        writer.member("balance_credits", string: entry.movement.balanceAfter.credits)
                        if let user = entry.movement.user { writer.member("user", string: user.text) }
                        if let model = entry.model { writer.member("model", string: model.text) }
                        if entry.movement.overage != .zero {
                            writer.member("overage_credits", string: entry.movement.overage.credits)
                        }
                        if entry.movement.invoiced != .zero {
                            writer.member("invoiced_credits", string: entry.movement.invoiced.credits)
                        }
                        if let settlement = entry.settlement {
                            writer.member("authorization", string: settlement.authorization.text)
                            writer.member("settlement", string: settlement.kind.name)
                            writer.member("held_credits", string: settlement.held.credits)
                        }
                        writer.key("slices")
                        writer.array(entry.movement.slices) { writer, slice in
                            writer.object { writer in
                                writer.member("lot", string: slice.lot.text)
                                writer.member("credits", string: slice.amount.credits)
                            }
                        }
                    }
                }
                if let next = seen.answer.next {
                    writer.member("next", string: next.text)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    /// RFC 4180; the first line names the columns.
    private static func csv(_ seen: Seen<StatementPage>) -> Response {
        var text = "position,time,what,amount_credits,balance_credits,user,model,overage_credits,invoiced_credits,"
            + "authorization,settlement,held_credits\r\n"
        for entry in seen.answer.entries {
            let cells = [
                String(entry.position), entry.time.rfc3339, entry.movement.kind.name, entry.movement.amount.credits,
                entry.movement.balanceAfter.credits, cell(entry.movement.user), cell(entry.model),
                entry.movement.overage.credits, entry.movement.invoiced.credits,
                cell(entry.settlement?.authorization), entry.settlement?.kind.name ?? "",
                entry.settlement?.held.credits ?? "",
            ]
            text += cells.joined(separator: ",") + "\r\n"
        }
        var headers = [("Content-Type", "text/csv; charset=utf-8"), ("X-Position", String(seen.position))]
        if let next = seen.answer.next { headers.append(("X-Next-Cursor", next.text)) }
        return Response(status: 200, headers: headers, body: Array(text.utf8))
    }

    /// Quoted always: a name may hold anything but control characters. A leading sign or "=" gets an apostrophe, so
    /// that no spreadsheet takes a customer's name for a formula.
    private static func cell(_ name: Name?) -> String {
        guard let name else { return "" }
        var text = name.text
        if let first = text.utf8.first, [0x3D, 0x2B, 0x2D, 0x40].contains(first) { text = "'" + text }
        var quoted = "\""
        for character in text.unicodeScalars {
            if character == "\"" { quoted += "\"" }
            quoted.unicodeScalars.append(character)
        }
        return quoted + "\""
    }

    /// One page about an org: plan and calls, credits, this month's tokens and spend, last activity.
    func getOrg(_ org: Name, _ question: Question) async throws -> Response {
        try question.check()
        let now = question.now
        let calls = try await ask(CallsQuery(owner: .org(org), span: .current, now: now), question)
        let credits = try await ask(CreditsQuery(owner: .org(org), now: now), question)
        let period = calls.answer.period
        let tokens = try await ask(
            TokensQuery(org: org, from: period.lowerBound, to: period.upperBound), question)
        let activity = try await ask(ActivityQuery(org: org), question)
        guard calls.answer.isKnown || credits.answer != nil || activity.answer != nil else {
            throw Question.unknown("org", org)
        }
        // What every part of the page has seen.
        let position = min(calls.position, credits.position, tokens.position, activity.position)
        return Answers.json(position: position) { writer in
            writer.object { writer in
                writer.member("org", string: org.text)
                if let plan = calls.answer.plan {
                    writer.member("plan", string: plan.text)
                } else {
                    writer.member(null: "plan")
                }
                writer.key("calls")
                API.write(calls.answer, into: &writer)
                writer.key("credits")
                if let credits = credits.answer {
                    writer.object { API.write(credits, into: &$0) }
                } else {
                    writer.null()
                }
                writer.key("month")
                writer.object { API.write(tokens.answer.totals, into: &$0) }
                if let time = activity.answer {
                    writer.member("last_activity", string: time.rfc3339)
                } else {
                    writer.member(null: "last_activity")
                }
            }
        }
    }
}
