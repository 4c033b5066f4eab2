import Billing
import EventLog
import Formats
import JSON
import Platform
import Projections
import Records

/// `explain --balance`: every movement that made an owner's balance, and the lots that hold it.
func explainBalance(of owner: Owner, in folder: DataFolder, known moment: KnownMoment, json: Bool) throws -> Int32 {
    let known = moment.position
    let list = ListOutput(json: json, meter: Meter("explain", total: known))
    list.begin("movements") { $0.owner(owner) }
    var fold = try StatementFold(of: owner, log: folder.source)
    var balance = Money.zero
    var overage = Money.zero
    var slices: [Name: Money] = [:]
    try folder.source.forEach(through: known, progress: list.reach) { record in
        for entry in try fold.entries(of: record) {
            balance += entry.movement.effect
            overage += entry.movement.overage - entry.movement.invoiced
            for slice in entry.movement.slices { slices[slice.lot, default: .zero] += slice.amount }
            list.add {
                StatementJSON.write(entry, balance: MoneySum(balance), into: &$0)
            } line: {
                var bytes: [UInt8] = []
                StatementText().line(entry, balance: MoneySum(balance), into: &bytes)
                return String(decoding: bytes.dropLast(), as: UTF8.self)
            }
        }
    }
    guard let summary = fold.summary(at: moment.judgedAt) else {
        throw Refusal(text: "nothing is known of \(ExplanationText.text(owner))")
    }
    var fault: String?
    if balance != summary.account.balance {
        fault = "the movements are \(balance.credits), the balance \(summary.account.balance.credits)"
    }
    for lot in summary.lots where slices[lot.id] ?? .zero != -lot.left {
        fault = fault ?? "lot \(lot.id): its slices leave \((-(slices[lot.id] ?? .zero)).credits), "
            + "the lot says \(lot.left.credits)"
    }
    let left = summary.lots.reduce(Money.zero) { $0 + $1.left }
    if left - overage != summary.account.balance || overage != summary.account.overage {
        fault = fault ?? "lots hold \(left.credits) and \(overage.credits) are overage: not the balance "
            + summary.account.balance.credits
    }
    list.end(fault) { json in
        json.member("position", integer: known)
        AnswerFormat.writeMembers(of: summary, into: &json)
    } lines: {
        summary.lots.map {
            ExplanationText.row(
                "lot \($0.id)",
                "granted \($0.granted.credits), spent \($0.spent.credits), expired \($0.expired.credits), "
                    + "voided \($0.voided.credits), left \($0.left.credits)")
        } + [
            ExplanationText.row("overage", (-overage).credits),
            ExplanationText.row("balance", summary.account.balance.credits),
        ]
    }
    return fault == nil ? ExitCode.holds : ExitCode.differs
}

/// `explain --calls` and `explain --tokens`: the calls behind a count, and behind each group of token totals.
func explainUsage(
    _ arguments: Arguments, calls isCalls: Bool, of owner: Owner?, in folder: DataFolder, known moment: KnownMoment
) throws -> Int32 {
    let known = moment.position
    let source = folder.source
    let list = ListOutput(json: arguments.json, meter: Meter("explain", total: known * 2))
    var reporter = try PastReporter(Past(known: known), of: owner, log: source)
    try arguments.ask(&reporter)
    try source.forEach(through: known, progress: list.reach) { try reporter.take($0) }
    let report = try reporter.report(at: moment.judgedAt)
    var days = (reporter.from ?? Day(number: .min))..<(reporter.to ?? Day(number: .max))
    if isCalls, let calls = report.calls { days = calls.period }
    let groups = isCalls ? [] : reporter.groups
    list.begin("events") { json in
        if let owner { json.owner(owner) }
    }
    var usage = UsageChanges(log: source)
    var sums: [[String]: TokensAnswer.Totals] = [:]
    var statuses: [Call.Status: Int64] = [:]
    var sources: [Call.KeySource: Int64] = [:]
    try source.forEach(through: known, progress: { list.reach(known + $0) }) { record in
        for change in try usage.changes(of: record)
        where change.isOf(owner) && days.contains(change.occurredAt.day) && (!isCalls || change.isCall) {
            let group = change.group(groups)
            sums[group, default: TokensAnswer.Totals()] += change.totals
            statuses[change.call.status, default: 0] += change.sign
            sources[change.call.keySource, default: 0] += change.totals.calls
            list.add { json in
                json.object { json in
                    json.member("position", integer: record.position)
                    if change.position != record.position { json.member("stated_at", integer: change.position) }
                    json.member("time", string: change.occurredAt.rfc3339)
                    json.member("source", string: record.event.source.text)
                    json.member("id", string: record.event.statedID)
                    json.member("model", string: change.call.model.text)
                    json.member("status", string: change.call.status.name)
                    json.member("key_source", string: change.call.keySource.name)
                    AnswerFormat.writeMembers(of: change.totals, into: &json)
                }
            } line: {
                let (event, time) = (record.event, change.occurredAt.rfc3339)
                let head = "\(record.position)  \(time)  \(event.source) \(event.statedID)"
                let sign = change.sign < 0 ? "  takes out record \(change.position)" : ""
                return "  \(head)  \(change.call.model)  \(change.call.status.name)  "
                    + "\(ReportFormat.text(change.totals))\(sign)"
            }
        }
    }
    let fault =
        isCalls
        ? report.calls.flatMap { UsageFault.of($0, statuses, sources) } : UsageFault.of(report.tokens, groups, sums)
    list.end(fault) { json in
        json.member("position", integer: known)
        ReportFormat.writeMembers(of: report, isCalls ? "calls" : "tokens", into: &json)
    } lines: {
        ReportFormat.lines(report, isCalls ? "calls" : "tokens")
    }
    return fault == nil ? ExitCode.holds : ExitCode.differs
}

