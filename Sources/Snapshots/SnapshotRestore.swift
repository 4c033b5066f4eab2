internal import Billing
import EventLog
import Hashing
import Platform
public import Projections

/// Makes a data folder of a chain of snapshots that has been checked.
public struct SnapshotRestore: Sendable {
    let chain: SnapshotChain

    public init(_ chain: SnapshotChain) {
        self.chain = chain
    }

    /// The room that LMDB needs beside the bytes of the frames, and for what comes after them.
    private static let mapFactor = 2

    /// - Parameters:
    ///   - target: is not there, or is an empty folder.
    ///   - log: as the check gave it.
    /// - Returns: the read models as they are in the folder.
    public func restore(
        to target: String, log: SnapshotLog, progress: @Sendable (UInt64) -> Void = { _ in }
    ) async throws -> [ProjectorStatus] {
        let staging = try Staging(target: target, orEmpty: true)
        try makeLog(in: staging.path + "/log", progress)
        let models = staging.path + "/readmodels"
        try Folder.make(models)
        let base = chain.base
        for type in ReadModels.all {
            let name = Snapshot.readModelName(type.name)
            guard let file = base.manifest.files.first(where: { $0.name == name }), let member = base.archive[name]
            else { continue }
            guard try member.copy(to: "\(models)/\(type.name).sqlite") == file.hash else { throw changed(name) }
        }
        // Those of an incremental snapshot are those of the full one, brought forward.
        let statuses = try await ReadModels.catchUp(folder: models, source: log)
        try copy("keys.json", to: staging.path)
        for member in chain.last.archive.members where member.name.hasPrefix("parked/") {
            try Folder.make(staging.path + "/parked")
            try copy(member.name, to: staging.path)
        }
        _ = try staging.seal()
        try staging.placeFolder()
        return statuses
    }

    private func makeLog(in folder: String, _ progress: (UInt64) -> Void) throws {
        try Folder.make(folder)
        let manifest = chain.last.manifest
        let bytes = chain.snapshots.reduce(0) { $0 + $1.segments.reduce(0) { $0 + $1.size } }
        let copy = try LogCopy(
            folder: folder, id: manifest.logID, createdAt: manifest.logCreatedAt.microseconds,
            mapBytes: max(EventLog.mapBytesDefault, bytes * SnapshotRestore.mapFactor))
        for snapshot in chain.snapshots {
            for member in snapshot.segments {
                var reader = try FrameReader(member)
                while try reader.next({ try copy.add($0) }) { progress(copy.position) }
            }
        }
        guard copy.position == manifest.position, copy.hash == manifest.frameHash else { throw changed("log") }
        try copy.finish()
    }

    private func copy(_ name: String, to folder: String) throws {
        let last = chain.last
        guard let file = last.manifest.files.first(where: { $0.name == name }), let member = last.archive[name]
        else { return }
        guard try member.copy(to: "\(folder)/\(name)") == file.hash else { throw changed(name) }
    }

    private func changed(_ name: String) -> SnapshotError {
        .differs(part: name, reason: "it changed since it was checked")
    }
}
