import Glibc
import Hashing
import Platform
import Testing

@testable import EventLog

/// Logs of every format that was ever released stay readable: the files under Fixtures are never changed.
@Suite struct GoldenTests {
    /// Four frames; what was written can be computed again.
    private static let frames: [[[UInt8]]] = [
        [Array("the first record".utf8)],
        (1...40).map { [UInt8](repeating: UInt8($0), count: $0) },
        [[UInt8](repeating: 0xAB, count: 9000), [0]],
        [Array("the last record".utf8)],
    ]
    private static let id = "25b51bc9af7512ed27cef6f5c48e4bf8"
    private static let lastHash = "5d3fb4c443a482f0dcd1fcb4d2819cd6d26f86a6d2b683be382a5342a120bc5b"

    private var fixture: String {
        let here = #filePath
        return Folder.parent(of: here) + "/Fixtures/v1/data.mdb"
    }

    @Test func `a log of format 1 reads as it was written`() throws {
        try withFolder { folder in
            let bytes = try File.read(fixture, bytesMax: 1 << 20)
            try DurableFile.replace(folder + "/data.mdb", with: bytes)
            let records = GoldenTests.frames.flatMap(\.self)
            for mode in [EventLog.Mode.readOnly, .readWrite] {
                let log = try openLog(folder, mode: mode)
                #expect(log.highWater == 44)
                #expect(Digest(bytes: log.id + log.id).hex.hasPrefix(GoldenTests.id))
                #expect(log.lastRecordedAt == 1_763_800_004_000_000)
                var seen: [[UInt8]] = []
                let result = try log.verify(record: { _, bytes, _ in seen.append(Array(bytes)) })
                #expect(seen == records)
                #expect(result.frames == 4 && result.lastHash.hex == GoldenTests.lastHash)
            }
            // And the same frames written today are the same bytes.
            let today = try openLog(folder + "/today")
            try GoldenTests.write(today)
            #expect(try today.verify().lastHash.hex == GoldenTests.lastHash)
        }
    }

    private static func write(_ log: EventLog) throws {
        for (index, frame) in frames.enumerated() {
            try log.append(frame, recordedAt: 1_763_800_001_000_000 + Int64(index) * 1_000_000)
        }
    }

    /// Made the fixture, once; with GOLDEN=folder in the environment it makes one of the format of today.
    @Test(.enabled(if: getenv("GOLDEN") != nil)) func `make a golden log`() throws {
        let folder = try #require(getenv("GOLDEN").map { String(cString: $0) })
        let log = try openLog(folder)
        try GoldenTests.write(log)
        print("id", Digest(bytes: log.id + log.id).hex.prefix(32), "hash", try log.verify().lastHash.hex)
    }
}
