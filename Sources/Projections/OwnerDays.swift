internal import Billing
internal import SQLite

/// What every owner was charged and called, day by day. All of it is in the rows; memory holds what was gathered since
/// the last flush, and the sums of the windows that alerts look at. A fold without a file keeps everything.
struct OwnerDays {
    struct Sums: Hashable {
        var charged: Int64 = 0
        var calls: Int64 = 0
        var byokCalls: Int64 = 0

        static func += (left: inout Sums, right: Sums) {
            left.charged += right.charged
            left.calls += right.calls
            left.byokCalls += right.byokCalls
        }
    }

    private struct Window {
        var days: Range<Day>
        var sums: Sums
    }

    /// Windows remembered of one owner: days, weeks and months of now, and some of late events.
    private static let windowsMax = 32
    static let allDays = Day(number: .min)..<Day(number: .max)

    static func table(tag: UInt8) -> Table {
        Table(
            "owner_days", tag: tag, kind: .sums, keys: [.integer("owner_kind"), .name("owner"), .integer("day")],
            values: [.integer("charged"), .integer("calls"), .integer("byok_calls")])
    }

    private let table: Table
    private var database: Database?
    /// Since the last flush.
    private var pending: [Owner: [Day: Sums]] = [:]
    /// Before the last flush, without a file only.
    private var earlier: [Owner: [Day: Sums]] = [:]
    private var windows: [Owner: [Window]] = [:]

    init(table: Table) {
        self.table = table
    }

    /// From here on what is flushed is read from `database` when it is asked for.
    mutating func load(from database: Database) {
        self.database = database
    }

    mutating func add(_ sums: Sums, to owner: Owner, on day: Day) {
        pending[owner, default: [:]][day, default: Sums()] += sums
        guard !windows.isEmpty, let known = windows[owner] else { return }
        for index in known.indices where known[index].days.contains(day) {
            windows[owner]?[index].sums += sums
        }
    }

    /// All of an owner on some days, every record so far included.
    mutating func sum(_ owner: Owner, over days: Range<Day>) throws -> Sums {
        if let known = windows[owner]?.first(where: { $0.days == days }) { return known.sums }
        var sums = Sums()
        if let database {
            try database.rows(
                """
                SELECT coalesce(sum(charged), 0), coalesce(sum(calls), 0), coalesce(sum(byok_calls), 0)
                FROM owner_days
                WHERE owner_kind = ? AND owner = (SELECT id FROM names WHERE text = ?) AND day >= ? AND day < ?
                """, .integer(Calls.number(of: owner)), .text(owner.name.text),
                .integer(Int64(days.lowerBound.number)), .integer(Int64(days.upperBound.number))
            ) { row in
                sums = Sums(charged: row.integer(at: 0), calls: row.integer(at: 1), byokCalls: row.integer(at: 2))
            }
        }
        for source in [earlier[owner], pending[owner]] {
            for (day, more) in source ?? [:] where days.contains(day) { sums += more }
        }
        if windows[owner]?.count ?? 0 >= OwnerDays.windowsMax { windows[owner] = nil }
        windows[owner, default: []].append(Window(days: days, sums: sums))
        return sums
    }

    /// Nobody asks about this owner any more.
    mutating func forget(_ owner: Owner) {
        windows[owner] = nil
    }

    mutating func flush(into sink: any RowSink) throws {
        var rows: [SumRow] = []
        for (owner, days) in pending {
            let kind = Value.integer(Calls.number(of: owner))
            let name = Value.text(owner.name.text)
            for (day, sums) in days {
                rows.append(
                    SumRow(
                        key: [kind, name, .integer(Int64(day.number))],
                        sums: [sums.charged, sums.calls, sums.byokCalls]))
                if database == nil { earlier[owner, default: [:]][day, default: Sums()] += sums }
            }
        }
        try sink.add(rows, to: table)
        pending.removeAll(keepingCapacity: true)
    }
}
