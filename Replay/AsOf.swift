import Billing
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Projections

/// `as-of`: credits, calls and tokens as they were known at a position, and as of an effective time.
func asOf(_ rest: [String]) throws -> Int32 {
    let arguments = try Arguments(
        rest, options: ["org", "user", "what", "effective", "known", "period", "from", "to", "group-by"])
    let folder = try DataFolder(try arguments.folder())
    let owner = try arguments.owner()
    let what = arguments["what"] ?? (owner == nil ? "tokens" : "all")
    guard ["credits", "calls", "tokens", "all"].contains(what) else {
        throw Refusal(text: "--what is credits, calls, tokens or all")
    }
    guard owner != nil || what == "tokens" else {
        throw Refusal(text: "whose \(what)? --org ORG or --user USER (tokens alone may be everyone's)")
    }
    let moment = try folder.moment(arguments["known"], "known")
    let known = moment.position
    let past = Past(known: known, effective: try arguments.time("effective"))
    var meter = Meter("as-of", total: known)
    var reporter = try PastReporter(past, of: owner, log: folder.source) { meter.reach($0) }
    try arguments.ask(&reporter)
    try folder.source.forEach(through: known, progress: { meter.reach($0) }) { try reporter.take($0) }
    _ = meter.end()
    let report = try reporter.report(at: moment.judgedAt)
    if arguments.json {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("known", integer: known)
            writer.member("effective", string: past.effective?.rfc3339)
            if let owner { writer.owner(owner) }
            ReportFormat.writeMembers(of: report, what, into: &writer)
        }
        print(writer.text)
    } else {
        var line = "known: the log to position \(known)"
        if let effective = past.effective { line += "; effective: facts of times to \(effective.rfc3339)" }
        print(([line] + ReportFormat.lines(report, what)).joined(separator: "\n"))
    }
    return ExitCode.holds
}

extension Arguments {
    /// Which calls and tokens: `--period`, `--from`, `--to`, `--group-by`.
    func ask(_ reporter: inout PastReporter) throws {
        if let text = self["period"] {
            guard let span = CallsQuery.Span(text) else {
                throw Refusal(text: "--period is a month (2025-11) or a day (2025-11-03)")
            }
            reporter.span = span
        }
        reporter.from = try day("from", isEnd: false)
        reporter.to = try day("to", isEnd: true)
        for part in (self["group-by"] ?? "").split(separator: ",") {
            guard let dimension = TokensAnswer.Dimension(part), !reporter.groups.contains(dimension) else {
                let known = TokensAnswer.Dimension.allCases.map(\.rawValue).joined(separator: ", ")
                throw Refusal(text: "--group-by takes each of these once: \(known)")
            }
            reporter.groups.append(dimension)
        }
    }
}

/// A report of the past as JSON and as text.
enum ReportFormat {
    static func writeMembers(of report: PastReport, _ what: String = "all", into json: inout JSONWriter) {
        json.member("judged_at", string: report.judgedAt.rfc3339)
        if what == "credits" || what == "all" {
            json.key("credits")
            if let credits = report.credits {
                json.object { AnswerFormat.writeMembers(of: credits, into: &$0) }
            } else {
                json.null()
            }
        }
        if what == "calls" || what == "all", let calls = report.calls {
            json.key("calls")
            AnswerFormat.write(calls, into: &json)
        }
        if what == "tokens" || what == "all" {
            json.key("tokens")
            AnswerFormat.write(report.tokens, into: &json)
        }
    }

    static func lines(_ report: PastReport, _ what: String = "all") -> [String] {
        var lines: [String] = []
        if what == "credits" || what == "all" {
            if let credits = report.credits {
                let account = credits.account
                lines.append(
                    row("credits", "balance \(account.balance.credits), available \(credits.available.credits), held "
                        + "\(account.held.credits), overage \(account.overage.credits)"))
                for lot in credits.lots {
                    lines.append(row("  lot \(lot.id)", "\(lot.left.credits) left of \(lot.granted.credits)"))
                }
            } else {
                lines.append(row("credits", "nothing is known"))
            }
        }
        if what == "calls" || what == "all", let calls = report.calls {
            let period = "\(calls.period.lowerBound.text) to \(calls.period.upperBound.text)"
            lines.append(row("calls", "\(calls.used) used, \(period), plan \(calls.plan?.text ?? "none")"))
            for limit in calls.limits {
                lines.append(
                    row(
                        "  per \(limit.limit.per.name)",
                        "\(limit.used) of \(limit.limit.limit), \(limit.remaining) left"))
            }
        }
        if what == "tokens" || what == "all" {
            for tokens in report.tokens.rows {
                lines.append(row("  " + group(tokens, report.tokens.groups), text(tokens.totals)))
            }
            lines.append(row("tokens", text(report.tokens.totals)))
        }
        return lines
    }

    static func text(_ totals: TokensAnswer.Totals) -> String {
        "\(totals.calls) calls, \(totals.inputTokens) in, \(totals.outputTokens) out, "
            + "\(totals.charge.credits) credits, \(totals.cost.dollars) USD reported, \(totals.unpricedCalls) unpriced"
    }

    /// "2025-11-03 gpt-4o"; "-" for what calls did not state.
    static func group(_ row: TokensAnswer.Row, _ groups: [TokensAnswer.Dimension]) -> String {
        groups.map { dimension in
            switch dimension {
            case .day: row.day?.text ?? "-"
            case .org: row.org?.text ?? "-"
            case .model: row.model?.text ?? "-"
            case .provider: row.provider?.text ?? "-"
            case .user: row.user?.text ?? "-"
            case .service: row.service?.text ?? "-"
            case .keySource: row.keySource?.name ?? "-"
            }
        }.joined(separator: " ")
    }

    private static func row(_ heading: String, _ text: String) -> String { ExplanationText.row(heading, text) }
}
