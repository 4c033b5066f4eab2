import CLMDB
import Glibc
import Hashing
import Platform
import Testing

@testable import EventLog

@Suite struct VerifyTests {
    @Test func `a verification hands over every record with its hash, and gives the chain`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            let records = try fill(log, randomFrames(50, recordsMax: 30, bytesMax: 200, seed: 11))
            var seen: [[UInt8]] = []
            var progress: [UInt64] = []
            let result = try log.verify(
                progress: { progress.append($0) },
                record: { position, bytes, digest in
                    #expect(position == UInt64(seen.count + 1))
                    #expect(digest == SHA256.hash([0] + Array(bytes)))
                    seen.append(Array(bytes))
                })
            #expect(seen == records)
            #expect(progress == [log.highWater])
            #expect(result.frames == 50 && result.lastPosition == UInt64(records.count))
            // From the middle, and through the middle, on the same chain.
            let part = try log.verify(after: 100, through: 200)
            #expect(part.firstPosition <= 101 && part.lastPosition >= 200 && part.frames < 50)
            #expect(try log.verify(after: part.lastPosition).lastHash == result.lastHash)
            #expect(try log.verify(after: log.highWater).frames == 0)
            let beyond = logError { _ = try log.verify(through: log.highWater + 1) }
            #expect(beyond == .corrupt(
                position: log.highWater + 1, reason: "the log ends before it, \(log.highWater + 1) is expected"))
        }
    }

    @Test func `every flipped bit of a frame is found, at its position`() throws {
        try withFolder { folder in
            // Frames small enough for the tree's pages and frames with pages of their own.
            let frames = randomFrames(25, recordsMax: 6, bytesMax: 700, seed: 12)
            var image: [UInt8] = []
            var spots: [(offset: Int, count: Int, first: UInt64, last: UInt64)] = []
            do {
                let log = try openLog(folder + "/log")
                try fill(log, frames)
                image = try File.read(folder + "/log/data.mdb", bytesMax: 1 << 20)
                _ = try log.readFrames(after: 0, framesMax: 1000, bytesMax: 1 << 30) { frame in
                    let bytes = Array(frame.bytes)
                    // Small frames move as pages are copied; the last copy in the file need not be the live one, so
                    // every copy is flipped.
                    for offset in occurrences(of: bytes, in: image) {
                        spots.append((offset, bytes.count, frame.firstPosition, frame.lastPosition))
                    }
                }
            }
            #expect(Set(spots.map(\.first)).count == 25)
            var random = Seeded(13)
            var found = 0
            for round in 0..<300 {
                let first = spots[round % spots.count].first
                let copies = spots.filter { $0.first == first }
                let byte = Int.random(in: 0..<copies[0].count, using: &random)
                let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
                var damaged = image
                for copy in copies { damaged[copy.offset + byte] ^= bit }
                let result = try verifyImage(damaged, folder + "/copy")
                guard case .corrupt(let position, _)? = result else {
                    Issue.record("byte \(byte) bit \(bit) of frame \(first): \(String(describing: result))")
                    continue
                }
                // A frame that no longer chains is noticed at the frame itself: its own hash is checked first.
                #expect(position >= first && position <= copies[0].last, "byte \(byte) of frame \(first): \(position)")
                found += 1
            }
            #expect(found == 300)
            #expect(try verifyImage(image, folder + "/copy") == nil)
        }
    }

    /// What opening for reading and verifying says about a data file.
    private func verifyImage(_ image: [UInt8], _ folder: String) throws -> LogError? {
        try Folder.remove(folder)
        try Folder.make(folder)
        // Not durable: only looked at.
        let file = open(folder + "/data.mdb", O_WRONLY | O_CREAT, 0o600)
        #expect(write(file, image, image.count) == image.count)
        close(file)
        return logError { _ = try openLog(folder, mode: .readOnly).verify() }
    }

    private func occurrences(of part: [UInt8], in whole: [UInt8]) -> [Int] {
        var found: [Int] = []
        part.withUnsafeBytes { part in
            whole.withUnsafeBytes { whole in
                guard let from = whole.baseAddress, let what = part.baseAddress else { return }

                for offset in 0...(whole.count - part.count) where memcmp(from + offset, what, part.count) == 0 {
                    found.append(offset)
                }
            }
        }
        return found
    }

    /// Changes a log behind its back.
    private func tamper(_ folder: String, _ body: (OpaquePointer, Database) throws -> Void) throws {
        let environment = try Environment(folder: folder, databasesMax: 4, mapBytes: 1 << 30, readOnly: false)
        let transaction = try WriteTransaction(environment)
        let frames = try #require(try Database("frames", flags: MDB_INTEGERKEY, in: transaction.handle))
        try body(transaction.handle, frames)
        try transaction.commit()
    }

    private func remove(_ first: UInt64, _ transaction: OpaquePointer, _ frames: Database) {
        var key = first
        withUnsafeMutableBytes(of: &key) { raw in
            var value = MDB_val(mv_size: 8, mv_data: raw.baseAddress)
            #expect(mdb_del(transaction, frames.number, &value, nil) == 0)
        }
    }

    @Test func `a missing frame is named by the position it began at`() throws {
        // The log has 200 frames of 3 records; open looks at the last 64 only.
        for (first, foundAtOpen) in [(UInt64(1), false), (4, false), (298, false), (595, true)] {
            try withFolder { folder in
                do {
                    let log = try openLog(folder)
                    try fill(log, (0..<200).map { _ in [[1], [2], [3]] })
                }
                try tamper(folder) { remove(first, $0, $1) }
                guard case .corrupt(first, _)? = logError({ _ = try openLog(folder).verify() }) else {
                    Issue.record("a log without the frame at \(first) holds")
                    return
                }
                let atOpen = logError { _ = try openLog(folder) }
                #expect((atOpen != nil) == foundAtOpen, "\(first): \(String(describing: atOpen))")
                guard !foundAtOpen else { return }
                let log = try openLog(folder)
                #expect(throws: LogError.self) { try log.withRecord(at: first + 1) { _ in } }
                #expect(throws: LogError.self) {
                    try log.read(after: first - 1, recordsMax: 9, bytesMax: 99) { _, _ in }
                }
            }
        }
    }

    /// The value of a frame, to be put elsewhere.
    private func copy(_ first: UInt64, _ transaction: OpaquePointer, _ frames: Database) throws -> [UInt8] {
        Array(try #require(try getValue(transaction, frames, first)))
    }

    private func put(_ bytes: [UInt8], _ first: UInt64, _ transaction: OpaquePointer, _ frames: Database) throws {
        try putValue(transaction, frames, first, count: bytes.count, flags: 0) { $0.copyBytes(from: bytes) }
    }

    /// Says that it begins at `first`, wherever it came from.
    private func restamped(_ bytes: [UInt8], _ first: UInt64) -> [UInt8] {
        var bytes = bytes
        withUnsafeBytes(of: first.littleEndian) { bytes.replaceSubrange(16..<24, with: $0) }
        return bytes
    }

    @Test func `frames that were moved, doubled or put between others are named where it was done`() throws {
        typealias Change = (OpaquePointer, Database) throws -> Void
        let changes: [(UInt64, Change)] = [
            // Two frames in each other's place, as they are and with the positions that belong there.
            (31, { transaction, frames in
                let (one, other) = (try copy(31, transaction, frames), try copy(61, transaction, frames))
                try put(other, 31, transaction, frames)
                try put(one, 61, transaction, frames)
            }),
            (31, { transaction, frames in
                let (one, other) = (try copy(31, transaction, frames), try copy(61, transaction, frames))
                try put(restamped(other, 31), 31, transaction, frames)
                try put(restamped(one, 61), 61, transaction, frames)
            }),
            // A frame more, over positions that are taken.
            (32, { try put(restamped(copy(31, $0, $1), 32), 32, $0, $1) }),
            // A frame again in the place of the next.
            (34, { try put(restamped(copy(31, $0, $1), 34), 34, $0, $1) }),
            // An older one with fewer records.
            (32, { try put(restamped(copy(598, $0, $1), 31), 31, $0, $1) }),
        ]
        for (index, (position, change)) in changes.enumerated() {
            try withFolder { folder in
                do {
                    let log = try openLog(folder)
                    try fill(log, (0..<199).map { number in [[UInt8(number)], [2], [3]] })
                    try log.append([[1]], recordedAt: log.lastRecordedAt)
                }
                try tamper(folder, change)
                guard case .corrupt(let found, _)? = logError({ _ = try openLog(folder).verify() }) else {
                    Issue.record("change \(index) holds")
                    return
                }
                #expect(found >= position - 1 && found <= position + 2, "change \(index): \(found)")
            }
        }
    }

    @Test func `history that is rewritten with hashes of its own does not chain`() throws {
        try withFolder { folder in
            do {
                let log = try openLog(folder)
                try fill(log, (0..<100).map { _ in [[1], [2]] })
            }
            try tamper(folder) { transaction, frames in
                let old = try Frame(try #require(try getValue(transaction, frames, 21)), key: 21)
                let writer = FrameWriter(firstPosition: 21, recordedAt: old.recordedAt, previousHash: old.previousHash)
                let hashes = [[UInt8(1)], [9]].map { record in record.withUnsafeBytes { Frame.hash(ofRecord: $0) } }
                var scratch = [UInt8](repeating: 0, count: 128)
                scratch.withUnsafeMutableBytes { room in
                    writer.writeHeader(room, count: 2, payload: 2)
                    hashes[0].write(to: UnsafeMutableRawBufferPointer(rebasing: room[64...]))
                    hashes[1].write(to: UnsafeMutableRawBufferPointer(rebasing: room[96...]))
                }
                let hash = SHA256.hash(scratch)
                try putValue(transaction, frames, 21, count: Frame.size(count: 2, payload: 2), flags: 0) {
                    writer.write($0, records: [1, 9], ends: [1, 2], scratch: scratch, hash: hash)
                }
            }
            let log = try openLog(folder)
            #expect(try log.withRecord(at: 22) { Array($0) } == [9])
            #expect(try log.verify(through: 22).frames == 11)
            #expect(
                logError { _ = try log.verify() }
                    == .corrupt(position: 23, reason: "the frame is not chained to the one before"))
        }
    }
}
