import Glibc
import Hashing
import Platform
import Testing

@testable import EventLog

@Suite struct PageWalkTests {
    @Test func `the pages of a log hang together, whatever its frames are, while it is written`() throws {
        try withFolder { folder in
            let log = try openLog(folder + "/log")
            var pages = 0
            for (round, (records, bytes)) in [(1, 1), (3, 200), (400, 30), (2, 9000), (1, 1), (40, 3000)].enumerated() {
                try fill(log, randomFrames(60, recordsMax: records, bytesMax: bytes, seed: UInt64(round)))
                let reader = try readPages(folder + "/log")
                #expect(reader > pages)
                pages = reader
            }
        }
    }

    /// LMDB may not be opened twice in a process, so a copy is looked at.
    private func readPages(_ folder: String) throws -> Int {
        let copy = folder + ".copy"
        try Folder.remove(copy)
        try Folder.make(copy)
        try DurableFile.replace(copy + "/data.mdb", with: try File.read(folder + "/data.mdb", bytesMax: 1 << 28))
        return try EventLog.checkPages(folder: copy)
    }

    @Test func `a flipped bit in the structure of a page is found before LMDB sees it`() throws {
        try withFolder { folder in
            do {
                let log = try openLog(folder + "/log")
                try fill(log, randomFrames(400, recordsMax: 4, bytesMax: 300, seed: 3))
            }
            let image = try File.read(folder + "/log/data.mdb", bytesMax: 1 << 24)
            var found = 0
            // The head of every page that is in use: whatever is wrong with it, something is said.
            for page in 2..<image.count / 4096 {
                let base = page * 4096
                let flags = image[base + 10]
                guard image[base] == UInt8(page & 0xFF), [1, 2, 4].contains(flags) else { continue }
                for byte in [0, 1, 10, 11, 12, 13, 14, 15] {
                    var damaged = image
                    damaged[base + byte] ^= 1 << UInt8((page + byte) % 8)
                    try write(damaged, folder + "/log/data.mdb")
                    if logError({ _ = try EventLog.checkPages(folder: folder + "/log") }) != nil { found += 1 }
                }
            }
            // Copies of pages that are not in use any more are not looked at.
            #expect(found >= 8 * 20, "\(found)")
            try DurableFile.replace(folder + "/log/data.mdb", with: image)
            #expect(try EventLog.checkPages(folder: folder + "/log") > 2)
        }
    }

    /// Not durable: only looked at.
    private func write(_ bytes: [UInt8], _ path: String) throws {
        let file = try PlacedFile(path: path, writable: true)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
    }

    private func entry(_ position: UInt64) -> KeyIndex.Entry {
        var random = Seeded(position)
        return KeyIndex.Entry(
            keyHash: (random.next(), random.next()), position: position, contentHash: (random.next(), random.next()))
    }

    @Test func `an index that was written, merged and cleaned is what the log gives`() throws {
        try withFolder { folder in
            let id = [UInt8](repeating: 7, count: 16)
            let count: UInt64 = 40_000
            #expect(try KeyIndexCheck(folder: folder, logID: id, highWater: { 0 }) == nil)
            do {
                let index = try KeyIndex.open(folder: folder, logID: id, highWater: 0, memtableMax: 300)
                for position in 1...count { index.insert(entry(position)) }
                try index.close()
            }
            func check(without missing: UInt64? = nil) throws -> (KeyIndexCheck, ClosedRange<UInt64>?) {
                var check = try #require(try KeyIndexCheck(folder: folder, logID: id, highWater: { count }))
                for position in 1...check.progress {
                    if position != missing { check.expect(entry(position)) }
                }
                return (check, check.difference)
            }
            let (whole, difference) = try check()
            #expect(whole.progress == count && whole.entries == Int(count) && difference == nil)
            #expect(try check(without: 12_345).1?.contains(12_345) == true)
            #expect(logError { _ = try KeyIndexCheck(folder: folder, logID: id, highWater: { count - 1 }) } != nil)
            let other = [UInt8](repeating: 8, count: 16)
            #expect(logError { _ = try KeyIndexCheck(folder: folder, logID: other, highWater: { count }) } != nil)
        }
    }
}
