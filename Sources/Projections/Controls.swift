internal import Billing
internal import Records
internal import SQLite

/// Plans, assignments and prices: the memory of a projection, restored from the positions it keeps in `controls`.
struct Controls {
    static func table(tag: UInt8) -> Table {
        Table("controls", tag: tag, kind: .appended, keys: [.integer("position")])
    }

    private let table: Table
    private let keepsPrices: Bool
    /// Rating remembers the rules it found in it: a cache, which changes no answer.
    var catalog = Catalog()
    /// Eight bytes each; records of this kind are few.
    private var positions: [UInt64] = []
    private var flushed = 0

    init(table: Table, keepsPrices: Bool) {
        self.table = table
        self.keepsPrices = keepsPrices
    }

    mutating func load(from database: Database, log: any RecordSource) throws {
        try database.rows("SELECT position FROM controls ORDER BY position") { row in
            positions.append(UInt64(row.integer(at: 0)))
        }
        flushed = positions.count
        for position in positions {
            guard let record = try log.record(at: position) else {
                throw RecordFault(position: position, reason: "the log does not have it")
            }
            catalog.apply(record.event.fact, position: position, at: record.occurredAt)
        }
    }

    /// Takes a record of a plan, an assignment or (when kept) prices; anything else changes nothing.
    mutating func apply(_ record: Record) {
        switch record.event.fact {
        case .planDefined, .planAssigned: break
        case .pricesPublished where keepsPrices: break
        default: return
        }
        catalog.apply(record.event.fact, position: record.position, at: record.occurredAt)
        positions.append(record.position)
    }

    mutating func flush(into sink: any RowSink) throws {
        for position in positions[flushed...] {
            try sink.append([], key: [.integer(Int64(position))], to: table)
        }
        flushed = positions.count
    }

    /// Takes such a record into a catalog that is kept elsewhere.
    mutating func apply(_ record: Record, to other: inout Catalog) {
        // Moved in and out: a copy would be made at the first change of either.
        swap(&catalog, &other)
        apply(record)
        swap(&catalog, &other)
    }

    /// The catalog as it was when the record at `position` was folded: what a charge was made with.
    /// `current` is the one of today, when it is kept elsewhere.
    func catalog(at position: UInt64, current: Catalog? = nil) -> Catalog {
        (current ?? catalog).before(position)
    }
}
