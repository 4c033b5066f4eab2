internal import Billing
internal import EventLog
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON
internal import Projections
internal import Records

/// Statements (contract 4): pages, newest first; or of a period, with opening and closing balance, as JSON pages or
/// whole as CSV and as a page for the printer.
extension API {
    func getStatement(_ owner: Owner, _ question: Question) async throws -> Response {
        try question.check("limit", "cursor", "format", "period", "from", "to", "as_of")
        let format = question["format"] ?? "json"
        guard ["json", "csv", "html"].contains(format) else {
            throw ProblemError(400, "invalid_parameter", "format is json, csv or html", field: "format")
        }
        let isOfPeriod = ["period", "from", "to", "as_of"].contains { question[$0] != nil }
        guard isOfPeriod || format == "html" else { return try await statementPage(owner, format, question) }
        if format == "json" { return try await periodPage(owner, question) }
        for name in ["limit", "cursor"] where question[name] != nil {
            throw ProblemError(
                400, "invalid_parameter", "a statement of a period comes whole as \(format): without \(name)",
                field: name)
        }
        let head = try await statementHead(owner, question)
        if format == "csv" { return stream(StatementCSV(), head) }
        return stream(StatementHTML(head.totals), head)
    }

    /// A page of all movements, newest first.
    private func statementPage(_ owner: Owner, _ format: String, _ question: Question) async throws -> Response {
        var cursor: StatementCursor?
        if let text = question["cursor"] {
            guard let given = StatementCursor(text) else { throw API.badCursor }
            cursor = given
        }
        let asked = StatementQuery(owner: owner, before: cursor, limit: try question.limit())
        let seen = try await ask(asked, question)
        if seen.answer.entries.isEmpty && cursor == nil { try await checkKnown(owner, question) }
        return format == "csv" ? API.csv(seen) : API.json(seen)
    }

    private static var badCursor: ProblemError {
        ProblemError(400, "invalid_parameter", "cursor is what `next` gave", field: "cursor")
    }

    /// No movement may mean that nobody has that name.
    private func checkKnown(_ owner: Owner, _ question: Question, asOf position: UInt64 = 0) async throws {
        let known = try await ask(CreditsQuery(owner: owner, now: question.now), question, asOf: position)
        guard known.answer != nil else { throw Question.unknown(owner.kind, owner.name) }
    }

