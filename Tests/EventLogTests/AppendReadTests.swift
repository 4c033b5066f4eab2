import Glibc
import Hashing
import Platform
import Testing

@testable import EventLog

@Suite struct AppendReadTests {
    @Test func `a new log is empty and has an id of its own`() throws {
        try withFolder { folder in
            let first = try openLog(folder + "/a/log")
            let second = try openLog(folder + "/b/log")
            #expect(first.highWater == 0 && first.lastRecordedAt == 0)
            #expect(first.id.count == 16 && first.id != second.id)
            #expect(first.createdAt > 1_700_000_000_000_000)
            #expect(try first.read(after: 0, recordsMax: 10, bytesMax: 1000) { _, _ in Issue.record() } == 0)
            #expect(try first.withRecord(at: 0) { _ in 1 } == nil)
            #expect(try first.withRecord(at: 1) { _ in 1 } == nil)
            #expect(try first.verify() == Verification())
            #expect(try Folder.list(folder + "/a/log") == ["data.mdb", "lock.mdb", "writer.lock"])
        }
    }

    @Test func `records come back by position, from every position, in one run or the next`() throws {
        try withFolder { folder in
            let frames = randomFrames(200, recordsMax: 20, bytesMax: 300, seed: 1)
            var id: [UInt8] = []
            var recordedAt: Int64 = 0
            var records: [[UInt8]] = []
            do {
                let log = try openLog(folder)
                records = try fill(log, frames)
                id = log.id
                recordedAt = log.lastRecordedAt
                try check(log, records)
            }
            let log = try openLog(folder)
            #expect(log.id == id && log.lastRecordedAt == recordedAt)
            try check(log, records)
            records += try fill(log, randomFrames(20, recordsMax: 5, bytesMax: 30, seed: 2))
            try check(log, records)
            #expect(try log.usage().frames == 220)
        }
    }

    private func check(_ log: EventLog, _ records: [[UInt8]]) throws {
        #expect(log.highWater == UInt64(records.count))
        for (index, record) in records.enumerated() {
            let found = try log.withRecord(at: UInt64(index + 1)) { Array($0) }
            #expect(found == record)
            var next: [[UInt8]] = []
            let last = try log.read(after: UInt64(index), recordsMax: 3, bytesMax: 1 << 20) { position, bytes in
                #expect(position == UInt64(index + 1 + next.count))
                next.append(Array(bytes))
            }
            #expect(next == Array(records[index..<min(index + 3, records.count)]))
            #expect(last == UInt64(index + next.count))
        }
        #expect(try log.withRecord(at: UInt64(records.count + 1)) { _ in 1 } == nil)
        let all = try log.verify()
        #expect(all.firstPosition == 1 && all.lastPosition == UInt64(records.count))
    }

