public import Billing
internal import SQLite

/// Sums of tokens and money, grouped as asked, over days `[from, to)` in UTC, of one org or of all.
public struct TokensQuery: Query {
    public static let model = "tokens"
    /// Rows of one answer; past it the query is refused, so that no answer outgrows memory.
    public static let rowsMax = 50_000

    public typealias Dimension = TokensAnswer.Dimension

    /// Nil: all orgs.
    public var org: Name?
    /// Nil: from the first, to the last.
    public var from: Day?
    public var to: Day?
    /// In the order of the answer's columns; each once. Empty: totals only.
    public var groups: [Dimension]

    public init(org: Name? = nil, from: Day? = nil, to: Day? = nil, groups: [Dimension] = []) {
        precondition(Set(groups).count == groups.count, "a dimension twice: \(groups)")
        self.org = org
        self.from = from
        self.to = to
        self.groups = groups
    }

    /// What `from` and `to` may be: a day "2025-11-03", or an RFC 3339 time, of which the UTC day counts: sums are kept
    /// by day. As an end, a time within a day takes that whole day in.
    public static func day(_ text: String, isEnd: Bool) -> Day? {
        if case .day(let day) = CallsQuery.Span(text) { return day }
        guard let time = Timestamp(rfc3339: text) else { return nil }
        let day = time.day
        return isEnd && time > day.start ? Day(number: day.number + 1) : day
    }

    public func answer(from reader: Reader) throws -> TokensAnswer {
        let columns = groups.map { $0.isName ? "tokens.\($0.rawValue)" : $0.rawValue }.joined(separator: ", ")
        let sums = Tokens.sums.values.map { "wide_sum(\($0.name))" }.joined(separator: ", ")
        let first = Int64(from?.number ?? Int32.min)
        let end = Int64(to?.number ?? Int32.max)
        // The key begins with org and day: going through the orgs reads only the days asked for.
        let source = org == nil
            ? "activity CROSS JOIN tokens ON tokens.org = activity.org"
            : "tokens"
        var sql = "SELECT \(groups.isEmpty ? "" : columns + ", ")\(sums), count(*) FROM \(source)"
        sql += " WHERE day >= ?1 AND day < ?2"
        if org != nil { sql += " AND tokens.org = (SELECT id FROM names WHERE text = ?3)" }
        if !groups.isEmpty { sql += " GROUP BY \(columns) LIMIT \(Self.rowsMax + 1)" }

        var rows: [TokensAnswer.Row] = []
        var names: [Int64: Name] = [:]
        let statement = try reader.database.statement(sql)
        try statement.bind(first, at: 0)
        try statement.bind(end, at: 1)
        if let org { try statement.bind(org.text, at: 2) }
        defer { if statement.isRunning { statement.reset() } }
        while try statement.step() {
            if rows.count == Self.rowsMax { throw QueryError.tooManyRows(max: Self.rowsMax) }
            // Without groups there is one row, of nulls when nothing was found.
            if statement.integer(at: groups.count + Tokens.sums.values.count) == 0 { continue }
            var row = TokensAnswer.Row()
            for (index, group) in groups.enumerated() {
                let number = statement.integer(at: index)
                switch group {
                case .day: row.day = Day(number: Int32(number))
                case .keySource: row.keySource = Call.KeySource(rawValue: UInt8(number))
                case .org: row.org = try name(number, &names, reader)
                case .model: row.model = try name(number, &names, reader)
                case .provider: row.provider = try name(number, &names, reader)
                case .user: row.user = try name(number, &names, reader)
                case .service: row.service = try name(number, &names, reader)
                }
            }
            row.totals = TokensAnswer.Totals { statement.sum(at: groups.count + $0) }
            rows.append(row)
        }
        rows.sort { self.precedes($0, $1) }
        var totals = TokensAnswer.Totals()
        for row in rows { totals += row.totals }
        return TokensAnswer(groups: groups, rows: groups.isEmpty ? [] : rows, totals: totals)
    }

    private func name(_ number: Int64, _ names: inout [Int64: Name], _ reader: Reader) throws -> Name? {
        if number == 0 { return nil }
        if let name = names[number] { return name }
        let text = try reader.database.first("SELECT text FROM names WHERE id = ?", .integer(number)) { $0.text(at: 0) }
        guard let text else { preconditionFailure("name \(number) is in tokens and not in names") }
        let name = Name(checked: text)
        names[number] = name
        return name
    }

    /// By the groups in their order: days up, names by bytes, none first.
    private func precedes(_ left: TokensAnswer.Row, _ right: TokensAnswer.Row) -> Bool {
        func compare<Field: Comparable>(_ left: Field?, _ right: Field?) -> Bool? {
            switch (left, right) {
            case (nil, nil): nil
            case (nil, _): true
            case (_, nil): false
            case (let left?, let right?): left == right ? nil : left < right
            }
        }
        for group in groups {
            let order: Bool? =
                switch group {
                case .day: compare(left.day, right.day)
                case .org: compare(left.org, right.org)
                case .model: compare(left.model, right.model)
                case .provider: compare(left.provider, right.provider)
                case .user: compare(left.user, right.user)
                case .service: compare(left.service, right.service)
                case .keySource: compare(left.keySource?.rawValue, right.keySource?.rawValue)
                }
            if let order { return order }
        }
        return false
    }
}

extension TokensAnswer.Dimension {
    fileprivate var isName: Bool { self != .day && self != .keySource }
}

extension TokensAnswer.Totals {
    /// `column`: the sums in the order of the table's columns.
    init(_ column: (Int) -> Int128) {
        self.init()
        calls = Int64(column(0))
        inputTokens = column(1)
        outputTokens = column(2)
        cacheReadTokens = column(3)
        cacheWriteTokens = column(4)
        reasoningTokens = column(5)
        images = column(6)
        audioMicroseconds = column(7)
        charge = MoneySum(nanos: column(8))
        cost = MoneySum(nanos: column(9))
        unpricedCalls = Int64(column(10))
    }
}

/// The time of the latest call or usage of an org; nil when there was none.
public struct ActivityQuery: Query {
    public static let model = "tokens"
    public var org: Name

    public init(org: Name) {
        self.org = org
    }

    public func answer(from reader: Reader) throws -> Timestamp? {
        try reader.database.integer(
            "SELECT last_at FROM activity WHERE org = (SELECT id FROM names WHERE text = ?)", .text(org.text)
        ).map { Timestamp(microseconds: $0) }
    }
}
