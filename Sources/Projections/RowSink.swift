public import Hashing
public import SQLite

/// Where a projection's rows go: a SQLite file, or memory when only the digest is asked for. The sink keeps the digest,
/// so that no projection can forget it.
///
/// A digest is the sum over rows of SHA-256(tag, key cells, value cells); it depends neither on the order of rows nor
/// on how records were cut into batches.
public protocol RowSink: AnyObject {
    /// Of all rows as they are now.
    var digest: MultisetDigest { get }
    /// Adds to rows of a `.sums` table; each key at most once in `rows`.
    func add(_ rows: [SumRow], to table: Table) throws
    /// Adds a row to an `.appended` table. A key that is there already is an error.
    func append(_ values: [Value], key: [Value], to table: Table) throws
    /// Makes or replaces a row of a `.rows` table.
    func put(_ values: [Value], key: [Value], in table: Table) throws
    /// Removes a row of a `.rows` table; nothing happens when it is not there.
    func remove(key: [Value], from table: Table) throws
    /// The values of a row of a `.rows` table.
    func values(key: [Value], in table: Table) throws -> [Value]?
}

/// The canonical bytes of a row, in a buffer used again and again.
struct RowDigester {
    private var bytes: [UInt8] = []
    private(set) var digest: MultisetDigest

    init(_ digest: MultisetDigest = MultisetDigest()) {
        self.digest = digest
        bytes.reserveCapacity(512)
    }

    mutating func add(_ table: Table, key: [Value], values: [Value]) {
        encode(table, key: key)
        for value in values { append(value) }
        bytes.withUnsafeBytes { digest.add($0) }
    }

    mutating func remove(_ table: Table, key: [Value], values: [Value]) {
        encode(table, key: key)
        for value in values { append(value) }
        bytes.withUnsafeBytes { digest.remove($0) }
    }

    /// From `sums` less `delta` to `sums`: a row of zeros is no row.
    mutating func change(_ table: Table, key: [Value], sums: [Int64], delta: [Int64]) {
        encode(table, key: key)
        let keyEnd = bytes.count
        var isNew = true
        for index in sums.indices {
            let before = sums[index] &- delta[index]
            isNew = isNew && before == 0
            append(before)
        }
        if !isNew { bytes.withUnsafeBytes { digest.remove($0) } }
        if sums.contains(where: { $0 != 0 }) {
            bytes.removeSubrange(keyEnd...)
            for sum in sums { append(sum) }
            bytes.withUnsafeBytes { digest.add($0) }
        }
    }

    private mutating func encode(_ table: Table, key: [Value]) {
        bytes.removeAll(keepingCapacity: true)
        bytes.append(table.tag)
        for cell in key { append(cell) }
    }

    private mutating func append(_ value: Value) {
        switch value {
        case .null:
            bytes.append(0)
        case .integer(let number):
            append(number)
        case .text(let text):
            bytes.append(2)
            append(length: text.utf8.count)
            bytes.append(contentsOf: text.utf8)
        case .blob(let blob):
            bytes.append(3)
            append(length: blob.count)
            bytes.append(contentsOf: blob)
        }
    }

    private mutating func append(_ number: Int64) {
        bytes.append(1)
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func append(length: Int) {
        withUnsafeBytes(of: UInt32(length).bigEndian) { bytes.append(contentsOf: $0) }
    }
}

/// A sum went out of 64 bits: admission has to refuse what could lead there.
public struct SumOverflow: Error, Hashable, Sendable, CustomStringConvertible {
    public var table: String
    public var description: String { "a sum in table \(table) does not fit in 64 bits" }
}
