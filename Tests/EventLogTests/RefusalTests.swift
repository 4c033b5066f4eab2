import Glibc
import Hashing
import Platform
import Testing

import CLMDB
@testable import EventLog

@Suite struct RefusalTests {
    @Test func `a log is open once`() throws {
        try withFolder { folder in
            var log: EventLog? = try openLog(folder)
            #expect(logError { _ = try openLog(folder) } == .locked(folder: folder))
            #expect(logError { _ = try openLog(folder, mode: .readOnly) } == .locked(folder: folder))
            _ = log?.highWater
            log = nil
            // As another process would hold it.
            var held = try FolderLock(folder: folder, name: EventLog.lockName)
            #expect(held != nil)
            #expect(logError { _ = try openLog(folder) } == .locked(folder: folder))
            held = nil
            _ = try openLog(folder)
        }
    }

    @Test func `another process reads beside the writer and cannot write`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-log")
        let log = try openLog(folder)
        try log.append([[1], [2], [3]], recordedAt: 1)
        await #expect(processExitsWith: .success) { [folder = folder as String] in
            let log = try openLog(folder, mode: .readOnly)
            let two = try log.withRecord(at: 2) { Array($0) }
            let whole = try log.verify()
            let refused = logError { _ = try openLog(folder) }
            guard log.highWater == 3, two == [2], whole.lastPosition == 3 else { exit(1) }
            guard refused == .locked(folder: folder) else { exit(2) }
        }
        #expect(try log.withRecord(at: 3) { Array($0) } == [3])
        _ = consume log
        try Folder.remove(folder)
    }

    @Test func `a reader sees new frames when it looks again`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-log")
        do {
            let log = try openLog(folder)
            try log.append([[1]], recordedAt: 5)
        }
        // The roles are turned round: this process reads, the other writes.
        let log = try openLog(folder, mode: .readOnly)
        #expect(log.highWater == 1)
        await #expect(processExitsWith: .success) { [folder = folder as String] in
            let log = try openLog(folder)
            for value in 2...200 { try log.append([[UInt8(value)], [0]], recordedAt: 6) }
        }
        #expect(log.highWater == 1)
        #expect(try log.refresh() == 399 && log.highWater == 399 && log.lastRecordedAt == 6)
        #expect(try log.withRecord(at: 398) { Array($0) } == [200])
        #expect(try log.verify().frames == 200)
        _ = consume log
        try Folder.remove(folder)
    }

    @Test func `a folder that is no log is refused and left as it is`() throws {
        try withFolder { folder in
            let missing = logError { _ = try openLog(folder, mode: .readOnly) }
            #expect(missing == .notALog(folder: folder, reason: "it has no data.mdb"))
            let rows: [[UInt8]] = [Array("hello".utf8), [UInt8](repeating: 0x41, count: 100_000)]
            for bytes in rows {
                try DurableFile.replace(folder + "/data.mdb", with: bytes)
                #expect(isNotALog(folder, .readWrite), "\(bytes.count) bytes")
                #expect(isNotALog(folder, .readOnly), "\(bytes.count) bytes")
                #expect(try File.read(folder + "/data.mdb", bytesMax: 1 << 20) == bytes)
            }
        }
    }

    private func isNotALog(_ folder: String, _ mode: EventLog.Mode) -> Bool {
        if case .notALog? = logError({ _ = try openLog(folder, mode: mode) }) { return true }
        return false
    }

    @Test func `an LMDB file of something else is refused`() throws {
        try withFolder { folder in
            do {
                let environment = try Environment(folder: folder, databasesMax: 2, mapBytes: 1 << 20, readOnly: false)
                let transaction = try WriteTransaction(environment)
                _ = try Database("other", flags: MDB_CREATE, in: transaction.handle)
                try transaction.commit()
            }
            #expect(
                logError { _ = try openLog(folder) } == .notALog(folder: folder, reason: "data.mdb says no format"))
        }
    }

    @Test func `a newer format is refused by name`() throws {
        try withFolder { folder in
            _ = try openLog(folder)
            do {
                let environment = try Environment(folder: folder, databasesMax: 4, mapBytes: 1 << 20, readOnly: false)
                let transaction = try WriteTransaction(environment)
                let meta = try #require(try Database("meta", flags: 0, in: transaction.handle))
                try putValue(transaction.handle, meta, "format", LogMeta.integer(2))
                try transaction.commit()
            }
            let error = logError { _ = try openLog(folder) }
            #expect(error == .newerFormat(folder: folder, found: 2, known: 1))
            let text = "\(folder) has format 2, this program knows up to 1: use the newer program"
            #expect(error?.description == text)
        }
    }

    @Test func `a file that lost its end is refused, not touched`() throws {
        try withFolder { folder in
            do {
                let log = try openLog(folder)
                try fill(log, randomFrames(100, recordsMax: 10, bytesMax: 500, seed: 3))
            }
            let size = try File.size(folder + "/data.mdb")
            for keep in [size / 2, size - 4096, 8192, 0] {
                truncate(folder + "/data.mdb", off_t(keep))
                for needed in [neededBytes(folder, .readWrite), neededBytes(folder, .readOnly)] {
                    #expect(needed > keep && needed <= size)
                }
            }
        }
    }

    /// What an open that refuses a short file says it needs; 0 when it says something else.
    private func neededBytes(_ folder: String, _ mode: EventLog.Mode) -> Int {
        if case .tooShort(_, _, let needed)? = logError({ _ = try openLog(folder, mode: mode) }) { return Int(needed) }
        return 0
    }

    @Test func `a full map stores nothing, and a larger one goes on`() throws {
        try withFolder { folder in
            var stored: UInt64 = 0
            do {
                let log = try openLog(folder, mapBytes: 1 << 20)
                let record = [UInt8](repeating: 1, count: 3000)
                let error = logError { while true { try log.append([record], recordedAt: 1) } }
                #expect(error == .full(code: MDB_MAP_FULL))
                stored = log.highWater
                #expect(stored > 100 && stored < 350)
                let again = logError { try log.append([[UInt8](repeating: 2, count: 5000)], recordedAt: 1) }
                #expect(again == .full(code: MDB_MAP_FULL))
                #expect(try log.verify().lastPosition == stored)
                #expect(try log.withRecord(at: stored) { $0.count } == 3000)
            }
            let log = try openLog(folder, mapBytes: 2 << 20)
            #expect(log.highWater == stored)
            try log.append([[2]], recordedAt: 1)
            #expect(try log.verify().lastPosition == stored + 1)
        }
    }

    @Test func `an append that finds the disk full changes nothing`() throws {
        try withFolder { folder in
            let log = try openLog(folder)
            try fill(log, [[[1]], [[2]]])
            for code in [ENOSPC, EDQUOT, EFBIG, MDB_MAP_FULL] {
                log.failAppend(number: 2, code: code)
                try log.append([[3]], recordedAt: log.lastRecordedAt)
                let before = log.highWater
                #expect(logError { try log.append([[9]], recordedAt: log.lastRecordedAt) } == .full(code: code))
                #expect(log.highWater == before)
                try log.append([[4]], recordedAt: log.lastRecordedAt)
                #expect(log.highWater == before + 1)
            }
            #expect(try log.verify().lastPosition == 10)
        }
    }

    @Test func `after a failed commit no append is taken until the next start`() throws {
        for code in [EIO, ENXIO, MDB_PANIC, MDB_CORRUPTED] {
            try withFolder { folder in
                do {
                    let log = try openLog(folder)
                    try fill(log, [[[1]], [[2]]])
                    log.failAppend(number: 1, code: code)
                    let error = LogError.commitFailed(code: code, operation: "mdb_txn_commit")
                    #expect(logError { try log.append([[3]], recordedAt: log.lastRecordedAt) } == error)
                    #expect(logError { try log.append([[3]], recordedAt: log.lastRecordedAt) } == error)
                    #expect(log.highWater == 2)
                    #expect(try log.withRecord(at: 2) { Array($0) } == [2])
                }
                let log = try openLog(folder)
                #expect(log.highWater == 2)
                try log.append([[3]], recordedAt: log.lastRecordedAt)
                #expect(try log.verify().lastPosition == 3)
            }
        }
    }
}
