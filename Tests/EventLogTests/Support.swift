import Hashing
import Platform

@testable import EventLog

/// Repeatable random numbers (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

/// Runs `body` with the path of a new folder, removed afterwards.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try Folder.makeTemporary(prefix: "tallystick-log")
    defer { try? Folder.remove(folder) }
    return try body(folder)
}

/// Small logs do without filling ahead, so that tests are quick.
func openLog(
    _ folder: String, mode: EventLog.Mode = .readWrite, mapBytes: Int = 1 << 30, prezeroBytes: Int = 0
) throws(LogError) -> EventLog {
    try EventLog.open(folder: folder, mode: mode, mapBytes: mapBytes, prezeroBytes: prezeroBytes)
}

extension EventLog {
    /// Appends one frame of these records.
    func append(_ records: [[UInt8]], recordedAt: Int64) throws(LogError) {
        var ends: [Int] = []
        var arena: [UInt8] = []
        for record in records {
            arena += record
            ends.append(arena.count)
        }
        let hashes = records.map { record in record.withUnsafeBytes { Frame.hash(ofRecord: $0) } }
        try append(records: arena, ends: ends, hashes: hashes, recordedAt: recordedAt)
    }
}

/// Frames of random records: `count` frames of 1 to `recordsMax` records.
func randomFrames(_ count: Int, recordsMax: Int, bytesMax: Int, seed: UInt64) -> [[[UInt8]]] {
    var random = Seeded(seed)
    return (0..<count).map { _ in
        (0..<Int.random(in: 1...recordsMax, using: &random)).map { _ in
            random.bytes(Int.random(in: 1...bytesMax, using: &random))
        }
    }
}

/// Appends the frames, recorded one second apart; gives all records in order.
@discardableResult func fill(_ log: EventLog, _ frames: [[[UInt8]]]) throws -> [[UInt8]] {
    for (index, frame) in frames.enumerated() {
        try log.append(frame, recordedAt: log.lastRecordedAt + Int64(index + 1) * 1_000_000)
    }
    return frames.flatMap(\.self)
}

/// The error that `body` throws, if it is the log's.
func logError(_ body: () throws -> Void) -> LogError? {
    do {
        try body()
        return nil
    } catch {
        return error as? LogError
    }
}
