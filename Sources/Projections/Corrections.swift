internal import Billing
internal import Records
internal import SQLite

/// Which version of a call stands: the memory of a projection that unwinds voided and amended calls. Only calls that
/// were ever corrected are in it, 16 bytes each and little more.
struct Corrections {
    static func table(tag: UInt8) -> Table {
        Table("corrections", tag: tag, kind: .rows, keys: [.integer("call")], values: [.integer("standing")])
    }

    /// A call as some record states it, and what it counts as.
    struct Version {
        /// Of the record that states it.
        var position: UInt64
        var call: Call
        /// The call's own time, which a correction does not move.
        var occurredAt: Timestamp
        /// False for `llm.usage`, which adds tokens and no call.
        var isCall: Bool
    }

    private let table: Table
    private var standing: [UInt64: UInt64] = [:]
    private var changed: Set<UInt64> = []

    init(table: Table) {
        self.table = table
    }

    mutating func load(from database: Database) throws {
        try database.rows("SELECT call, standing FROM corrections") { row in
            standing[UInt64(row.integer(at: 0))] = UInt64(row.integer(at: 1))
        }
    }

    /// The version that a void unwinds; nil when the call is voided already.
    mutating func void(_ fact: CallVoided, at position: UInt64, log: any RecordSource) throws -> Version? {
        let original = try original(of: .callVoided(fact), before: position, log: log)
        let version = try standing(original, log: log)
        stand(0, for: original.position)
        return version
    }

    /// The version that an amendment unwinds (nil when voided), and the one that it puts in its place.
    mutating func amend(
        _ fact: CallAmended, at position: UInt64, log: any RecordSource
    ) throws -> (old: Version?, new: Version) {
        let original = try original(of: .callAmended(fact), before: position, log: log)
        let old = try standing(original, log: log)
        stand(position, for: original.position)
        let new = Version(
            position: position, call: fact.call, occurredAt: original.occurredAt, isCall: original.isCall)
        return (old, new)
    }

    mutating func flush(into sink: any RowSink) throws {
        for call in changed.sorted() {
            try sink.put([.integer(Int64(standing[call] ?? 0))], key: [.integer(Int64(call))], in: table)
        }
        changed.removeAll()
    }

    private mutating func stand(_ position: UInt64, for call: UInt64) {
        standing[call] = position
        changed.insert(call)
    }

    /// The record says which it is; one that admission did not write is looked for.
    private func original(of fact: Fact, before position: UInt64, log: any RecordSource) throws -> Version {
        guard let (source, id, _) = fact.corrects else { preconditionFailure("\(fact.type) corrects nothing") }
        guard
            let found = try fact.unwinds?.original ?? log.position(source: source, id: id, before: position),
            found < position,
            let record = try log.record(at: found), let version = Version(record)
        else {
            throw RecordFault(position: position, reason: "corrects a call that is not in the log: \(source) \(id)")
        }
        return version
    }

    private func standing(_ original: Version, log: any RecordSource) throws -> Version? {
        guard let position = standing[original.position] else { return original }
        if position == 0 { return nil }
        guard let record = try log.record(at: position), case .callAmended(let fact) = record.event.fact else {
            throw RecordFault(position: position, reason: "is not the amendment that stands for a call")
        }
        return Version(
            position: position, call: fact.call, occurredAt: original.occurredAt, isCall: original.isCall)
    }
}

extension Corrections.Version {
    /// Nil unless the record is a call or usage.
    init?(_ record: Record) {
        switch record.event.fact {
        case .call(let call):
            self.init(position: record.position, call: call, occurredAt: record.occurredAt, isCall: true)
        case .usage(let call):
            self.init(position: record.position, call: call, occurredAt: record.occurredAt, isCall: false)
        default:
            return nil
        }
    }
}
