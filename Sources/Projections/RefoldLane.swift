internal import Billing
internal import Hashing
internal import Records

/// What is folded side by side in a refold.
protocol RefoldLane: AnyObject {
    /// Of all rows, once finished.
    var digest: MultisetDigest { get }
    /// Takes the next record; past its target it changes nothing.
    func apply(_ record: Record, log: any RecordSource) throws
    func finish() throws
}

/// One projection by itself.
final class ProjectionLane<P: Projection>: RefoldLane {
    private let target: UInt64
    private var fold = P()
    private let sink = MemorySink()
    private var gathered = 0

    init(through target: UInt64) {
        self.target = target
    }

    var digest: MultisetDigest { sink.digest }

    func apply(_ record: Record, log: any RecordSource) throws {
        guard record.position <= target else { return }
        do {
            try fold.apply(record, log: log)
        } catch {
            throw fault(error, of: P.name, at: record.position)
        }
        gathered += 1
        if gathered == Refold.flushRecords {
            try fold.flush(into: sink)
            gathered = 0
        }
    }

    func finish() throws {
        try fold.check(at: target)
        try fold.flush(into: sink)
    }
}

/// One book, and the projections that follow it.
final class BookLane: RefoldLane {
    private let target: UInt64
    private let rows = BookRows()
    private let sink = MemorySink()
    private var followers: [any BookFollower] = []
    private var gathered = 0

    init(through target: UInt64) {
        self.target = target
    }

    /// Of the book's rows alone.
    var digest: MultisetDigest { sink.digest }

    /// Before the first record. Gives where to ask for the projection's digest, once finished.
    func add<P: BookProjection>(_ type: P.Type) -> () -> MultisetDigest {
        let follower = Follower<P>(rows)
        followers.append(follower)
        return { [self] in
            var digest = digest
            digest.merge(follower.sink.digest)
            return digest
        }
    }

    func apply(_ record: Record, log: any RecordSource) throws {
        guard record.position <= target else { return }
        let outcome = try rows.apply(record)
        for follower in followers { try follower.follow(record, outcome, log: log) }
        gathered += 1
        if gathered == Refold.flushRecords {
            try flush()
        } else if gathered % Refold.drainRecords == 0 {
            for follower in followers { try follower.drain() }
        }
    }

    func finish() throws {
        try rows.check(at: target)
        try flush()
    }

    private func flush() throws {
        for follower in followers { try follower.flush() }
        try rows.flush(into: sink)
        gathered = 0
    }
}

private protocol BookFollower: AnyObject {
    func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws
    func drain() throws
    func flush() throws
}

private final class Follower<P: BookProjection>: BookFollower {
    private var fold = P()
    let sink = MemorySink()

    init(_ rows: BookRows) {
        fold.rows = rows
    }

    func follow(_ record: Record, _ outcome: borrowing Outcome, log: any RecordSource) throws {
        do {
            try fold.follow(record, outcome, log: log)
        } catch {
            throw fault(error, of: P.name, at: record.position)
        }
    }

    func drain() throws { try fold.drain(into: sink) }
    func flush() throws { try fold.flushOwn(into: sink) }
}

/// An error of a fold that names no record is of the one it was given.
private func fault(_ error: any Error, of name: String, at position: UInt64) -> RecordFault {
    (error as? RecordFault) ?? RecordFault(position: position, reason: "\(name): \(error)")
}
