import Billing
import EventLog
import Glibc
import Hashing
import Platform
import Projections
import Records
import TestEvents
import Testing

@testable import Snapshots

/// Adds events to a log, from a thread of its own: a log takes appends from one.
private actor Appender {
    private nonisolated let executor = ThreadExecutor(name: "append")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let log: EventLog
    private var random = RandomEvents(seed: 7)

    init(_ log: EventLog) {
        self.log = log
    }

    /// Adds frames of 1 to 7 records each.
    func append(_ count: Int) throws {
        var left = count
        while left > 0 {
            let size = min(left, Int(random.number(1...7)))
            var arena: [UInt8] = []
            var ends: [Int] = []
            var hashes: [Digest] = []
            let recordedAt = Int64(log.highWater + 1) * 1_000
            for index in 0..<size {
                let position = log.highWater + UInt64(index) + 1
                let start = arena.count
                let event = Event(
                    source: "test", id: Name(checked: "e\(position)"),
                    time: Timestamp(microseconds: 1_793_491_200_000_000 + Int64(position) * 60_000_000),
                    fact: fact(position))
                RecordCodec.encode(event, door: .native, key: nil, into: &arena)
                arena.withUnsafeMutableBytes { bytes in
                    let slot = UnsafeMutableRawBufferPointer(rebasing: bytes[start...])
                    RecordCodec.stamp(slot, position: position, recordedAt: Timestamp(microseconds: recordedAt))
                    hashes.append(RecordCodec.hash(UnsafeRawBufferPointer(slot)))
                }
                ends.append(arena.count)
            }
            try log.append(records: arena, ends: ends, hashes: hashes, recordedAt: recordedAt)
            left -= size
        }
    }

    private func fact(_ position: UInt64) -> Fact {
        switch position {
        case 1:
            return .pricesPublished(
                PriceList(unit: .credits, rules: [PriceRule(anyToken: Decimal(mantissa: 15, scale: 3))]))
        case 2:
            return .creditsGranted(Grant(owner: .org("o1"), credits: Money(nanos: 50_000_000), category: .paid))
        default:
            return .call(
                Call(
                    org: position % 3 == 0 ? "o2" : "o1", provider: "p", model: position % 2 == 0 ? "m" : "n",
                    operation: .chat, status: .success,
                    usage: Usage(inputTokens: Int64(position % 1000), outputTokens: 10)))
        }
    }
}

/// A data folder with a log of events, and, when asked for, its read models.
private final class Rig: Sendable {
    let root: String
    var data: String { root + "/data" }
    let log: EventLog
    private let appender: Appender

    init() throws {
        root = try Folder.makeTemporary(prefix: "tallystick-snapshots")
        try Folder.make(root + "/data/log")
        log = try EventLog.open(folder: root + "/data/log", mode: .readWrite, mapBytes: 1 << 30)
        appender = Appender(log)
    }

    deinit { try? Folder.remove(root) }

    func append(_ count: Int) async throws { try await appender.append(count) }

    func foldReadModels() async throws {
        try Folder.make(data + "/readmodels")
        _ = try await ReadModels.catchUp(folder: data + "/readmodels", source: EventLogSource(log))
    }

    /// A snapshot of the log as it is, the way a tool beside the daemon sees it.
    @discardableResult
    func snapshot(_ name: String, after previous: String? = nil) async throws -> SnapshotMaker.Result {
        try await SnapshotMaker(folder: data, log: log, origin: "test/log").make(
            path(name), after: try previous.map { try Snapshot(path($0)) }, madeAt: 1_800_000_000_000_000)
    }

    func path(_ name: String) -> String { root + "/" + name }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let file = try NewFile(path: path(name))
        try file.write(bytes)
    }

    func read(_ name: String) throws -> [UInt8] { try File.read(path(name), bytesMax: 1 << 30) }
}

