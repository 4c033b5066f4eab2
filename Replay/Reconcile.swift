import Billing
import EventLog
import Formats
import Glibc
import JSON
import Platform
import Records

/// `reconcile`: the log against a gateway's own spend log or a provider's usage export.
func reconcile(_ words: [String]) throws -> Int32 {
    let arguments = try Arguments(
        words,
        options: [
            "against", "format", "from", "to", "org", "source", "by", "columns", "tolerance-usd", "tolerance-ms",
            "limit",
        ])
    let request = try ReconcileRequest(arguments)
    let history = History(try DataFolder(try arguments.folder()).log)
    var books = Reconciliation(
        timeToleranceMilliseconds: request.toleranceMilliseconds, costTolerance: request.toleranceCost)
    var report = ReconcileReport(json: arguments.json, limit: request.limit)
    try readTheirs(request) { row in
        if let finding = books.add(row) { report.add(finding, nil) }
        if !row.isBookkeeping { report.countThere(row) }
    }
    let range = request.range(books.times)
    let ours = try OurCalls(history, request: request, range: range)
    if request.by.contains(.id) {
        try ours.each(title: "reconcile") { call in
            if let finding = books.findByID(call) { report.add(finding, call) }
        }
    }
    try ours.each(title: "reconcile, the rest") { call in
        report.countHere(call)
        if request.by.contains(.facts) {
            if let finding = books.findByFacts(call) { report.add(finding, call) }
        } else if !books.isFound(call) {
            report.add(.missingThere, call)
        }
    }
    books.missingHere { report.add($0, nil) }
    report.finish(
        duplicatesThere: books.duplicatesThere, bookkeepingThere: books.bookkeepingThere, range: range)
    return report.agrees ? ExitCode.holds : ExitCode.differs
}

struct ReconcileRequest {
    enum Format: String, CaseIterable {
        case litellm, csv
    }

    let path: String
    let format: Format
    let named: [SpendRow.Member: String]
    let by: Set<Reconciliation.By>
    let org: Name?
    /// What `source` of the log's events begins with.
    let source: String
    let toleranceMilliseconds: Int64
    let toleranceCost: Decimal
    let limit: Int
    private let from: Timestamp?
    private let until: Timestamp?

    init(_ arguments: Arguments) throws {
        guard let path = arguments["against"] else { throw Refusal(text: "reconcile against what? --against FILE") }
        self.path = path
        if let name = arguments["format"] {
            guard let format = Format(rawValue: name) else {
                throw Refusal(text: "--format is litellm or csv, not \"\(name)\"")
            }
            self.format = format
        } else {
            format = path.lowercased().hasSuffix(".csv") ? .csv : .litellm
        }
        var named: [SpendRow.Member: String] = [:]
        for pair in arguments["columns"]?.split(separator: ",") ?? [] {
            let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let member = SpendRow.Member(rawValue: parts[0]) else {
                let known = SpendRow.Member.allCases.map(\.rawValue).joined(separator: ", ")
                throw Refusal(text: "--columns is MEMBER=COLUMN,... with a member of \(known); not \"\(pair)\"")
            }
            named[member] = parts[1]
        }
        guard named.isEmpty || format == .csv else { throw Refusal(text: "--columns is for --format csv") }
        self.named = named
        if let name = arguments["by"] {
            guard let by = Reconciliation.By(rawValue: name) else {
                throw Refusal(text: "--by is id or facts; without it both, in this order")
            }
            self.by = [by]
        } else {
            by = Set(Reconciliation.By.allCases)
        }
        org = try arguments.name("org")
        source = arguments["source"] ?? (format == .litellm ? "litellm/" : "")
        // LiteLLM's database keeps milliseconds, the log microseconds; exports mostly keep seconds.
        let milliseconds = try arguments.integer("tolerance-ms", in: 0...86_400_000)
        toleranceMilliseconds = milliseconds.map { Int64($0) } ?? (format == .litellm ? 1 : 1000)
        do {
            toleranceCost = try Decimal(parsing: (arguments["tolerance-usd"] ?? "0").utf8)
        } catch {
            throw Refusal(text: "--tolerance-usd is an amount of dollars")
        }
        guard toleranceCost.mantissa >= 0 else { throw Refusal(text: "--tolerance-usd must not be negative") }
        limit = Int(try arguments.integer("limit", in: 0...1_000_000) ?? 50)
        from = try arguments.time("from")
        until = try arguments.time("to")
        if let from, let until, until <= from { throw Refusal(text: "--to is not after --from") }
    }

