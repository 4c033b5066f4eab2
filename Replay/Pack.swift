import Billing
import EventLog
import Glibc
import Hashing
import JSON
import Platform
import Projections
import Records
import Schemas
import Snapshots

/// `pack`: all that somebody needs to work out an org's period anew, without us: its records with proof that they are
/// in the log, what follows from them, and a program that checks both (Schemas/PACK.md).
func pack(_ arguments: Arguments) throws -> Int32 {
    guard let target = arguments["to"] else { throw Refusal(text: "where to? --to PATH, a folder or a .tar file") }
    guard let org = arguments["org"].flatMap({ Name($0) }) else { throw Refusal(text: "whose? --org ORG") }
    guard let period = arguments["period"].flatMap({ packPeriod($0) }) else {
        throw Refusal(text: "which period? --period 2025-11, or START/END as RFC 3339 times")
    }
    let folder = try DataFolder(try arguments.folder())
    let origin = arguments["log-origin"] ?? Checkpoint.standardOrigin(logID: folder.log.id)
    guard Checkpoint.isOrigin(origin) else { throw Refusal(text: "--log-origin: \(origin) cannot be an origin") }
    let held = try arguments["checkpoint"].map { try SavedCheckpoint($0).checkpoint }
    if let held, held.size > folder.log.highWater {
        throw Refusal(text: "the checkpoint covers \(held.size) records, the log has \(folder.log.highWater)")
    }
    let started = SteadyClock.nanoseconds()
    let staging = try Staging(target: target)
    let maker = PackMaker(folder: folder, org: org, period: period, origin: origin, held: held)
    let made = try maker.make(into: staging)
    try staging.place()
    let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
    if arguments.json {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("path", string: target)
        writer.member("org", string: org.text)
        writer.member("position", integer: made.position)
        writer.member("records", integer: made.records)
        writer.member("withheld", integer: made.withheld)
        writer.member("manifest_sha256", string: made.manifestHash.hex)
        writer.member("checkpoint", string: made.checkpoint.text)
        writer.member("milliseconds", integer: milliseconds)
        writer.endObject()
        print(String(decoding: writer.bytes, as: UTF8.self))
    } else {
        print("\(target): \(made.records) records of \(org.text) in a log of \(made.position), in \(milliseconds) ms")
        print("manifest sha256 \(made.manifestHash.hex)")
        print(made.checkpoint.text, terminator: "")
        print("check it with: python3 verify.py \(target)")
    }
    return ExitCode.holds
}

/// "2025-11", or "START/END".
private func packPeriod(_ text: String) -> Range<Timestamp>? {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 2 {
        guard let start = Timestamp(rfc3339: parts[0]), let end = Timestamp(rfc3339: parts[1]), start < end else {
            return nil
        }
        return start..<end
    }
    guard parts.count == 1, text.utf8.count == 7, let start = Timestamp(rfc3339: "\(text)-01T00:00:00Z") else {
        return nil
    }
    guard let days = Period.month.bounds(containing: start.day) else { return nil }
    return days.lowerBound.start..<days.upperBound.start
}

/// Gathers a pack in two walks over the log: the first folds it, the second takes the org's records and the proofs.
private struct PackMaker {
    struct Result {
        var position: UInt64
        var records: Int
        var withheld: Int
        var manifestHash: Digest
        var checkpoint: Checkpoint
    }

    let folder: DataFolder
    let org: Name
    let period: Range<Timestamp>
    let origin: String
    let held: Checkpoint?

    private static let chunkRecords = 10_000
    private static let chunkBytes = 8 << 20

    func make(into staging: Staging) throws -> Result {
        let end = folder.log.highWater
        var history = OrgHistory(org: org, period: period)
        let closed = try fold(into: &history, through: end)
        let gathered = try gather(history, through: end, closed: closed, into: staging)
        let shared = history.sharedUsers
        try staging.add("charges.ndjson", history.charges.flatMap { PackWriter.line(of: $0, shared: shared) })
        try staging.add("lines.json", PackWriter.lines(history))
        try staging.add("statement.json", PackWriter.statement(history))
        try staging.add("claims.json", PackWriter.claims(history, withheld: gathered.withheld))
        try staging.add("verify.py", Schema.verifier)
        try staging.add("README.txt", Array(PackWriter.readme.utf8))
        let files = try staging.seal()
        let manifest = PackWriter.manifest(
            org: org, period: period, logID: folder.log.id, position: end, files: files)
        let manifestHash = SHA256.hash(manifest)
        try staging.add("manifest.json", manifest)
        try staging.add("manifest.sha256", Array("\(manifestHash.hex)  manifest.json\n".utf8))
        try Folder.sync(staging.path)
        return Result(
            position: end, records: gathered.records, withheld: gathered.withheld.count, manifestHash: manifestHash,
            checkpoint: gathered.checkpoint)
    }