/// Everything that `verify` looks at. Throws where it does not hold.
@discardableResult
private func check(_ paths: String...) throws -> SnapshotLog {
    let check = SnapshotCheck(try SnapshotChain(paths))
    _ = try check.files()
    let log = try check.log().log
    for model in try check.readModels(log) {
        if let fault = model.fault { throw SnapshotError.differs(part: model.name, reason: fault) }
    }
    return log
}

private func restore(_ rig: Rig, _ paths: String..., to name: String) async throws {
    let chain = try SnapshotChain(paths.map { rig.path($0) })
    let log = try SnapshotCheck(chain).log().log
    _ = try await SnapshotRestore(chain).restore(to: rig.path(name), log: log)
}

private func frames(_ log: EventLog) throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var after: UInt64 = 0
    while after < log.highWater {
        after = try log.readFrames(after: after, framesMax: 100, bytesMax: 1 << 20) { frames.append(Array($0.bytes)) }
    }
    return frames
}

private func stored(_ folder: String) throws -> [String: StoredReadModel] {
    var found: [String: StoredReadModel] = [:]
    for type in ReadModels.all { found[type.name] = try type.stored(in: folder + "/readmodels") }
    return found
}

@Test(arguments: ["full", "full.tar"]) func `what is restored is the same log and the same read models`(
    _ name: String
) async throws {
    let rig = try Rig()
    try await rig.append(300)
    try await rig.foldReadModels()
    // The read models are behind the log, as under load.
    try await rig.append(40)
    try rig.write("data/keys.json", Array("{\"version\":1,\"keys\":[]}\n".utf8))
    try Folder.make(rig.data + "/parked")
    try rig.write("data/parked/parked.ndjson", Array("{\"a\":1}\n{\"b\"".utf8))
    // What a daemon is about to put in its place is not there yet.
    try rig.write("data/parked/parked.ndjson.new", Array("{\"a\":1}\n".utf8))
    let made = try await rig.snapshot(name)
    #expect(made.manifest.position == 340)
    #expect(made.stopped.isEmpty)
    #expect(made.manifest.readModels.allSatisfy { $0.position == 340 })
    try check(rig.path(name))
    #expect(!(try Folder.list(rig.root)).contains { $0.contains("partial") })

    try await restore(rig, name, to: "copy")
    let copy = try EventLog.open(folder: rig.path("copy/log"), mode: .readWrite, mapBytes: 1 << 30)
    #expect(copy.id == rig.log.id && copy.createdAt == rig.log.createdAt)
    #expect(try frames(copy) == frames(rig.log))
    try await rig.foldReadModels()
    let models = try stored(rig.path("copy"))
    #expect(models == (try stored(rig.data)))
    #expect(models.count == ReadModels.all.count)
    #expect(try rig.read("copy/keys.json") == rig.read("data/keys.json"))
    #expect(try rig.read("copy/parked/parked.ndjson") == Array("{\"a\":1}\n".utf8))
    #expect(try Folder.list(rig.path("copy/parked")) == ["parked.ndjson"])
    // And it goes on.
    try copy.append(
        records: [1, 2, 3], ends: [3], hashes: [[1, 2, 3].withUnsafeBytes { RecordCodec.hash($0) }],
        recordedAt: copy.lastRecordedAt)
    #expect(copy.highWater == 341)
}

@Test func `an empty log is a snapshot too`() async throws {
    let rig = try Rig()
    try await rig.snapshot("full.tar")
    try check(rig.path("full.tar"))
    try await restore(rig, "full.tar", to: "copy")
    #expect(try EventLog.open(folder: rig.path("copy/log"), mode: .readOnly).highWater == 0)
}

