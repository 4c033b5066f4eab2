import Billing
import EventLog
import Formats
import Glibc
import Hashing
import Platform
import Projections
import Records

/// `statement`: an owner's movements of a period with opening and closing balance, from the log alone: folded once for
/// the balances, once for the lines, so that no number of lines is kept in memory.
func statement(_ rest: [String]) throws -> Int32 {
    let arguments = try Arguments(
        rest, options: ["org", "user", "period", "from", "to", "known", "format"])
    let folder = try DataFolder(try arguments.folder())
    let owner = try arguments.neededOwner()
    let period = try arguments.statementPeriod()
    let known = try folder.moment(arguments["known"], "known").position
    let format = arguments["format"] ?? (arguments.json ? "json" : "text")
    var meter = Meter("statement", total: known * 2)
    var totals = StatementTotals()
    let source = folder.source
    var fold = try StatementFold(of: owner, log: source)
    try source.forEach(through: known, progress: { meter.reach($0) }) { record in
        for entry in try fold.entries(of: record) {
            let movement = entry.movement
            totals.add(
                movement.kind, amount: movement.amount, invoiced: movement.invoiced, at: entry.time, in: period)
        }
    }
    guard fold.knowsOwner else { throw Refusal(text: "nothing is known of \(ExplanationText.text(owner))") }
    let head = StatementHead(
        owner: owner, period: period, position: known, recordedAt: try source.record(at: known)?.recordedAt,
        recordHash: try folder.log.withRecord(at: known) { RecordCodec.hash($0).hex }, totals: totals)
    var pass = StatementPass(owner: owner, source: source, head: head) { meter.reach(known + $0) }
    switch format {
    case "json": try pass.write(StatementJSON())
    case "csv": try pass.write(StatementCSV())
    case "html": try pass.write(StatementHTML(totals))
    case "text": try pass.write(StatementText())
    default: throw Refusal(text: "--format is json, csv, html or text")
    }
    _ = meter.end()
    // Each movement's own balance was checked on the way; these are the ends.
    if !totals.addsUp || pass.balance != totals.closing {
        Console.error("tallystick-replay: opening balance and movements do not make the closing balance\n")
        return ExitCode.differs
    }
    if period.isEverything && totals.closing != MoneySum(fold.ledgerBalance) {
        Console.error("tallystick-replay: the closing balance is not the ledger's \(fold.ledgerBalance.credits)\n")
        return ExitCode.differs
    }
    return ExitCode.holds
}

/// The second time through the log: the lines, as they come.
private struct StatementPass {
    let owner: Owner
    let source: EventLogSource
    let head: StatementHead
    let progress: (UInt64) -> Void
    /// The opening balance and all lines so far.
    private(set) var balance: MoneySum

    init(owner: Owner, source: EventLogSource, head: StatementHead, progress: @escaping (UInt64) -> Void) {
        self.owner = owner
        self.source = source
        self.head = head
        self.progress = progress
        balance = head.totals.opening
    }

    mutating func write(_ format: some StatementFormat) throws {
        var format = format
        let output = Output()
        var bytes: [UInt8] = []
        format.begin(head, into: &bytes)
        var fold = try StatementFold(of: owner, log: source)
        try source.forEach(through: head.position, progress: progress) { record in
            for entry in try fold.entries(of: record) where head.period.contains(entry.time) {
                balance += entry.movement.effect
                format.line(entry, balance: balance, into: &bytes)
            }
            output.write(bytes)
            bytes.removeAll(keepingCapacity: true)
        }
        format.end(head, into: &bytes)
        output.write(bytes)
        output.flush()
    }
}

extension Arguments {
    /// `--period` (a month or a day), or `--from` and `--to`.
    func statementPeriod() throws -> StatementPeriod {
        func time(_ option: String) throws -> Timestamp? {
            guard let text = self[option] else { return nil }
            guard let time = StatementPeriod.time(text) else {
                throw Refusal(text: "--\(option) is a day (2025-11-03) or an RFC 3339 time")
            }
            return time
        }
        let (from, to) = (try time("from"), try time("to"))
        guard let text = self["period"] else {
            if let from, let to, from > to { throw Refusal(text: "--from is after --to") }
            return StatementPeriod(from: from, to: to)
        }
        guard from == nil && to == nil else { throw Refusal(text: "--period, or --from and --to: not both") }
        guard let days = CallsQuery.Span(text)?.calendarDays else {
            throw Refusal(text: "--period is a month (2025-11) or a day (2025-11-03)")
        }
        return StatementPeriod(days)
    }
}
