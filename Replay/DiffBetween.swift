import Billing
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Projections
import Records

/// `diff --between A B`: what we told an owner at one position, what we tell at another, and every record between that
/// makes the difference. The records are added up, and must give the difference.
func diffBetween(_ arguments: Arguments, _ ends: (String, String)) throws -> Int32 {
    let folder = try DataFolder(try arguments.folder())
    let owner = try arguments.neededOwner()
    let (from, to) = (try folder.moment(ends.0, "between"), try folder.moment(ends.1, "between"))
    let (first, last) = (from.position, to.position)
    guard first <= last else { throw Refusal(text: "--between: \(ends.0) is after \(ends.1)") }
    var meter = Meter("diff", total: last)
    var reporter = try PastReporter(Past(known: last), of: owner, log: folder.source)
    var usage = UsageChanges(log: folder.source)
    try folder.source.forEach(through: first, progress: { meter.reach($0) }) { record in
        try reporter.take(record)
        _ = try usage.changes(of: record)
    }
    let then = try reporter.report(at: from.judgedAt)
    var difference = Difference(owner: owner)
    let output = DiffOutput(json: arguments.json)
    output.begin(owner, first, then, last)
    try folder.source.forEach(after: first, through: last, progress: { meter.reach($0) }) { record in
        let step = try reporter.take(record)
        let movements = (step?.outcome.movements ?? []).filter { $0.owner == owner }
        let changes = try usage.changes(of: record).filter { $0.isOf(owner) }
        guard !movements.isEmpty || !changes.isEmpty else { return }
        difference.add(movements, changes)
        output.write(record, movements, changes)
    }
    _ = meter.end()
    let now = try reporter.report(at: to.judgedAt)
    let fault = difference.fault(from: then, to: now)
    output.end(now, difference, fault)
    return fault == nil ? ExitCode.holds : ExitCode.differs
}

/// The sum of what records did to one owner.
private struct Difference {
    let owner: Owner
    var records = 0
    /// What movements did to the balance: their amounts, and what of them an invoice takes over.
    var balance = MoneySum.zero
    var totals = TokensAnswer.Totals()

    init(owner: Owner) {
        self.owner = owner
    }

    mutating func add(_ movements: [Movement], _ changes: [UsageChange]) {
        records += 1
        for movement in movements { balance += movement.effect }
        for change in changes { totals += change.totals }
    }

    /// What the records do not explain; nil when they explain all of it.
    func fault(from then: PastReport, to now: PastReport) -> String? {
        let before = MoneySum(then.credits?.account.balance ?? .zero)
        let after = MoneySum(now.credits?.account.balance ?? .zero)
        if before + balance != after {
            return "the balance went from \(before.credits) to \(after.credits); the movements are \(balance.credits)"
        }
        var sum = then.tokens.totals
        sum += totals
        guard sum == now.tokens.totals else {
            return "tokens went from \(ReportFormat.text(then.tokens.totals)) to "
                + "\(ReportFormat.text(now.tokens.totals)); the records are \(ReportFormat.text(totals))"
        }
        return nil
    }
}

/// Lines as they come: nothing is kept, however many records are between.
private final class DiffOutput {
    private let json: Bool
    private let out = Output()
    private var isFirst = true

    init(json: Bool) {
        self.json = json
    }

    func begin(_ owner: Owner, _ first: UInt64, _ then: PastReport, _ last: UInt64) {
        if json {
            var writer = JSONWriter()
            writer.object { writer in
                writer.owner(owner)
                writer.key("then")
                writer.object { writer in
                    writer.member("position", integer: first)
                    ReportFormat.writeMembers(of: then, into: &writer)
                }
            }
            // The object goes on: its end comes last.
            out.write(writer.bytes.dropLast())
            out.write(",\"to\":\(last),\"changes\":[")
        } else {
            out.write("\(ExplanationText.text(owner)) at position \(first), \(then.judgedAt.rfc3339)\n")
            out.write(ReportFormat.lines(then).joined(separator: "\n") + "\nrecords to position \(last)\n")
        }
    }

    func write(_ record: Record, _ movements: [Movement], _ changes: [UsageChange]) {
        guard json else {
            let head = "\(record.position)  \(record.recordedAt.rfc3339)  \(record.event.fact.type)"
            let time = record.occurredAt == record.recordedAt ? "" : ", of \(record.occurredAt.rfc3339)"
            out.write("  \(head)  \(record.event.source) \(record.event.statedID)\(time)\n")
            for movement in movements {
                out.write(ExplanationText.row("  \(movement.kind.name)", movement.amount.credits) + "\n")
            }
            for change in changes {
                out.write(ExplanationText.row(change.sign > 0 ? "  adds" : "  takes out", text(change)) + "\n")
            }
            return
        }
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("position", integer: record.position)
            writer.member("recorded_at", string: record.recordedAt.rfc3339)
            writer.member("time", string: record.occurredAt.rfc3339)
            writer.member("type", string: record.event.fact.type)
            writer.member("source", string: record.event.source.text)
            writer.member("id", string: record.event.statedID)
            writer.key("movements")
            writer.array(movements) { writer, movement in
                writer.object { writer in
                    writer.member("what", string: movement.kind.name)
                    writer.member("amount_credits", string: movement.amount.credits)
                    if movement.invoiced != .zero {
                        writer.member("invoiced_credits", string: movement.invoiced.credits)
                    }
                    writer.member("balance_credits", string: movement.balanceAfter.credits)
                }
            }
            writer.key("usage")
            writer.array(changes) { writer, change in
                writer.object { writer in
                    writer.member("stated_at", integer: change.position)
                    AnswerFormat.writeMembers(of: change.totals, into: &writer)
                }
            }
        }
        if !isFirst { out.write(",") }
        isFirst = false
        out.write(writer.bytes)
    }

    private func text(_ change: UsageChange) -> String {
        "\(change.call.model): \(ReportFormat.text(change.totals))"
    }

    func end(_ now: PastReport, _ difference: Difference, _ fault: String?) {
        if json {
            var writer = JSONWriter()
            writer.object { writer in
                writer.key("now")
                writer.object { ReportFormat.writeMembers(of: now, into: &$0) }
                writer.key("difference")
                writer.object { writer in
                    writer.member("records", integer: difference.records)
                    writer.member("balance_credits", string: difference.balance.credits)
                    AnswerFormat.writeMembers(of: difference.totals, into: &writer)
                }
                writer.member("explained", bool: fault == nil)
                writer.member("fault", string: fault)
            }
            out.write("],")
            out.write(writer.bytes.dropFirst())
            out.write("\n")
        } else {
            out.write("now, \(now.judgedAt.rfc3339)\n" + ReportFormat.lines(now).joined(separator: "\n") + "\n")
            out.write(ExplanationText.row("difference", "balance \(difference.balance.credits) credits") + "\n")
            out.write(ExplanationText.row("", ReportFormat.text(difference.totals)) + "\n")
            let verdict = fault.map { "NOT EXPLAINED: \($0)" } ?? "\(difference.records) records explain all of it"
            out.write(ExplanationText.row("check", verdict) + "\n")
        }
        out.flush()
    }
}
