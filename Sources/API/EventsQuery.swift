internal import Billing
internal import EventLog
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON
internal import Platform
internal import Records

/// Reads the log for questions, on a thread of its own: a read may wait for the disk.
actor LogReader {
    private let executor = ThreadExecutor(name: "log-reader")
    private let log: EventLog

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(log: EventLog) {
        self.log = log
    }

    /// How many records one request may look at while it filters.
    private static let scanRecordsMax = 100_000
    private static let chunkRecordsMax = 1000
    private static let chunkBytesMax = 4 << 20

    struct Page: Sendable {
        var lines: [UInt8] = []
        /// Where to go on: the last position that was looked at.
        var reached: UInt64
        var highWater: UInt64

        var response: Response {
            Response(
                status: 200,
                headers: [
                    ("Content-Type", "application/x-ndjson"), ("X-Position", String(highWater)),
                    ("X-Next-After", String(reached)),
                ], body: lines)
        }
    }

    /// Records as NDJSON, for a reader who is confined to an org or to none.
    private struct Lines {
        let reader: Name?
        private(set) var bytes: [UInt8] = []
        private var writer = JSONWriter(reservingCapacity: 4 << 10)

        init(reader: Name?) {
            self.reader = reader
        }

        /// - Parameter bytes: the record as it is stored.
        mutating func add(_ record: Record, bytes stored: UnsafeRawBufferPointer) {
            StoredEvent(record: record, hash: RecordCodec.hash(stored)).write(into: &writer, for: reader)
            bytes += writer.bytes
            bytes.append(0x0A)
            writer.removeAll()
        }
    }

    func record(at position: UInt64) throws -> StoredEvent? {
        try log.withRecord(at: position) { bytes in
            StoredEvent(record: try RecordCodec.decode(bytes), hash: RecordCodec.hash(bytes))
        }
    }

    /// The record hashes at these positions, all of which are stored.
    func hashes(at positions: [UInt64]) throws -> [UInt64: Digest] {
        var hashes: [UInt64: Digest] = [:]
        for position in positions where hashes[position] == nil {
            hashes[position] = try log.withRecord(at: position) { RecordCodec.hash($0) }
        }
        return hashes
    }

    /// Runs what reads files on this thread.
    func run<Result: Sendable>(_ body: @Sendable () throws -> Result) rethrows -> Result {
        try body()
    }

    /// Up to `limit` records as NDJSON: those at the positions that are `known`, then what is found after `position`.
    /// - Parameters:
    ///   - known: stored all of them, in order, not after `position`, at most `limit`.
    ///   - reader: the org that may read nothing of others.
    func page(
        of known: [UInt64] = [], after position: UInt64, limit: Int, org: Name?, type: String?, for reader: Name?
    ) throws -> Page {
        var page = Page(reached: position, highWater: log.highWater)
        var lines = Lines(reader: reader)
        for position in known {
            _ = try log.withRecord(at: position) { lines.add(try RecordCodec.decode($0), bytes: $0) }
        }
        var found = known.count
        if found == limit, let last = known.last { page.reached = last }
        var looked = 0
        while found < limit && looked < LogReader.scanRecordsMax && page.reached < page.highWater {
            let before = page.reached
            let wanted = org == nil && type == nil ? limit - found : LogReader.chunkRecordsMax
            var full = false
            _ = try log.read(
                after: before, recordsMax: min(wanted, LogReader.chunkRecordsMax), bytesMax: LogReader.chunkBytesMax
            ) { position, bytes in
                guard !full else { return }
                let record = try RecordCodec.decode(bytes)
                page.reached = position
                looked += 1
                if let org, record.event.fact.org != org { return }
                if let type, record.event.fact.type != type { return }
                lines.add(record, bytes: bytes)
                found += 1
                full = found == limit
            }
            if page.reached == before { break }
        }
        page.lines = lines.bytes
        return page
    }
}

extension API {
    func getEvent(_ text: String, _ query: Question) async throws -> Response {
        try query.check()
        let position = try Question.position(text)
        guard let stored = try await reader.record(at: position),
            query.key.org == nil || stored.record.event.fact.org == query.key.org
        else { throw ProblemError(404, "not_found", "there is no event at position \(position)") }
        return Answers.json(position: log.highWater) { stored.write(into: &$0, for: query.key.org) }
    }

    /// NDJSON in order of position; `X-Next-After` says where to go on, also when a filter found nothing.
    func listEvents(_ query: Question) async throws -> Response {
        try query.check("after", "limit", "org", "type")
        var org = query.key.org
        if let text = query["org"] { org = try query.org(text) }
        let type = query["type"]
        if let type, !Fact.types.contains(type) {
            throw ProblemError(400, "invalid_parameter", "there is no event type \(type)", field: "type")
        }
        let page = try await reader.page(
            after: try query.integer("after", in: 0...UInt64(Int64.max)) ?? 0, limit: try query.limit(), org: org,
            type: type, for: query.key.org)
        return page.response
    }

    func listParked(_ query: Question) async throws -> Response {
        try query.check("after", "limit")
        let limit = try query.limit()
        let after = Int(try query.integer("after", in: 0...UInt64(Int64.max)) ?? 0)
        let (items, dropped) = await parked.page(after: after, limit: limit, org: query.key.org)
        return Answers.json(position: log.highWater) { writer in
            writer.object { writer in
                writer.key("parked")
                writer.array(items) { $1.write(into: &$0) }
                if items.count == limit, let last = items.last { writer.member("next", integer: last.number) }
                writer.key("dropped")
                dropped.write(into: &writer)
            }
        }
    }
}