    /// Gives how many records were stored before the period ended.
    private func fold(into history: inout OrgHistory, through end: UInt64) throws -> UInt64 {
        let source = folder.source
        let decoder = RecordDecoder()
        var meter = Meter("fold", total: end)
        var reached: UInt64 = 0
        var closed: UInt64 = 0
        while reached < end {
            let before = reached
            let most = Int(min(UInt64(PackMaker.chunkRecords), end - reached))
            reached = try source.read(
                after: reached, recordsMax: most, bytesMax: PackMaker.chunkBytes, decoder: decoder
            ) { record in
                try history.apply(record, log: source)
                if record.recordedAt < period.upperBound { closed = record.position }
            }
            guard reached > before else { throw RecordFault(position: reached + 1, reason: "the log ends before it") }
            meter.reach(reached)
        }
        _ = meter.end()
        return closed
    }

    private func gather(
        _ history: OrgHistory, through end: UInt64, closed: UInt64, into staging: Staging
    ) throws -> (records: Int, withheld: [PackWriter.Withheld], checkpoint: Checkpoint) {
        let selection = history.selection
        let sizes = Set([closed] + (held.map { [$0.size] } ?? [])).subtracting([end]).sorted()
        let plans = sizes.map { MerkleProof.consistency(first: $0, second: end) }
        let roots = (sizes + [closed]).map { MerkleProof.root(size: $0) }
        var collector = MerkleCollector(plans.flatMap { $0.flatMap(\.self) } + roots.flatMap(\.self))
        var gaps = MerkleGaps()
        var withheld: [PackWriter.Withheld] = []
        let records = try NewFile(path: staging.path + "/records.ndjson")
        var lines: [UInt8] = []
        var count = 0
        var meter = Meter("records", total: end)
        let decoder = RecordDecoder()
        _ = try folder.log.verify(
            through: end, progress: { meter.reach(min($0, end)) },
            record: { position, bytes, hash in
                guard position <= end else { return }
                let record = try EventLogSource.decode(bytes, at: position, with: decoder)
                let belonging = selection.belonging(of: record)
                collector.append(hash)
                switch belonging {
                case .no: break
                case .whole:
                    count += 1
                    lines += Base64.text(bytes).utf8
                    lines.append(0x0A)
                    if lines.count >= PackMaker.chunkBytes {
                        try records.write(lines)
                        lines.removeAll(keepingCapacity: true)
                    }
                case .withheld:
                    guard case .callAmended(let amended) = record.event.fact, let standing = amended.unwinds
                    else { break }
                    withheld.append(
                        PackWriter.Withheld(
                            position: position, hash: hash, time: record.occurredAt,
                            unwinds: standing.org == org ? standing.position : nil,
                            joins: amended.call.org == org
                                ? (amended.call, standing.occurredAt, standing.isCall) : nil))
                }
                gaps.append(hash, isChosen: belonging != .no)
            })
        _ = meter.end()
        try records.write(lines)
        let (hashes, root) = gaps.finish()
        let checkpoint = Checkpoint(origin: origin, size: end, root: root)
        func rootNow(_ size: UInt64) -> Digest { Merkle.fold(MerkleProof.root(size: size).map(collector.hash)) }
        if let held, held.root != (held.size == end ? root : rootNow(held.size)) {
            throw SnapshotError.differs(
                part: "the log", reason: "its first \(held.size) records are not those of the checkpoint")
        }
        try staging.add("checkpoint", Array(checkpoint.text.utf8))
        let before = Checkpoint(origin: origin, size: closed, root: closed == end ? root : rootNow(closed))
        try staging.add("checkpoint.period", Array(before.text.utf8))
        let proofs = zip(sizes, plans).map { size, plan in
            (first: size, root: rootNow(size), hashes: MerkleProof.hashes(plan, node: collector.hash))
        }
        try staging.add("proof.json", PackWriter.proof(others: hashes, consistency: proofs))
        return (count, withheld, checkpoint)
    }
}
