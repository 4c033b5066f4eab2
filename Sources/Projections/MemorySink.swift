public import Hashing
public import SQLite

/// Keeps what it must to have the digest, and nothing on disk: how `verify` refolds a log at the speed of memory.
public final class MemorySink: RowSink {
    private var digester = RowDigester()
    private var sums: [UInt8: [[Value]: [Int64]]] = [:]
    private var rows: [UInt8: [[Value]: [Value]]] = [:]

    public init() {}

    public var digest: MultisetDigest { digester.digest }

    public func add(_ rows: [SumRow], to table: Table) throws {
        precondition(table.kind == .sums, "table \(table.name) has no sums")
        for row in rows {
            var totals = row.sums
            if let before = sums[table.tag]?[row.key] {
                for index in totals.indices {
                    let (sum, overflow) = totals[index].addingReportingOverflow(before[index])
                    if overflow { throw SumOverflow(table: table.name) }
                    totals[index] = sum
                }
            }
            digester.change(table, key: row.key, sums: totals, delta: row.sums)
            sums[table.tag, default: [:]][row.key] = totals.contains(where: { $0 != 0 }) ? totals : nil
        }
    }

    public func append(_ values: [Value], key: [Value], to table: Table) throws {
        precondition(table.kind == .appended, "table \(table.name) is not appended to")
        digester.add(table, key: key, values: values)
    }

    public func put(_ values: [Value], key: [Value], in table: Table) throws {
        try remove(key: key, from: table)
        digester.add(table, key: key, values: values)
        rows[table.tag, default: [:]][key] = values
    }

    public func remove(key: [Value], from table: Table) throws {
        precondition(table.kind == .rows, "table \(table.name) has no rows to replace")
        guard let before = rows[table.tag]?.removeValue(forKey: key) else { return }
        digester.remove(table, key: key, values: before)
    }

    public func values(key: [Value], in table: Table) throws -> [Value]? {
        precondition(table.kind == .rows, "table \(table.name) has no rows to read")
        return rows[table.tag]?[key]
    }
}