    /// Times `[from, until)` in which calls are compared: as asked, else from their first row to their last, with the
    /// tolerance around.
    func range(_ times: ClosedRange<Timestamp>?) -> Range<Timestamp> {
        let tolerance = toleranceMilliseconds * 1000
        let first = from ?? times.map { Timestamp(microseconds: $0.lowerBound.microseconds - tolerance) } ?? .earliest
        let last = until ?? times.map { Timestamp(microseconds: $0.upperBound.microseconds + tolerance + 1) } ?? .latest
        return first..<max(first, last)
    }

    func wants(_ row: SpendRow) -> Bool {
        if let org, let theirs = row.org, theirs != org.text { return false }
        guard let time = row.time else { return from == nil && until == nil }
        return (from.map { $0 <= time } ?? true) && (until.map { time < $0 } ?? true)
    }
}

/// Reads their file, a piece at a time.
private func readTheirs(_ request: ReconcileRequest, _ body: (SpendRow) throws -> Void) throws {
    let file = open(request.path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Refusal(text: "\(request.path): \(String(cString: strerror(errno)))") }
    defer { close(file) }
    var count = 0
    func take(_ row: SpendRow) throws {
        guard request.wants(row) else { return }
        count += 1
        guard count <= Reconciliation.rowsMax else {
            throw Refusal(text: "more than \(Reconciliation.rowsMax) rows: narrow the time with --from and --to")
        }
        try body(row)
    }
    var csv = CSVReader()
    var columns: SpendRow.Columns?
    func record(_ fields: [String], line: Int) throws {
        do {
            if let columns {
                try take(try columns.row(fields))
            } else {
                columns = try SpendRow.Columns(header: fields, named: request.named)
            }
        } catch let fault as SpendRow.Fault {
            throw Refusal(text: "\(request.path): line \(line): \(fault)")
        }
    }
    var json = JSONSplitter()
    func object(_ bytes: [UInt8], offset: Int) throws {
        do {
            try take(try SpendRow(litellm: bytes))
        } catch let fault as SpendRow.Fault {
            throw Refusal(text: "\(request.path): the row at byte \(offset): \(fault)")
        }
    }
    do {
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let got = read(file, &buffer, buffer.count)
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw Refusal(text: "\(request.path): \(String(cString: strerror(errno)))") }
            if got == 0 { break }
            switch request.format {
            case .csv: try csv.push(buffer[..<got], record)
            case .litellm: try json.push(buffer[..<got], object)
            }
        }
        switch request.format {
        case .csv: try csv.end(record)
        case .litellm: try json.end()
        }
    } catch let fault as CSVReader.Fault {
        throw Refusal(text: "\(request.path): \(fault)")
    } catch let fault as JSONSplitter.Fault {
        throw Refusal(text: "\(request.path): \(fault)")
    }
    if request.format == .csv && columns == nil { throw Refusal(text: "\(request.path) has no header") }
}

/// The log's calls that are compared, as they stand.
private struct OurCalls {
    private let history: History
    private let request: ReconcileRequest
    private let range: Range<Timestamp>
    /// By the position of the call's record: the amended call, nil when it was voided.
    private var corrected: [UInt64: Billing.Call?] = [:]

    init(_ history: History, request: ReconcileRequest, range: Range<Timestamp>) throws {
        self.history = history
        self.request = request
        self.range = range
        var corrected: [UInt64: Billing.Call?] = [:]
        try history.read(only: [.callVoided, .callAmended]) { record in
            guard let standing = record.event.fact.unwinds else { return }
            if case .callAmended(let amended) = record.event.fact {
                corrected.updateValue(amended.call, forKey: standing.original)
            } else {
                corrected.updateValue(nil, forKey: standing.original)
            }
        }
        self.corrected = corrected
    }

    /// `llm.usage` is no call: whoever sends tokens apart has no row for each. LiteLLM has: of a batch, say.
    func each(title: String, _ body: (Reconciliation.Call) throws -> Void) throws {
        var meter = Meter(title, total: history.highWater)
        try history.read(only: [.call, .usage], reached: { meter.reach($0) }) { record in
            var call: Billing.Call
            switch record.event.fact {
            case .call(let fact): call = fact
            case .usage(let fact) where LiteLLMBody.isSource(record.event.source): call = fact
            default: return
            }
            guard range.contains(record.occurredAt),
                record.event.source.text.utf8.starts(with: request.source.utf8)
            else { return }
            if let correction = corrected[record.position] {
                guard let amended = correction else { return }
                call = amended
            }
            guard request.org == nil || request.org == call.org else { return }
            try body(
                Reconciliation.Call(
                    position: record.position, id: record.event.statedID, time: record.occurredAt,
                    model: call.model.text, inputTokens: call.usage?.inputTokens,
                    outputTokens: call.usage?.outputTokens, cost: call.cost))
        }
        _ = meter.end()
    }
}
