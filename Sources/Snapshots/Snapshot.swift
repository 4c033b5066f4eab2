public import Hashing
internal import Platform

/// A snapshot opened for reading: what it says of itself is read and is in order, its files are those that the manifest
/// names, with their sizes. Their bytes are looked at by `SnapshotCheck`.
public struct Snapshot: Sendable {
    public let archive: Archive
    public let manifest: Manifest
    public let manifestHash: Digest

    static let segmentPrefix = "log/"
    static let segmentSuffix = ".frames"

    public init(_ path: String) throws {
        archive = try Archive(path)
        guard let written = archive[Manifest.fileName], let hash = archive[Manifest.hashName] else {
            throw SnapshotError.differs(
                part: path, reason: "it has no \(Manifest.fileName) and \(Manifest.hashName): no whole snapshot")
        }
        let bytes = try written.bytes(max: Manifest.bytesMax)
        manifestHash = SHA256.hash(bytes)
        guard try hash.bytes(max: 1024) == Manifest.hashLine(manifestHash) else {
            throw SnapshotError.differs(part: Manifest.fileName, reason: "its hash is not that of \(Manifest.hashName)")
        }
        manifest = try Manifest.parse(bytes)
        let found = archive.members.filter { ![Manifest.fileName, Manifest.hashName].contains($0.name) }
        for (file, member) in zip(manifest.files, found) {
            guard file.name == member.name else {
                let isExtra = member.name.utf8.lexicographicallyPrecedes(file.name.utf8)
                throw SnapshotError.differs(
                    part: isExtra ? member.name : file.name,
                    reason: isExtra ? "the manifest does not know it" : "it is missing")
            }
            guard file.bytes == member.size else {
                throw SnapshotError.differs(
                    part: file.name, reason: "\(member.size) bytes, the manifest says \(file.bytes)")
            }
        }
        if found.count > manifest.files.count {
            throw SnapshotError.differs(
                part: found[manifest.files.count].name, reason: "the manifest does not know it")
        }
        if found.count < manifest.files.count {
            throw SnapshotError.differs(part: manifest.files[found.count].name, reason: "it is missing")
        }
    }

    /// The files with frames, in order.
    var segments: [Archive.Member] {
        archive.members.filter { $0.name.hasPrefix(Snapshot.segmentPrefix) }
    }

    /// "log/00000000000000000001.frames": in byte order as by position.
    static func segmentName(first: UInt64) -> String {
        let digits = String(first)
        return segmentPrefix + String(repeating: "0", count: 20 - digits.utf8.count) + digits + segmentSuffix
    }

    static func readModelName(_ name: String) -> String { "readmodels/\(name).sqlite" }

    /// The last part of a path.
    static func lastName(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

/// A full snapshot and the incremental ones after it, each of which names the one before by the hash of its manifest.
public struct SnapshotChain: Sendable {
    /// Oldest first: the full one.
    public let snapshots: [Snapshot]

    /// Snapshots of one chain: a year of hours.
    static let snapshotsMax = 10_000

    /// The chain that ends with the last of `paths`. What an incremental snapshot goes on from is looked for among the
    /// other paths, then under the name it had: beside it, and beside the paths.
    public init(_ paths: [String]) throws {
        guard let last = paths.last else { throw SnapshotError.refused("which snapshot?") }
        var given: [Digest: Snapshot] = [:]
        for path in paths.dropLast() {
            let snapshot = try Snapshot(path)
            given[snapshot.manifestHash] = snapshot
        }
        var chain = [try Snapshot(last)]
        while let previous = chain[0].manifest.previous {
            let newer = chain[0]
            guard chain.count < SnapshotChain.snapshotsMax else {
                throw SnapshotError.refused("a chain of more than \(SnapshotChain.snapshotsMax) snapshots")
            }
            let older: Snapshot
            if let one = given.removeValue(forKey: previous.manifestHash) {
                older = one
            } else {
                guard previous.name == Snapshot.lastName(previous.name), Archive.isName(previous.name) else {
                    throw SnapshotError.refused("\(newer.archive.path) goes on from a snapshot with no plain name")
                }
                let places = ([newer.archive.path] + paths).map { Folder.parent(of: $0) + "/" + previous.name }
                older = try Snapshot(try places.first { try File.kind($0) != .nothing } ?? places[0])
            }
            guard older.manifestHash == previous.manifestHash else {
                throw SnapshotError.differs(
                    part: older.archive.path, reason: "not the snapshot that \(newer.archive.path) goes on from")
            }
            guard older.manifest.position == previous.position, older.manifest.logID == newer.manifest.logID,
                older.manifest.logCreatedAt == newer.manifest.logCreatedAt
            else {
                throw SnapshotError.differs(
                    part: newer.archive.path, reason: "it goes on from another place than \(older.archive.path) ends")
            }
            chain.insert(older, at: 0)
        }
        guard given.isEmpty else {
            throw SnapshotError.refused(
                "\(given.values.map(\.archive.path).sorted().joined(separator: ", ")) does not lead to \(last)")
        }
        snapshots = chain
    }

    /// The newest, which says where the log ends.
    public var last: Snapshot { snapshots[snapshots.count - 1] }
    /// The full one, which has the read models.
    public var base: Snapshot { snapshots[0] }
    public var position: UInt64 { last.manifest.position }
}