@Test func `a chain restores to its last position`() async throws {
    let rig = try Rig()
    try await rig.append(100)
    try await rig.snapshot("a")
    try await rig.append(50)
    try await rig.foldReadModels()
    try await rig.snapshot("b.tar", after: "a")
    try await rig.snapshot("c", after: "b.tar")
    try await rig.append(25)
    let last = try await rig.snapshot("d", after: "c")
    #expect(last.manifest.firstPosition == 151 && last.manifest.position == 175)
    // The others are found beside the last.
    try check(rig.path("d"))
    try await restore(rig, "d", to: "copy")
    let copy = try EventLog.open(folder: rig.path("copy/log"), mode: .readOnly)
    #expect(try frames(copy) == frames(rig.log))
    try await rig.foldReadModels()
    #expect(try stored(rig.path("copy")) == stored(rig.data))
    // A full snapshot of the same log has the same checkpoint.
    let whole = try await rig.snapshot("e")
    #expect(whole.checkpoint == last.checkpoint)
    // In other places they can be given one by one, and one that does not belong is named.
    try Folder.make(rig.path("away"))
    try File.rename(rig.path("b.tar"), to: rig.path("away/b.tar"))
    #expect(throws: SnapshotError.self) { try check(rig.path("d")) }
    try check(rig.path("away/b.tar"), rig.path("d"))
    #expect(throws: SnapshotError.self) { try check(rig.path("e"), rig.path("away/b.tar"), rig.path("d")) }
}

@Test func `an incremental snapshot goes on from its own log only`() async throws {
    let rig = try Rig()
    try await rig.append(30)
    try await rig.snapshot("a")
    let other = try Rig()
    try await other.append(60)
    await #expect(throws: SnapshotError.self) {
        try await SnapshotMaker(folder: other.data, log: other.log, origin: "test/log").make(
            other.path("b"), after: try Snapshot(rig.path("a")), madeAt: 0)
    }
    // An older copy of the log.
    try await rig.append(10)
    try await rig.snapshot("b")
    try await restore(rig, "a", to: "old")
    let old = try EventLog.open(folder: rig.path("old/log"), mode: .readOnly)
    await #expect(throws: SnapshotError.self) {
        try await SnapshotMaker(folder: rig.path("old"), log: old, origin: "test/log").make(
            rig.path("c"), after: try Snapshot(rig.path("b")), madeAt: 0)
    }
}

@Test func `nothing is overwritten`() async throws {
    let rig = try Rig()
    try await rig.append(10)
    try await rig.snapshot("a")
    try await rig.snapshot("a.tar")
    let before = try rig.read("a.tar")
    await #expect(throws: SnapshotError.self) { try await rig.snapshot("a") }
    await #expect(throws: SnapshotError.self) { try await rig.snapshot("a.tar") }
    #expect(try rig.read("a.tar") == before)
    await #expect(throws: SnapshotError.self) { try await restore(rig, "a", to: "data") }
    await #expect(throws: SnapshotError.self) { try await restore(rig, "a", to: "a.tar") }
    // An empty folder is room.
    try Folder.make(rig.path("empty"))
    try await restore(rig, "a", to: "empty")
    #expect(Folder.isFolder(rig.path("empty/log")))
}

@Test func `what a killed one left is no snapshot, and is removed by the next`() async throws {
    let rig = try Rig()
    try await rig.append(10)
    try Folder.make(rig.path("a.partial/log"))
    try rig.write("a.partial/log/left", [1])
    #expect(throws: SnapshotError.self) { try check(rig.path("a.partial")) }
    #expect(throws: SnapshotError.self) { try check(rig.path("a")) }
    try await rig.snapshot("a")
    try check(rig.path("a"))
    #expect(!File.exists(rig.path("a.partial")))
    // While somebody is at it, nobody else is.
    let held = try Staging(target: rig.path("b"))
    await #expect(throws: SnapshotError.self) { try await rig.snapshot("b") }
    withExtendedLifetime(held) {}
}

@Test func `the same log gives the same tar file`() async throws {
    let rig = try Rig()
    try await rig.append(100)
    try await rig.foldReadModels()
    try await rig.snapshot("a.tar")
    try await rig.snapshot("b.tar")
    #expect(try rig.read("a.tar") == rig.read("b.tar"))
}