/// What listed calls do not add up to.
private enum UsageFault {
    static func of(
        _ calls: CallsAnswer, _ statuses: [Call.Status: Int64], _ sources: [Call.KeySource: Int64]
    ) -> String? {
        for item in calls.byStatus where item.count != statuses[item.status] ?? 0 {
            return "\(statuses[item.status] ?? 0) calls are listed with the status \(item.status.name), "
                + "\(item.count) are counted"
        }
        for item in calls.byKeySource where item.count != sources[item.keySource] ?? 0 {
            return "\(sources[item.keySource] ?? 0) calls of key source \(item.keySource.name) are listed, "
                + "\(item.count) are counted"
        }
        let platform = sources[.platform] ?? 0
        let used = [platform, platform + (sources[.byok] ?? 0)]
        return used.contains(calls.used) ? nil : "\(used[1]) calls are listed, \(calls.used) are said to be used"
    }

    static func of(
        _ tokens: TokensAnswer, _ groups: [TokensAnswer.Dimension], _ sums: [[String]: TokensAnswer.Totals]
    ) -> String? {
        let zero = TokensAnswer.Totals()
        var total = zero
        for sum in sums.values { total += sum }
        if total != tokens.totals {
            return "the records are \(ReportFormat.text(total)), the total \(ReportFormat.text(tokens.totals))"
        }
        for row in tokens.rows {
            let key = groups.map { ReportFormat.group(row, [$0]) }
            let sum = sums[key] ?? zero
            if sum != row.totals {
                return "\(key.joined(separator: " ")): the records are \(ReportFormat.text(sum)), the group "
                    + ReportFormat.text(row.totals)
            }
        }
        return nil
    }
}

extension UsageChange {
    /// The words of its group, as `ReportFormat.group` has them.
    fileprivate func group(_ groups: [TokensAnswer.Dimension]) -> [String] {
        groups.map { dimension in
            switch dimension {
            case .day: occurredAt.day.text
            case .org: call.org?.text ?? "-"
            case .model: call.model.text
            case .provider: call.provider.text
            case .user: call.user?.text ?? "-"
            case .service: call.service?.text ?? "-"
            case .keySource: call.keySource.name
            }
        }
    }
}

