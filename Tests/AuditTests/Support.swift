import EventLog
import Hashing
import Platform

/// Runs `body` with the path of a new folder, removed afterwards.
func withFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = try Folder.makeTemporary(prefix: "tallystick-audit")
    defer { try? Folder.remove(folder) }
    return try await body(folder)
}

/// A log of short records, each its number and what makes it different from those of another log.
final class ShortLog {
    let log: EventLog
    let mark: String
    private(set) var hashes: [Digest] = []
    private let writer: Writer

    /// A log is written by one thread, and a test goes on another after each `await`.
    private actor Writer {
        private let executor = ThreadExecutor(name: "short log")
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private let log: EventLog

        init(_ log: EventLog) {
            self.log = log
        }

        func append(_ records: [[UInt8]], _ hashes: [Digest]) throws {
            var ends: [Int] = []
            for record in records { ends.append((ends.last ?? 0) + record.count) }
            try log.append(
                records: records.flatMap(\.self), ends: ends, hashes: hashes, recordedAt: log.lastRecordedAt)
        }
    }

    init(_ folder: String, mark: String = "") throws {
        log = try EventLog.open(folder: folder, mode: .readWrite, mapBytes: 1 << 30)
        self.mark = mark
        writer = Writer(log)
    }

    /// Adds records in frames of at most `frame`.
    func append(_ count: Int, frame: Int = 1000) async throws {
        var left = count
        while left > 0 {
            let records = (0..<min(left, frame)).map { Array("record \(hashes.count + $0 + 1)\(mark)".utf8) }
            let new = records.map { record in record.withUnsafeBytes { Merkle.leaf($0) } }
            try await writer.append(records, new)
            hashes += new
            left -= records.count
        }
    }

    /// The root over the first records, leaf by leaf.
    func root(_ size: Int) -> Digest {
        var range = MerkleRange()
        for hash in hashes[..<size] { range.append(hash) }
        return range.root
    }
}
