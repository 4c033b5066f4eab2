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

    private struct Key: Hashable {
        var isUser: Bool
        /// In the pool of names.
        var owner: UInt32
        var day: Day
    }

    /// The rows of a call's owners on a day, until the next flush; -1 for no such owner.
    struct Places {
        fileprivate var flushes: UInt64
        fileprivate var day: Day
        fileprivate var org: Int32 = -1
        fileprivate var user: Int32 = -1
    }

    private struct Window {
        var days: Range<Day>
        var sums: Sums
    }

    /// An owner that alerts look at.
    private struct Watch {
        /// Since the last flush.
        var recent: [Day: Sums] = [:]
        var windows: [Window] = []
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
    private var names = NamePool()
    /// Since the last flush.
    private var pending = Gathered<Key, Sums>()
    private var lastPlaces = ShapeMemory<Places>()
    private var flushes: UInt64 = 0
    /// Before the last flush, without a file only.
    private var earlier: [Owner: [Day: Sums]] = [:]
    private var watches: [Owner: Watch] = [:]

    init(table: Table) {
        self.table = table
    }

    /// From here on what is flushed is read from `database` when it is asked for.
    mutating func load(from database: Database) {
        self.database = database
    }

    // MARK: - Adding

    /// The rows of a call's org and user.
    mutating func places(of call: Call, on day: Day) -> Places {
        if let known = lastPlaces[call.shape], known.flushes == flushes, known.day == day { return known }
        let numbers = names.numbers(of: call)
        var places = Places(flushes: flushes, day: day)
        if numbers.org != 0 { places.org = place(Key(isUser: false, owner: numbers.org, day: day)) }
        if numbers.user != 0 { places.user = place(Key(isUser: true, owner: numbers.user, day: day)) }
        lastPlaces[call.shape] = places
        return places
    }

    private mutating func place(_ key: Key) -> Int32 {
        Int32(pending.place(of: key, new: Sums()))
    }

    /// Adds to the owners of a call alike.
    mutating func add(_ sums: Sums, to call: Call, at places: Places) {
        if places.org >= 0 { pending[Int(places.org)] += sums }
        if places.user >= 0 { pending[Int(places.user)] += sums }
        if watches.isEmpty { return }
        if let org = call.org { note(sums, .org(org), places.day) }
        if let user = call.user { note(sums, .user(user), places.day) }
    }

    /// Adds to one of the owners of a call.
    mutating func add(_ sums: Sums, to owner: Owner, at places: Places) {
        let place =
            switch owner {
            case .org: places.org
            case .user: places.user
            }
        precondition(place >= 0, "\(owner.name) is no owner of its call")
        pending[Int(place)] += sums
        if !watches.isEmpty { note(sums, owner, places.day) }
    }

    /// Adds to any owner.
    mutating func add(_ sums: Sums, to owner: Owner, on day: Day) {
        var isUser = false
        if case .user = owner { isUser = true }
        let number = names.number(of: owner.name)
        pending[Int(place(Key(isUser: isUser, owner: number, day: day)))] += sums
        if !watches.isEmpty { note(sums, owner, day) }
    }

    private mutating func note(_ sums: Sums, _ owner: Owner, _ day: Day) {
        guard let windows = watches[owner]?.windows else { return }
        watches[owner]?.recent[day, default: Sums()] += sums
        for index in windows.indices where windows[index].days.contains(day) {
            watches[owner]?.windows[index].sums += sums
        }
    }

    // MARK: - Asking

    /// From here on sums of this owner can be asked for.
    mutating func watch(_ owner: Owner) {
        guard watches[owner] == nil else { return }
        var watch = Watch()
        for (key, sums) in pending.rows where isOf(owner, key) { watch.recent[key.day, default: Sums()] += sums }
        watches[owner] = watch
    }

    private func isOf(_ owner: Owner, _ key: Key) -> Bool {
        switch owner {
        case .org(let name): !key.isUser && names.text(key.owner).utf8.elementsEqual(name.text.utf8)
        case .user(let name): key.isUser && names.text(key.owner).utf8.elementsEqual(name.text.utf8)
        }
    }

    /// Nobody asks about this owner any more.
    mutating func unwatch(_ owner: Owner) {
        watches[owner] = nil
    }

    /// All of a watched owner on some days, every record so far included.
    mutating func sum(_ owner: Owner, over days: Range<Day>) throws -> Sums {
        guard let watch = watches[owner] else { preconditionFailure("\(owner.name) is not watched") }
        if let known = watch.windows.first(where: { $0.days == days }) { return known.sums }
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
        } else {
            for (day, more) in earlier[owner] ?? [:] where days.contains(day) { sums += more }
        }
        for (day, more) in watch.recent where days.contains(day) { sums += more }
        if watch.windows.count >= OwnerDays.windowsMax { watches[owner]?.windows.removeAll() }
        watches[owner]?.windows.append(Window(days: days, sums: sums))
        return sums
    }

    // MARK: - Rows

    mutating func flush(into sink: any RowSink) throws {
        let rows = pending.rows
        let names = names
        try sink.add(rows.count, to: table) { index, cells in
            let (key, sums) = rows[index]
            cells.integer(key.isUser ? 1 : 0)
            cells.name(key.owner, of: names)
            cells.integer(Int64(key.day.number))
            cells.integer(sums.charged)
            cells.integer(sums.calls)
            cells.integer(sums.byokCalls)
        }
        if database == nil {
            for (key, sums) in rows {
                let name = Name(checked: names.text(key.owner))
                earlier[key.isUser ? .user(name) : .org(name), default: [:]][key.day, default: Sums()] += sums
            }
        }
        for owner in watches.keys { watches[owner]?.recent.removeAll(keepingCapacity: true) }
        pending.removeAll()
        flushes &+= 1
        self.names.trim()
    }
}
