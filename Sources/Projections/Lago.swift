internal import Billing
internal import Records
internal import SQLite
internal import Schemas

/// Gathers usage of owners with a Lago subscription into lines, seals them when a window is closed, and follows what
/// became of the batches (contract 6).
public struct Lago: BookProjection {
    public static let name = "lago"
    public static let schemaVersion = 3
    public static var schema: [UInt8] { Schema.book + Schema.lago }
    static let ownTables = [openLines, lines, batches, windows, received]
    /// Until the first window is closed.
    static let windowSecondsDefault: Int64 = 3600

    static let openLines = Table(
        "open_lines", tag: 6, kind: .rows, keys: LagoColumns.key, values: LagoColumns.sums)
    static let lines = Table(
        "lines", tag: 7, kind: .appended, keys: [.integer("position"), .integer("number")],
        values: [.integer("batch")] + LagoColumns.key + LagoColumns.sums)
    static let batches = Table(
        "batches", tag: 8, kind: .rows, keys: [.integer("position"), .integer("number")],
        values: [
            .integer("window_start"), .integer("window_seconds"), .integer("first_position"),
            .integer("last_position"), .integer("lines"), .integer("events"), .integer("state"), .text("detail"),
            .integer("state_position"),
        ])
    static let windows = Table("windows", tag: 9, kind: .rows, keys: [.integer("id")], values: [.integer("seconds")])
    static let received = Table(
        "received", tag: 10, kind: .appended,
        keys: [.text("transaction_id"), .text("org"), .integer("position")])

    private struct Delivery {
        var batch: LagoBatchID
        var state: LagoBatch.State
        var detail: String?
        var position: UInt64
    }

    /// What is due is overage, and overage follows from every owner's lots: so this fold keeps a book too.
    var rows = BookRows()
    private var windowSeconds = Lago.windowSecondsDefault
    private var open = LagoOpenLines()

    // Since the last flush.
    private var changed: [LagoLineKey] = []
    private var removed: Set<LagoLineKey> = []
    private var sealed: [LagoSealed] = []
    private var deliveries: [Delivery] = []
    private var arrived: [(transaction: Name, org: Name?, position: UInt64)] = []
    private var isWindowChanged = false

    public init() {}

    mutating func loadOwn(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try database.rows(Lago.openLines.scanSQL) { row in
            open[LagoColumns.key(row, 0)] = LagoColumns.sums(row, LagoColumns.key.count)
        }
        windowSeconds = try database.integer("SELECT seconds FROM windows") ?? Lago.windowSecondsDefault
    }

    mutating func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws {
        if record.door == .lago { arrived.append((record.event.id, record.event.fact.org, record.position)) }
        switch record.event.fact {
        case .call(let call):
            add(call, isCall: true, outcome: outcome, record: record)
        case .usage(let call):
            add(call, isCall: false, outcome: outcome, record: record)
        case .callVoided(let voided):
            if let standing = voided.unwinds { try unwind(standing, record: record, log: log) }
        case .callAmended(let amended):
            guard let standing = amended.unwinds else { break }
            try unwind(standing, record: record, log: log)
            let usage = LineUsage(
                call: amended.call, isCall: standing.isCall, at: standing.occurredAt,
                charge: outcome.rating?.charge ?? .zero, invoiced: outcome.charge?.invoiced ?? .zero)
            add(usage, sign: 1, subscription: outcome.subscription, position: record.position)
        case .lagoWindowClosed(let closed):
            close(closed, position: record.position)
        case .lagoBatchDelivered(let delivery):
            deliver(delivery, state: .delivered, position: record.position)
        case .lagoBatchFailed(let delivery):
            deliver(delivery, state: .failed, position: record.position)
        default:
            break
        }
    }

    private mutating func add(_ call: Call, isCall: Bool, outcome: borrowing Outcome, record: Record) {
        var invoiced = Money.zero
        for movement in outcome.movements { invoiced += movement.invoiced }
        let usage = LineUsage(
            call: call, isCall: isCall, at: record.occurredAt, charge: outcome.rating?.charge ?? .zero,
            invoiced: invoiced)
        add(usage, sign: 1, subscription: outcome.subscription, position: record.position)
    }

    /// Takes a call out of the line it is in while that is open; from a sealed one, into a new line with the
    /// difference. It went to the subscription of its own time's catalog, whatever was assigned since.
    private mutating func unwind(_ standing: StandingCall, record: Record, log: any RecordSource) throws {
        let usage = LineUsage(
            call: try standing.call(in: log), isCall: standing.isCall, at: standing.occurredAt,
            charge: standing.charge.total, invoiced: standing.charge.invoiced)
        let subscription = rows.catalog(at: standing.position).subscription(for: usage.call, at: usage.at)
        add(usage, sign: -1, subscription: subscription, position: record.position)
    }