    private static func json(_ seen: Seen<StatementPage>) -> Response {
        Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("lines")
                writer.array(seen.answer.entries) { writer, entry in
                    StatementJSON.write(entry, balance: MoneySum(entry.movement.balanceAfter), into: &writer)
                }
                if let next = seen.answer.next {
                    writer.member("next", string: next.text)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    private static func csv(_ seen: Seen<StatementPage>) -> Response {
        var bytes = Array((StatementCSV.columns + "\r\n").utf8)
        let csv = StatementCSV()
        for entry in seen.answer.entries {
            csv.line(entry, balance: MoneySum(entry.movement.balanceAfter), into: &bytes)
        }
        var headers = [("Content-Type", StatementCSV.contentType), ("X-Position", String(seen.position))]
        if let next = seen.answer.next { headers.append(("X-Next-Cursor", next.text)) }
        return Response(status: 200, headers: headers, body: bytes)
    }

    // MARK: - Of a period

    /// A page of a period, newest first. All pages know the first one's position and balances: the cursor says them.
    private func periodPage(_ owner: Owner, _ question: Question) async throws -> Response {
        let place: PeriodCursor
        let period = try question.statementPeriod()
        if let text = question["cursor"] {
            guard let given = PeriodCursor(text) else { throw API.badCursor }
            place = given
        } else {
            let head = try await statementHead(owner, question)
            place = PeriodCursor(
                before: StatementCursor(position: head.position + 1, sequence: 0), position: head.position,
                opening: head.totals.opening, closing: head.totals.closing, balance: head.totals.closing)
        }
        let asked = StatementQuery(owner: owner, before: place.before, limit: try question.limit(), period: period)
        // The cursor names the position that all pages are of.
        let seen = try await ask(asked, question, asOf: place.position)
        var next = place
        return Answers.json(position: place.position) { writer in
            writer.object { writer in
                writer.member("from", string: period.from?.rfc3339)
                writer.member("to", string: period.to?.rfc3339)
                writer.member("opening_credits", string: place.opening.credits)
                writer.member("closing_credits", string: place.closing.credits)
                writer.key("lines")
                writer.array(seen.answer.entries) { writer, entry in
                    StatementJSON.write(entry, balance: next.balance, into: &writer)
                    next.balance.nanos &-= Int128(entry.movement.effect.nanos)
                }
                if let before = seen.answer.next {
                    next.before = before
                    writer.member("next", string: next.text)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    /// The balances of a statement, as of one position: added up in pieces, none of which takes a query thread for
    /// long.
    private func statementHead(_ owner: Owner, _ question: Question) async throws -> StatementHead {
        let period = try question.statementPeriod()
        var through: UInt64?
        switch try question.asOf(highWater: log.highWater) {
        case .position(let position): through = position
        case .time(let time):
            let source = EventLogSource(log)
            through = try await reader.run { try source.position(recordedBy: time) }
        case .now, nil: break
        }
        var asked = StatementTotalsQuery(owner: owner, period: period, through: through)
        var totals = StatementTotals()
        var isFirst = true
        while true {
            let seen = try await ask(asked, question, asOf: asked.through ?? 0)
            asked.through = asked.through ?? seen.position
            totals.add(seen.answer.totals)
            if isFirst && seen.answer.reached == nil { try await checkKnown(owner, question, asOf: through ?? 0) }
            isFirst = false
            if seen.answer.isLast { break }
            asked.after = seen.answer.reached
        }
        let position = asked.through ?? 0
        let last = position == 0 ? nil : try await reader.record(at: position)
        return StatementHead(
            owner: owner, period: period, position: position, recordedAt: last?.record.recordedAt,
            recordHash: last?.hash.hex, totals: totals)
    }

    private func stream(_ format: some StatementFormat, _ head: StatementHead) -> Response {
        let name = type(of: format).fileName(head)
        let stream = StatementStream(format, head, models: models)
        return Response(
            status: 200,
            headers: [
                ("Content-Type", type(of: format).contentType), ("X-Position", String(head.position)),
                ("Content-Disposition", "inline; filename=\"\(name)\""),
                // Nothing in it runs or loads: names come from outside.
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
                ("X-Content-Type-Options", "nosniff"),
            ],
            body: .chunks { sink in Task { await stream.next(sink) } })
    }
}

/// A statement on its way out: one piece of movements in memory at a time, read when the piece before has left.
private actor StatementStream<Format: StatementFormat> {
    private let models: ReadModels
    private let head: StatementHead
    private var format: Format
    private var asked: StatementScanQuery
    private var balance: MoneySum
    private var hasBegun = false

    init(_ format: Format, _ head: StatementHead, models: ReadModels) {
        self.format = format
        self.head = head
        self.models = models
        asked = StatementScanQuery(owner: head.owner, period: head.period, through: head.position)
        balance = head.totals.opening
    }

    /// Gives one piece. What cannot be read, or does not add up to what the head said, breaks the answer off: the
    /// client sees that its end is missing.
    func next(_ sink: ChunkSink) async {
        var bytes: [UInt8] = []
        if !hasBegun {
            hasBegun = true
            format.begin(head, into: &bytes)
        }
        while true {
            guard let piece = try? await models.ask(asked).answer else { return sink.send(.broken) }
            for entry in piece.entries {
                balance += entry.movement.effect
                format.line(entry, balance: balance, into: &bytes)
            }
            asked.after = piece.reached ?? asked.after
            if piece.isLast {
                guard balance == head.totals.closing else { return sink.send(.broken) }
                format.end(head, into: &bytes)
                return sink.send(.last(bytes))
            }
            if !piece.entries.isEmpty { return sink.send(.more(bytes)) }
        }
    }
}

/// Where a page of a period's statement begins, and what all its pages agree on.
struct PeriodCursor {
    var before: StatementCursor
    var position: UInt64
    var opening: MoneySum
    var closing: MoneySum
    /// After the next movement, newest first.
    var balance: MoneySum

    init(before: StatementCursor, position: UInt64, opening: MoneySum, closing: MoneySum, balance: MoneySum) {
        self.before = before
        self.position = position
        self.opening = opening
        self.closing = closing
        self.balance = balance
    }

    /// "41-0_120_0_-5_17"; nil for anything else.
    init?(_ text: String) {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5, let before = StatementCursor(parts[0]), let position = UInt64(parts[1]),
            position <= UInt64(Int64.max), let opening = Int128(parts[2]), let closing = Int128(parts[3]),
            let balance = Int128(parts[4])
        else { return nil }
        self.init(
            before: before, position: position, opening: MoneySum(nanos: opening),
            closing: MoneySum(nanos: closing), balance: MoneySum(nanos: balance))
    }

    var text: String { "\(before.text)_\(position)_\(opening.nanos)_\(closing.nanos)_\(balance.nanos)" }
}

extension Question {
    /// `?period=` (a month or a day), or `?from=` and `?to=` (days, of which the start counts, or RFC 3339 times).
    func statementPeriod() throws(ProblemError) -> StatementPeriod {
        let (from, to) = (try time("from"), try time("to"))
        if let text = self["period"] {
            guard from == nil && to == nil else {
                throw ProblemError(400, "invalid_parameter", "period, or from and to: not both", field: "period")
            }
            guard let days = CallsQuery.Span(text)?.calendarDays else {
                throw ProblemError(
                    400, "invalid_parameter", "period must be a month (2025-11) or a day (2025-11-03)",
                    field: "period")
            }
            return StatementPeriod(days)
        }
        if let from, let to, from > to {
            throw ProblemError(400, "invalid_parameter", "from is after to", field: "from")
        }
        return StatementPeriod(from: from, to: to)
    }

    private func time(_ name: String) throws(ProblemError) -> Timestamp? {
        guard let text = self[name] else { return nil }
        guard let time = StatementPeriod.time(text) else {
            throw ProblemError(
                400, "invalid_parameter", "\(name) must be a day (2025-11-03) or an RFC 3339 time", field: name)
        }
        return time
    }
}
