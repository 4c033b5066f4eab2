public import Billing
internal import Records
public import SQLite

/// What a query sees: one read model at one position, within one read transaction.
public final class Reader {
    public let database: Database
    /// The last position whose record is in the rows: the answer's X-Position.
    public let position: UInt64
    public let log: any RecordSource
    private let catalog: CachedCatalog

    init(database: Database, position: UInt64, log: any RecordSource, catalog: CachedCatalog) {
        self.database = database
        self.position = position
        self.log = log
        self.catalog = catalog
    }

    /// Plans and assignments (and prices, where the read model keeps them) as of `position`. The read model must have a
    /// table `controls` of the positions that matter.
    public func catalogNow() throws -> Catalog {
        try catalog.update(from: database, log: log)
    }
}

/// A catalog that follows the `controls` table of one read model. Positions in there only grow, so that each query
/// reads only what is new.
final class CachedCatalog {
    private var catalog = Catalog()
    private var last: UInt64 = 0

    func update(from database: Database, log: any RecordSource) throws -> Catalog {
        var positions: [UInt64] = []
        try database.rows(
            "SELECT position FROM controls WHERE position > ? ORDER BY position", .integer(Int64(last))
        ) { row in
            positions.append(UInt64(row.integer(at: 0)))
        }
        for position in positions {
            guard let record = try log.record(at: position) else {
                throw RecordFault(position: position, reason: "the log does not have it")
            }
            catalog.apply(record.event.fact, position: position, at: record.occurredAt)
            last = position
        }
        return catalog
    }
}

/// A question to one read model.
public protocol Query: Sendable, SendableMetatype {
    associatedtype Answer: Sendable
    /// The projection's name.
    static var model: String { get }
    /// Runs on a query thread; reads only.
    func answer(from reader: Reader) throws -> Answer
}

/// An answer, and the position of the last record it has seen.
public struct Seen<Answer: Sendable>: Sendable {
    public var position: UInt64
    public var answer: Answer

    public init(position: UInt64, answer: Answer) {
        self.position = position
        self.answer = answer
    }
}

/// Why a question has no answer.
public enum QueryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// More queries wait than the limit.
    case overloaded
    /// The read model is being opened or built anew.
    case unavailable(model: String)
    /// The answer would have more rows than the limit; ask for less.
    case tooManyRows(max: Int)
    case failed(model: String, reason: String)

    public var description: String {
        switch self {
        case .overloaded: "too many queries wait"
        case .unavailable(let model): "read model \(model) is not open yet"
        case .tooManyRows(let max): "the answer has more than \(max) rows"
        case .failed(let model, let reason): "read model \(model): \(reason)"
        }
    }
}
