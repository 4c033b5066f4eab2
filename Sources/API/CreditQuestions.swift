internal import Billing
internal import EventLog
internal import Formats
internal import HTTP
internal import JSON
internal import Projections

/// Balances, and the page of an org (contract 4).
extension API {
    func getCredits(_ owner: Owner, _ question: Question) async throws -> Response {
        try question.check("as_of", "effective")
        let seen: Seen<CreditSummary?>
        if let past = try question.past(highWater: log.highWater) {
            let credits = try await creditsAsOf(past, owner, user: nil)
            seen = Seen(position: credits.position, answer: credits.answer.summary)
        } else {
            seen = try await ask(CreditsQuery(owner: owner, now: question.now), question)
        }
        guard let credits = seen.answer else { throw Question.unknown(owner.kind, owner.name) }
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.member(owner.kindKey, string: owner.name.text)
                AnswerFormat.writeMembers(of: credits, into: &writer)
            }
        }
    }

    func getCredits(org: Name, user: Name, _ question: Question) async throws -> Response {
        try question.check("as_of", "effective")
        let seen: Seen<UserCredits?>
        if let past = try question.past(highWater: log.highWater) {
            let found = try await creditsAsOf(past, .org(org), user: user)
            let answer = found.answer
            let credits = answer.summary.map { pool in
                UserCredits(
                    pool: pool, available: answer.available ?? .zero, spent: answer.spent, overage: answer.overage,
                    allocation: pool.allocations.first { $0.allocation.user == user })
            }
            seen = Seen(position: found.position, answer: credits)
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
                writer.array(credits.pool.lots) { AnswerFormat.write($1, into: &$0) }
                writer.key("allocations")
                writer.array(credits.allocation.map { [$0] } ?? []) { AnswerFormat.write($1, into: &$0) }
            }
        }
    }

    private func creditsAsOf(
        _ past: Question.PastAsked, _ owner: Owner, user: Name?
    ) async throws -> Seen<AsOf.Credits> {
        try API.orOverloaded(
            try await asOf.credits(of: owner, user: user, at: past.moment, effective: past.effective))
    }

    /// The answer of the past, when there was room to ask.
    static func orOverloaded<Answer>(_ answer: Answer?) throws -> Answer {
        guard let answer else {
            throw ProblemError(
                problem: Problem(
                    503, "overloaded", "more than \(AsOf.pendingMax) ask for the past already",
                    headers: [("Retry-After", "5")]))
        }
        return answer
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
                AnswerFormat.write(calls.answer, into: &writer)
                writer.key("credits")
                if let credits = credits.answer {
                    writer.object { AnswerFormat.writeMembers(of: credits, into: &$0) }
                } else {
                    writer.null()
                }
                writer.key("month")
                writer.object { AnswerFormat.writeMembers(of: tokens.answer.totals, into: &$0) }
                if let time = activity.answer {
                    writer.member("last_activity", string: time.rfc3339)
                } else {
                    writer.member(null: "last_activity")
                }
            }
        }
    }
}