    private mutating func add(_ usage: LineUsage, sign: Int64, subscription: Name?, position: UInt64) {
        guard usage.isAny, let subscription else { return }
        let place = open.place(of: usage.call, at: usage.at, subscription: subscription, windowSeconds: windowSeconds)
        if open.needsLine(at: place) { open[place] = LagoSums(at: usage.at, position: position) }
        if !open.change(at: place) { changed.append(open.key(at: place)) }
        open.add(usage, sign: sign, position: position, at: place)
        // A call that was taken back before its line was sealed leaves nothing to tell.
        if sign < 0, open[place]?.isZero == true {
            let key = open.key(at: place)
            open[key] = nil
            removed.insert(key)
        }
    }

    /// Lines cut with another length are sealed by their own end.
    private mutating func close(_ closed: LagoWindowClosed, position: UInt64) {
        if closed.windowSeconds != windowSeconds {
            windowSeconds = closed.windowSeconds
            isWindowChanged = true
        }
        let through = closed.through.microseconds
        let ended = open.sums { $0.windowEnd * Timestamp.microsecondsPerSecond <= through }
        if ended.isEmpty { return }
        for key in ended.keys {
            open[key] = nil
            removed.insert(key)
        }
        sealed.append(LagoSealed(ended, closedBy: position))
    }

    private mutating func deliver(_ delivery: LagoDelivery, state: LagoBatch.State, position: UInt64) {
        // The door answers for ids that are none of ours; one that got into the log all the same changes nothing.
        guard let batch = LagoBatchID(delivery.batch.text) else { return }
        deliveries.append(Delivery(batch: batch, state: state, detail: delivery.detail, position: position))
    }

    mutating func flushOwn(into sink: any RowSink) throws {
        // A line sealed and opened anew since the last flush is in both: first out, then in.
        for key in removed { try sink.remove(key: LagoColumns.cells(key), from: Lago.openLines) }
        removed.removeAll(keepingCapacity: true)
        // Not one sealed since it changed, nor one that is here twice since it was sealed and opened anew.
        var lines: [(key: LagoLineKey, sums: LagoSums)] = []
        lines.reserveCapacity(changed.count)
        for key in changed {
            if let sums = open.takeChanged(key) { lines.append((key, sums)) }
        }
        try sink.put(lines.count, in: Lago.openLines) { index, cells in
            LagoColumns.fill(&cells, lines[index].key)
            LagoColumns.fill(&cells, lines[index].sums)
        }
        changed.removeAll(keepingCapacity: true)
        for sealed in sealed {
            let lines = sealed.lines
            try sink.append(lines.count, to: Lago.lines) { index, cells in
                let line = lines[index]
                cells.integer(Int64(line.position))
                cells.integer(line.number)
                cells.integer(line.batch)
                LagoColumns.fill(&cells, line.key)
                LagoColumns.fill(&cells, line.sums)
            }
            for batch in sealed.batches {
                try sink.put(LagoColumns.cells(batch), key: LagoColumns.cells(batch.id), in: Lago.batches)
            }
        }
        sealed.removeAll()
        for delivery in deliveries { try write(delivery, into: sink) }
        deliveries.removeAll()
        if isWindowChanged {
            try sink.put([.integer(windowSeconds)], key: [.integer(1)], in: Lago.windows)
            isWindowChanged = false
        }
        for item in arrived {
            try sink.append(
                [],
                key: [
                    .text(item.transaction.text), .text(item.org?.text ?? ""), .integer(Int64(item.position)),
                ], to: Lago.received)
        }
        arrived.removeAll(keepingCapacity: true)
    }

    /// What is delivered stays delivered; a failed batch may be delivered yet.
    private func write(_ delivery: Delivery, into sink: any RowSink) throws {
        let key = LagoColumns.cells(delivery.batch)
        guard var cells = try sink.values(key: key, in: Lago.batches) else { return }
        if cells[LagoColumns.batchState] == .integer(Int64(LagoBatch.State.delivered.rawValue)) { return }
        cells[LagoColumns.batchState] = .integer(Int64(delivery.state.rawValue))
        cells[LagoColumns.batchState + 1] = delivery.detail.map { .text($0) } ?? .null
        cells[LagoColumns.batchState + 2] = .integer(Int64(delivery.position))
        try sink.put(cells, key: key, in: Lago.batches)
    }
}