@Test(arguments: [false, true]) func `any changed byte in any file is found`(_ isTar: Bool) async throws {
    let rig = try Rig()
    try await rig.append(60)
    try await rig.foldReadModels()
    try rig.write("data/keys.json", Array("{\"version\":1,\"keys\":[]}\n".utf8))
    try await rig.snapshot(isTar ? "full.tar" : "full")
    try await rig.append(20)
    try await rig.snapshot(isTar ? "next.tar" : "next", after: isTar ? "full.tar" : "full")
    let last = rig.path(isTar ? "next.tar" : "next")
    try check(last)
    let snapshots = isTar ? ["full.tar", "next.tar"] : ["full", "next"]
    var random = RandomEvents(seed: 20261125)
    var tried = 0
    for snapshot in snapshots {
        let names = isTar ? [snapshot] : try Archive(rig.path(snapshot)).members.map { "\(snapshot)/\($0.name)" }
        for name in names {
            let bytes = try rig.read(name)
            for _ in 0..<(isTar ? 120 : 8) {
                var changed = bytes
                let place = Int(random.number(0...Int64(bytes.count - 1)))
                changed[place] ^= UInt8(1 << random.number(0...7))
                try DurableFile.replace(rig.path(name), with: changed)
                #expect(throws: (any Error).self, "\(name) at byte \(place)") { try check(last) }
                tried += 1
            }
            try DurableFile.replace(rig.path(name), with: bytes)
        }
    }
    try check(last)
    #expect(tried > 100)
}

@Test func `a file more or less, cut off or in another's place is named`() async throws {
    let rig = try Rig()
    try await rig.append(60)
    try await rig.snapshot("full")
    for member in try Archive(rig.path("full")).members {
        let name = "full/\(member.name)"
        let bytes = try rig.read(name)
        try File.remove(rig.path(name))
        #expect(throws: SnapshotError.self, "\(name) is missing") { try check(rig.path("full")) }
        try rig.write(name, Array(bytes.dropLast()))
        #expect(throws: SnapshotError.self, "\(name) is cut off") { try check(rig.path("full")) }
        try DurableFile.replace(rig.path(name), with: bytes)
    }
    for name in ["full/extra", "full/parked/extra", "full/log/00000000000000000099.frames"] {
        try Folder.make(Folder.parent(of: rig.path(name)))
        try rig.write(name, [1, 2, 3])
        #expect(throws: SnapshotError.self, "\(name)") { try check(rig.path("full")) }
        try File.remove(rig.path(name))
    }
    try check(rig.path("full"))
}

@Test func `links, devices and folders that do not belong are refused`() async throws {
    let rig = try Rig()
    try await rig.append(20)
    try await rig.snapshot("full")
    let keys = rig.path("full/keys.json")
    try rig.write("outside", Array("{}".utf8))
    for make in [
        { symlink(rig.path("outside"), keys) }, { mkfifo(keys, 0o600) }, { mkdir(keys, 0o700) },
        { symlink(rig.path("data/log"), rig.path("full/parked")) }, { mkdir(rig.path("full/other"), 0o700) },
    ] {
        #expect(make() == 0)
        #expect(throws: SnapshotError.self) { try check(rig.path("full")) }
        for path in [keys, rig.path("full/parked"), rig.path("full/other")] { try Folder.remove(path) }
    }
    try check(rig.path("full"))
}