    @Test func `a read ends at its limits but gives at least one record`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            // Five records of 100 bytes in each of four frames.
            let record = [UInt8](repeating: 7, count: 100)
            try fill(log, [[[UInt8]]](repeating: [[UInt8]](repeating: record, count: 5), count: 4))
            let rows: [(after: UInt64, records: Int, bytes: Int, last: UInt64)] = [
                (0, 1, 1000, 1), (0, 7, 10_000, 7), (0, 100, 10_000, 20), (0, 100, 1000, 10), (0, 100, 1099, 10),
                (0, 100, 1, 1), (4, 1, 0, 5), (5, 100, 300, 8), (3, 5, 10_000, 8), (19, 5, 500, 20), (20, 5, 500, 20),
                (21, 5, 500, 21),
            ]
            for row in rows {
                var count = 0
                let last = try log.read(after: row.after, recordsMax: row.records, bytesMax: row.bytes) { _, _ in
                    count += 1
                }
                #expect(last == row.last, "\(row)")
                #expect(count == Int(row.last - row.after), "\(row)")
            }
            struct Stop: Error {}
            #expect(throws: Stop.self) { try log.read(after: 0, recordsMax: 5, bytesMax: 500) { _, _ in throw Stop() } }
        }
    }

    @Test func `whole frames can be read for a copy`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            try fill(log, [[[1], [2]], [[3]], [[4], [5], [6]]])
            var seen: [(UInt64, UInt64, Int64)] = []
            let last = try log.readFrames(after: 1, framesMax: 2, bytesMax: 1000) { frame in
                seen.append((frame.firstPosition, frame.lastPosition, frame.recordedAt))
            }
            #expect(last == 3)
            #expect(seen.map(\.0) == [1, 3] && seen.map(\.1) == [2, 3])
            #expect(try log.readFrames(after: 3, framesMax: 9, bytesMax: 0) { _ in } == 6)
            #expect(try log.readFrames(after: 6, framesMax: 9, bytesMax: 0) { _ in } == 6)
        }
    }

    @Test func `the largest frame is taken`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            let many = [[UInt8]](repeating: [7, 7], count: Frame.recordsMax)
            try log.append(many, recordedAt: 1)
            try log.append([[UInt8](repeating: 1, count: Frame.bytesMax)], recordedAt: 1)
            #expect(log.highWater == 65_537)
            #expect(try log.withRecord(at: 65_536) { Array($0) } == [7, 7])
            #expect(try log.withRecord(at: 65_537) { $0.count } == Frame.bytesMax)
        }
    }

    /// Tries what must trap, and ends well when it did not: an error thrown is no trap.
    private static func tryBug(in folder: String, _ body: (EventLog) throws -> Void) {
        do { try body(try openLog(folder)) } catch {}
        exit(0)
    }

    @Test func `what only a bug does traps: a second thread, time gone back, ends that do not fit`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-log")
        await #expect(processExitsWith: .failure) { [folder = folder as String] in
            AppendReadTests.tryBug(in: folder) { log in
                try log.append([[1]], recordedAt: 1)
                Thread(name: "second") { try? log.append([[1]], recordedAt: 1) }.join()
            }
        }
        await #expect(processExitsWith: .failure) { [folder = folder as String] in
            AppendReadTests.tryBug(in: folder) { log in
                try log.append([[1]], recordedAt: 2)
                try log.append([[1]], recordedAt: 1)
            }
        }
        await #expect(processExitsWith: .failure) { [folder = folder as String] in
            AppendReadTests.tryBug(in: folder) { log in
                try log.append(records: [1, 2], ends: [2, 2], hashes: [.zero, .zero], recordedAt: 2)
            }
        }
        try Folder.remove(folder)
    }

    @Test func `followers hear of every append`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            let heard = Lock<[UInt64]>([])
            let token = log.onAppend { position in heard.withLock { $0.append(position) } }
            let waited = Lock<UInt64>(0)
            let follower = Thread(name: "follower") {
                let position = log.waitForAppend(after: 2, milliseconds: 20_000)
                waited.withLock { $0 = position }
            }
            try log.append([[1], [2]], recordedAt: 1)
            try log.append([[3]], recordedAt: 1)
            follower.join()
            #expect(waited.withLock { $0 } == 3)
            log.removeOnAppend(token)
            try log.append([[4]], recordedAt: 1)
            #expect(heard.withLock { $0 } == [2, 3])
            #expect(log.waitForAppend(after: 4, milliseconds: 1) == 4)
            let sleeper = Thread(name: "sleeper") { _ = log.waitForAppend(after: 4) }
            // Whenever the sleeper begins to wait, a wake after that lets it go.
            let isDone = Lock(false)
            let waker = Thread(name: "waker") { while !isDone.withLock({ $0 }) { log.wake() } }
            sleeper.join()
            isDone.withLock { $0 = true }
            waker.join()
        }
    }

    @Test func `a reader reads along while the writer appends`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            let frames = 5000
            let wrong = Lock(0)
            let seen = Lock<UInt64>(0)
            let reader = Thread(name: "reader") {
                var position: UInt64 = 0
                while position < UInt64(frames * 2) {
                    if log.waitForAppend(after: position, milliseconds: 30_000) <= position { break }
                    let last = try? log.read(after: position, recordsMax: 100, bytesMax: 1 << 16) { at, bytes in
                        let value = bytes.loadUnaligned(as: UInt64.self)
                        if value != at || bytes.count != 250 { wrong.withLock { $0 += 1 } }
                    }
                    guard let last else { break }
                    position = last
                }
                seen.withLock { $0 = position }
            }
            for frame in 0..<frames {
                let records = (1...2).map { index in
                    withUnsafeBytes(of: UInt64(frame * 2 + index)) { Array($0) } + [UInt8](repeating: 9, count: 242)
                }
                try log.append(records, recordedAt: Int64(frame))
            }
            reader.join()
            #expect(seen.withLock { $0 } == UInt64(frames * 2))
            #expect(wrong.withLock { $0 } == 0)
        }
    }

    @Test func `filling ahead changes nothing that is read`() throws {
        try withFolder { folder in
            let frames = randomFrames(300, recordsMax: 40, bytesMax: 2000, seed: 5)
            var records: [[UInt8]] = []
            do {
                let log = try openLog(folder, prezeroBytes: 1 << 20)
                records = try fill(log, frames)
                try log.append([[UInt8](repeating: 3, count: 5 << 20)], recordedAt: log.lastRecordedAt)
                records.append([UInt8](repeating: 3, count: 5 << 20))
                #expect(try log.verify().lastPosition == UInt64(records.count))
            }
            let log = try openLog(folder)
            var position: UInt64 = 0
            _ = try log.verify(record: { at, bytes, _ in
                position += 1
                #expect(at == position && bytes.elementsEqual(records[Int(at) - 1]))
            })
            #expect(position == UInt64(records.count))
        }
    }
}
