internal import Billing
internal import HTTP
internal import JSON
internal import Projections

/// Alerts, and what they said.
extension API {
    func listAlerts(_ question: Question) async throws -> Response {
        try question.check("state", "org", "after", "limit")
        var state: AlertStatus.State?
        if let text = question["state"] {
            guard let given = AlertStatus.State.allCases.first(where: { $0.name == text }) else {
                throw ProblemError(400, "invalid_parameter", "state is armed, fired or ended", field: "state")
            }
            state = given
        }
        var after: Name?
        if let text = question["after"] {
            guard let name = Name(text) else {
                throw ProblemError(400, "invalid_parameter", "after is the name of an alert", field: "after")
            }
            after = name
        }
        let limit = try question.limit()
        let asked = AlertsQuery(
            state: state, org: try alertOrg(question), after: after, limit: limit, now: question.now)
        let seen = try await ask(asked, question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("alerts")
                writer.array(seen.answer) { writer, status in writer.object { API.write(status, into: &$0) } }
                if seen.answer.count == limit, let last = seen.answer.last {
                    writer.member("next", string: last.alert.name.text)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    func listFirings(_ question: Question) async throws -> Response {
        try question.check("org", "after", "limit")
        let after = Int64(try question.integer("after", in: 0...UInt64(Int64.max)) ?? 0)
        let limit = try question.limit()
        let asked = FiringsQuery(org: try alertOrg(question), after: after, limit: limit)
        let seen = try await ask(asked, question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("firings")
                writer.array(seen.answer) { writer, firing in writer.object { API.write(firing, into: &$0) } }
                if seen.answer.count == limit, let last = seen.answer.last {
                    writer.member("next", integer: last.number)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    /// A key that is confined to an org sees that org's alerts, and nothing of any other.
    private func alertOrg(_ question: Question) throws -> Name? {
        guard let text = question["org"] else { return question.key.org }
        return try question.org(text)
    }

    private static func write(_ status: AlertStatus, into writer: inout JSONWriter) {
        writer.member("alert", string: status.alert.name.text)
        writer.member(status.alert.owner.kindKey, string: status.alert.owner.name.text)
        write(status.alert.condition, into: &writer)
        writer.member("enabled", bool: status.alert.isEnabled)
        writer.member("state", string: status.state.name)
        writer.member("position", integer: status.definedAt)
        if let position = status.firedAt {
            writer.member("fired_position", integer: position)
        } else {
            writer.member(null: "fired_position")
        }
    }

    /// The condition as `alert.defined` spells it, but for `per`.
    private static func write(_ condition: Alert.Condition, into writer: inout JSONWriter) {
        switch condition {
        case .balanceBelow(let money): writer.member("balance_below_credits", string: money.credits)
        case .callsPercent(let percent): writer.member("calls_percent", integer: percent)
        case .spend(let money, let per):
            writer.member("spend_credits", string: money.credits)
            writer.member("per", string: per.name)
        case .daysLeft(let days): writer.member("days_left", integer: days)
        }
    }

    private static func write(_ firing: AlertFiring, into writer: inout JSONWriter) {
        writer.member("number", integer: firing.number)
        writer.member("alert", string: firing.alert.text)
        writer.member(firing.owner.kindKey, string: firing.owner.name.text)
        writer.member("kind", string: firing.kind.name)
        writer.member("position", integer: firing.position)
        writer.member("time", string: firing.time.rfc3339)
        write(firing.condition, into: &writer)
        let value = firing.reading.value
        switch firing.condition {
        case .balanceBelow: writer.member("balance_credits", string: value.map { Money(nanos: $0).credits } ?? "0")
        case .spend: writer.member("spent_credits", string: value.map { Money(nanos: $0).credits } ?? "0")
        case .callsPercent:
            if let window = firing.window { writer.member("per", string: window.per.name) }
            if let value { writer.member("calls_used", integer: value) } else { writer.member(null: "calls_used") }
            if let limit = firing.reading.limit {
                writer.member("calls_limit", integer: limit)
            } else {
                writer.member(null: "calls_limit")
            }
        case .daysLeft:
            if let value { writer.member("lasts_days", integer: value) } else { writer.member(null: "lasts_days") }
        }
        if let days = firing.window?.days {
            writer.key("period")
            writer.object { writer in
                writer.member("start", string: days.lowerBound.start.rfc3339)
                writer.member("end", string: days.upperBound.start.rfc3339)
            }
        } else {
            writer.member(null: "period")
        }
    }
}
