public import Hashing
import Platform

/// A folder or a tar file with the members of a snapshot (or a pack), opened for reading. Names are those that a
/// snapshot may have and no others: no path leads out of it, and a link, a device, a folder that does not belong there
/// is refused before anything is read.
public struct Archive: Sendable {
    /// Where the bytes of one file are.
    public struct Member: Sendable {
        public let name: String
        public let size: Int
        let path: String
        let offset: Int

        /// Its bytes, which must be at most `bytesMax`.
        public func bytes(max bytesMax: Int) throws -> [UInt8] {
            guard size <= bytesMax else {
                throw SnapshotError.differs(part: name, reason: "\(size) bytes, at most \(bytesMax) are taken")
            }
            var bytes: [UInt8] = []
            try scan { bytes += $0 }
            return bytes
        }

        /// Hands over all its bytes, piece by piece.
        public func scan(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
            let file = try ReadFile(path: path)
            var room = [UInt8](repeating: 0, count: min(size, Archive.pieceBytes))
            var done = 0
            while done < size {
                let wanted = min(size - done, room.count)
                try room.withUnsafeMutableBytes { room in
                    let piece = UnsafeMutableRawBufferPointer(rebasing: room[..<wanted])
                    guard try file.read(at: offset + done, into: piece) == wanted else {
                        throw SnapshotError.differs(part: name, reason: "its end is missing")
                    }
                    try body(UnsafeRawBufferPointer(piece))
                }
                done += wanted
            }
        }

        /// The SHA-256 of its bytes.
        public func hash() throws -> Digest {
            var hasher = SHA256()
            try scan { hasher.update($0) }
            return hasher.finalize()
        }

        /// Copies it into a new file, synced; gives the SHA-256 of what was copied.
        func copy(to target: String) throws -> Digest {
            let copy = try NewFile(path: target)
            var hasher = SHA256()
            try scan { piece in
                hasher.update(piece)
                try copy.write(piece)
            }
            try copy.sync()
            return hasher.finalize()
        }
    }

    static let pieceBytes = 1 << 20
    /// Files of one snapshot: a log of 6 TB has so many segments.
    static let membersMax = 100_000
    /// Folders that may be inside, one level deep.
    static let folders: Set<String> = ["log", "parked", "readmodels"]

    public let path: String
    public let isTar: Bool
    /// In byte order of their names.
    public let members: [Member]

    public init(_ path: String) throws {
        self.path = path
        let members: [Member]
        switch try File.kind(path) {
        case .folder: (isTar, members) = (false, try Archive.list(path, folder: nil))
        case .file: (isTar, members) = (true, try Archive.list(tar: path))
        case .nothing: throw SnapshotError.refused("there is no \(path)")
        case .other: throw SnapshotError.refused("\(path) is neither a folder nor a file")
        }
        self.members = members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    public subscript(name: String) -> Member? { members.first { $0.name == name } }

    /// Letters, digits, "_", "-" and ".", not at the beginning: no "..", no absolute path, nothing hidden. At most one
    /// folder, of those a snapshot has.
    static func isName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard name.utf8.count <= Tar.nameBytesMax, parts.count <= 2 else { return false }
        guard parts.count == 1 || folders.contains(String(parts[0])) else { return false }
        return parts.allSatisfy { part in
            guard let first = part.utf8.first, first != 0x2E else { return false }
            return part.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
                default: false
                }
            }
        }
    }

    private static func list(_ root: String, folder: String?) throws -> [Member] {
        var members: [Member] = []
        for entry in try Folder.list(folder.map { "\(root)/\($0)" } ?? root) {
            let name = folder.map { "\($0)/\(entry)" } ?? entry
            func refuse(_ reason: String) -> SnapshotError { .differs(part: name, reason: reason) }
            guard isName(name) else { throw refuse("not a name that a snapshot has") }
            switch try File.kind("\(root)/\(name)") {
            case .file:
                let size = try File.size("\(root)/\(name)")
                members.append(Member(name: name, size: size, path: "\(root)/\(name)", offset: 0))
            case .folder:
                guard folder == nil && folders.contains(entry) else { throw refuse("a folder that does not belong") }
                members += try list(root, folder: entry)
            default: throw refuse("a link, a device or something else that is no file")
            }
            guard members.count <= membersMax else { throw refuse("more than \(membersMax) files") }
        }
        return members
    }

    private static func list(tar path: String) throws -> [Member] {
        let file = try ReadFile(path: path)
        func block(_ offset: Int, _ count: Int) throws -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            let read = try bytes.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
            guard read == count else { throw SnapshotError.differs(part: path, reason: "its end is missing") }
            return bytes
        }
        var members: [Member] = []
        var offset = 0
        while true {
            let header = try block(offset, Tar.blockBytes)
            if header.allSatisfy({ $0 == 0 }) { break }
            guard let (name, size) = Tar.parse(header) else {
                throw SnapshotError.differs(
                    part: path, reason: "what is at byte \(offset) is not the header of a file as snapshots have them")
            }
            guard isName(name) else {
                throw SnapshotError.differs(part: path, reason: "\(name) is not a name that a snapshot has")
            }
            if let last = members.last, !last.name.utf8.lexicographicallyPrecedes(name.utf8) {
                throw SnapshotError.differs(part: path, reason: "\(name) is not in its place")
            }
            guard members.count < membersMax else {
                throw SnapshotError.differs(part: path, reason: "more than \(membersMax) files")
            }
            offset += Tar.blockBytes
            guard size <= file.size - offset else {
                throw SnapshotError.differs(part: path, reason: "the end of \(name) is missing")
            }
            members.append(Member(name: name, size: size, path: path, offset: offset))
            offset += size
            guard try block(offset, Tar.padding(size)).allSatisfy({ $0 == 0 }) else {
                throw SnapshotError.differs(part: path, reason: "there is something after \(name)")
            }
            offset += Tar.padding(size)
        }
        guard file.size == offset + Tar.endBytes, try block(offset, Tar.endBytes).allSatisfy({ $0 == 0 }) else {
            throw SnapshotError.differs(part: path, reason: "it does not end after its last file")
        }
        return members
    }
}