/// `explain --lago-line`: the records behind a sealed line.
func explainLagoLine(_ id: String, in folder: DataFolder, json: Bool) throws -> Int32 {
    guard let wanted = LagoLineID(id) else { throw Refusal(text: "--lago-line is an id such as l-41-1") }
    let source = folder.source
    guard wanted.position <= folder.log.highWater else {
        throw Refusal(text: "the log ends at position \(folder.log.highWater)")
    }
    let list = ListOutput(json: json, meter: Meter("explain", total: wanted.position))
    var model = try PastModel(Lago.self, log: source)
    var fold = try LagoPartsFold(log: source)
    var found: (line: LagoLine, parts: [LagoLinePart])?
    try source.forEach(through: wanted.position, progress: list.reach) { record in
        try model.apply(record)
        for sealed in try fold.take(record) where sealed.line.id == id { found = sealed }
    }
    guard let line = try model.answer(LagoLineQuery(id: wanted)) else { throw Refusal(text: "there is no line \(id)") }
    list.begin("events") { json in
        json.member("line_id", string: id)
        json.member("batch_id", string: LagoBatchID(position: line.position, number: line.batch).text)
    }
    for part in found?.parts ?? [] {
        list.add { json in
            json.object { json in
                json.member("position", integer: part.position)
                if part.stated != part.position { json.member("stated_at", integer: part.stated) }
                json.member("time", string: part.occurredAt.rfc3339)
                json.member("sign", integer: part.sign)
                json.member("credits", string: Money(nanos: part.sign * part.charge.nanos).credits)
                json.member("due_credits", string: Money(nanos: part.sign * part.invoiced.nanos).credits)
                json.member("input_tokens", integer: part.sign * (part.call.usage?.inputTokens ?? 0))
                json.member("output_tokens", integer: part.sign * (part.call.usage?.outputTokens ?? 0))
            }
        } line: {
            let what = part.sign < 0 ? "takes out record \(part.stated)" : part.isCall ? "a call" : "usage"
            return "  \(part.position)  \(part.occurredAt.rfc3339)  \(what)  \(part.sign * part.charge.nanos) n$, "
                + "of it due \(part.sign * part.invoiced.nanos) n$"
        }
    }
    let sums = found.map { LagoPartsFold.sums(of: $0.parts) }
    let fault = sums == line.sums ? nil : "the records do not add up to the line"
    list.end(fault) { json in
        json.member("subscription", string: line.key.subscription.text)
        json.member("provider", string: line.key.provider.text)
        json.member("model", string: line.key.model.text)
        json.member("operation", string: line.key.operation.name)
        json.member("window_start", integer: line.key.windowStart)
        json.member("window_seconds", integer: line.key.windowSeconds)
        json.member("calls", integer: line.sums.calls)
        json.member("input_tokens", integer: line.sums.inputTokens)
        json.member("output_tokens", integer: line.sums.outputTokens)
        json.member("credits", string: line.sums.charge.credits)
        json.member("due_usd", string: line.sums.due.dollars)
        json.member("credit_due_usd", string: line.sums.creditDue.dollars)
    } lines: {
        [
            ExplanationText.row(
                "line \(id)",
                "\(line.key.subscription), \(line.key.provider) \(line.key.model) \(line.key.operation.name): "
                    + "\(line.sums.calls) calls, \(line.sums.charge.credits) credits, \(line.sums.due.dollars) USD due")
        ]
    }
    return fault == nil ? ExitCode.holds : ExitCode.differs
}

/// A list that is printed as it is found, and what it adds up to: one JSON object, or lines.
private final class ListOutput {
    private let json: Bool
    private let output = Output()
    private var meter: Meter
    private var isFirst = true

    init(json: Bool, meter: Meter) {
        self.json = json
        self.meter = meter
    }

    func reach(_ position: UInt64) { meter.reach(position) }

    func begin(_ name: StaticString, _ members: (inout JSONWriter) -> Void) {
        guard json else { return }
        var writer = JSONWriter()
        writer.object { writer in
            members(&writer)
            writer.key(name)
            writer.array(EmptyCollection<Int>()) { _, _ in }
        }
        // Open again: the elements follow.
        output.write(writer.bytes.dropLast(2))
    }

    func add(_ object: (inout JSONWriter) -> Void, line: () -> String) {
        guard json else {
            output.write(line() + "\n")
            return
        }
        var writer = JSONWriter()
        object(&writer)
        if !isFirst { output.write(",\n") }
        isFirst = false
        output.write(writer.bytes)
    }

    func end(_ fault: String?, _ members: (inout JSONWriter) -> Void, lines: () -> [String]) {
        _ = meter.end()
        if json {
            var writer = JSONWriter()
            writer.object { writer in
                members(&writer)
                writer.member("adds_up", bool: fault == nil)
                writer.member("fault", string: fault)
            }
            output.write("],")
            output.write(writer.bytes.dropFirst())
            output.write("\n")
        } else {
            output.write(lines().joined(separator: "\n") + "\n")
            output.write(
                ExplanationText.row("check", fault.map { "DOES NOT ADD UP: \($0)" } ?? "the parts add up") + "\n")
        }
        output.flush()
    }
}