@Test func `a tar file of another making is refused before anything is read`() async throws {
    let rig = try Rig()
    try await rig.append(20)
    try await rig.snapshot("full.tar")
    let bytes = try rig.read("full.tar")
    func entry(_ name: String, _ content: [UInt8], type: UInt8 = 0x30, link: String = "") throws -> [UInt8] {
        var header = try #require(Tar.header(name: name, size: content.count))
        header[156] = type
        for (index, byte) in link.utf8.enumerated() { header[157 + index] = byte }
        for index in 148..<156 { header[index] = 0x20 }
        let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
        for (index, byte) in (String(repeating: "0", count: 6 - sum.utf8.count) + sum + "\0 ").utf8.enumerated() {
            header[148 + index] = byte
        }
        return header + content + [UInt8](repeating: 0, count: Tar.padding(content.count))
    }
    let end = bytes.count - Tar.endBytes
    let attacks = [
        try entry("../outside", [1]), try entry("/etc/passwd", [1]), try entry("log/../../outside", [1]),
        try entry("zlink", [], type: 0x32, link: "/etc/passwd"), try entry("zdevice", [], type: 0x33),
        try entry("zextra", [1]), try entry("keys.json", [1]),
    ]
    for (index, attack) in attacks.enumerated() {
        try DurableFile.replace(rig.path("bad.tar"), with: bytes[..<end] + attack + bytes[end...])
        #expect(throws: SnapshotError.self, "attack \(index)") { try check(rig.path("bad.tar")) }
        await #expect(throws: SnapshotError.self, "attack \(index)") { try await restore(rig, "bad.tar", to: "copy") }
    }
    for cut in [0, 100, 511, 512, 1000, bytes.count - 1, bytes.count - 512] {
        try DurableFile.replace(rig.path("bad.tar"), with: Array(bytes[..<cut]))
        #expect(throws: (any Error).self, "cut at \(cut)") { try check(rig.path("bad.tar")) }
    }
    #expect(!File.exists(rig.path("copy")) && !File.exists(rig.path("outside")))
}

/// Somebody who writes the manifest anew can make the hashes fit; the rows still have to follow from the log.
@Test func `read models that the log does not give are found though every hash fits`() async throws {
    let rig = try Rig()
    try await rig.append(60)
    try await rig.foldReadModels()
    // A read model of the same shape, one record short.
    let short = try Rig()
    try await short.append(59)
    try await short.foldReadModels()
    try await short.snapshot("short")
    let made = try await rig.snapshot("full")
    #expect(made.manifest.position == 60)
    let wrong = try short.read("short/readmodels/tokens.sqlite")
    try DurableFile.replace(rig.path("full/readmodels/tokens.sqlite"), with: wrong)
    var manifest = made.manifest
    for (index, file) in manifest.files.enumerated() where file.name == "readmodels/tokens.sqlite" {
        manifest.files[index].bytes = wrong.count
        manifest.files[index].hash = SHA256.hash(wrong)
    }
    try DurableFile.replace(rig.path("full/manifest.json"), with: manifest.bytes)
    try DurableFile.replace(
        rig.path("full/manifest.sha256"), with: Manifest.hashLine(SHA256.hash(manifest.bytes)))
    let chain = try SnapshotChain([rig.path("full")])
    _ = try SnapshotCheck(chain).files()
    #expect(throws: SnapshotError.self) { try check(rig.path("full")) }
}

/// What a program of another version folded is not called wrong, and not passed over in silence.
@Test func `a read model of another version is named, not compared, and the rest still is`() async throws {
    let rig = try Rig()
    try await rig.append(60)
    try await rig.foldReadModels()
    var manifest = try await rig.snapshot("full").manifest
    let index = try #require(manifest.readModels.firstIndex { $0.name == "credits" })
    manifest.readModels[index].schemaVersion -= 1
    try DurableFile.replace(rig.path("full/manifest.json"), with: manifest.bytes)
    try DurableFile.replace(
        rig.path("full/manifest.sha256"), with: Manifest.hashLine(SHA256.hash(manifest.bytes)))
    let check = SnapshotCheck(try SnapshotChain([rig.path("full")]))
    let models = try check.readModels(try check.log().log)
    #expect(Set(models.map(\.name)) == Set(ReadModels.all.map { $0.name }))
    #expect(models.filter { $0.digest == nil }.map(\.name) == ["credits"])
    #expect(models.allSatisfy { $0.fault == nil })
    try await restore(rig, "full", to: "copy")
    #expect(try stored(rig.path("copy"))["tokens"] == stored(rig.data)["tokens"])
}
