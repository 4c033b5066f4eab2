import Audit
import Engine
import EventLog
import Hashing
import Platform
import Projections
import Records

/// The walk over the log: hashes, chain, gaps, that every record is one that this version reads, in its place; in the
/// same pass the Merkle tree is made again and held against the tiles and a saved checkpoint, and read models are
/// folded.
final class LogCheck {
    private let folder: DataFolder
    private let highWater: UInt64
    private let saved: SavedCheckpoint?
    private let report: Report
    private var tree: TreeCheck

    init(_ folder: DataFolder, through highWater: UInt64, against saved: SavedCheckpoint?, into report: Report) throws {
        self.folder = folder
        self.highWater = highWater
        self.saved = saved
        self.report = report
        tree = try TreeCheck(
            folder: folder.path + "/tiles", logID: folder.log.id, createdAt: folder.log.createdAt,
            highWater: { try folder.log.refresh() }, rootsAt: saved.map { [$0.size] } ?? [])
    }

    func run(folding checks: [ReadModelCheck]) {
        let fold = ReadModelCheck.fold(checks, in: folder, highWater: highWater)
        var foldFault: (any Error)?
        var isWhole = false
        let decoder = RecordDecoder(shapesMax: Refold.shapesMax)
        do {
            let result = try folder.log.verify(
                through: highWater,
                progress: { reached in
                    report.reach("log", reached)
                    for check in checks { report.reach(check.name, reached) }
                },
                record: { position, bytes, hash in
                    let record: Record
                    do throws(RecordError) {
                        record = try decoder.decode(bytes)
                    } catch {
                        throw LogError.corrupt(position: position, reason: "\(error)")
                    }
                    guard record.position == position else {
                        throw LogError.corrupt(position: position, reason: "it says it is \(record.position)")
                    }
                    if position <= highWater { tree.append(hash) }
                    guard foldFault == nil else { return }
                    do { try fold.apply(record) } catch { foldFault = error }
                })
            isWhole = true
            report.add(
                "log", position: highWater, digest: result.lastHash.hex,
                .holds("\(highWater) records in \(result.frames) frames, every hash and the chain, no gap"))
        } catch {
            report.add("log", error)
        }
        concludeTree(isWhole: isWhole)
        if let foldFault {
            for check in checks { check.fail(foldFault) }
        } else if isWhole {
            // Beside a running daemon a read model may be past the high water that was taken first.
            ReadModelCheck.finish(fold, checks)
        } else {
            // A hash that is wrong says nothing of the records before it, nor always of those after it.
            refold(checks, in: folder, into: report)
        }
    }

    private func concludeTree(isWhole: Bool) {
        if isWhole { tree.finish() }
        if let (position, reason) = tree.fault {
            report.add("tiles", position: position, .differs(reason))
        } else if isWhole {
            let text = tree.covered > 0
                ? "the tiles are those of the first \(min(tree.covered, tree.size)) records"
                : "there are no tiles to compare with"
            report.add(
                "tiles", position: highWater, digest: tree.root.base64, .holds("\(text); root over \(tree.size)"))
        }
        guard let saved else { return }
        // A tree that stops short of the checkpoint because the log is damaged before it says nothing of it.
        guard isWhole || tree.root(at: saved.size) != nil else { return }
        let fault = saved.fault(root: tree.root(at: saved.size), highWater: highWater)
        report.add(
            "checkpoint", position: min(saved.size, highWater), digest: saved.checkpoint.root.base64,
            fault.map { .differs($0) } ?? .holds("the log begins with the \(saved.size) records of \(saved.path)"))
    }
}

/// The key index on disk: in itself, and every entry against the record it was made of.
func checkIndex(_ folder: DataFolder, through highWater: UInt64, into report: Report) {
    do {
        guard var check = try KeyIndexCheck(
            folder: folder.path + "/index", logID: folder.log.id,
            highWater: { () throws(LogError) in try folder.log.refresh() })
        else {
            report.add("index", position: 0, .holds("there is no index to compare with: it comes back from the log"))
            return
        }
        var after: UInt64 = 0
        while after < check.progress {
            let before = after
            after = try folder.log.read(after: after, recordsMax: 10_000, bytesMax: 8 << 20) { position, bytes in
                guard position <= check.progress else { return }
                guard let hashes = RecordCodec.hashes(bytes) else {
                    throw LogError.corrupt(position: position, reason: "it is no record")
                }
                let (entry, alias) = KeyIndex.entries(of: hashes, at: position)
                check.expect(entry)
                if let alias { check.expect(alias) }
            }
            guard after > before else { throw LogError.corrupt(position: after + 1, reason: "the log ends before it") }
            report.reach("index", min(after, highWater))
        }
        if let positions = check.difference {
            report.add(
                "index", position: positions.lowerBound,
                .differs(
                    "for positions \(positions.lowerBound) to \(positions.upperBound) it has other entries than the "
                        + "log gives: stop the daemon, delete the folder index, and it comes back"))
        } else {
            report.add(
                "index", position: check.progress,
                .holds("\(check.entries) keys in \(check.runs) runs, through position \(check.progress)"))
        }
    } catch {
        report.add("index", error)
    }
}
