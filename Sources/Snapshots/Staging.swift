import Hashing
import Platform

/// Where something is made before it gets its place: `TARGET.partial`, a folder beside it. A process that is killed
/// leaves that, which the next one for the same target removes; what has the name itself is whole.
public final class Staging {
    public let target: String
    /// The folder to fill.
    public let path: String
    private let lock: FolderLock
    private var isPlaced = false

    static let suffix = ".partial"
    private static let tarName = "tar"

    /// Nothing may be at `target`; with `orEmpty`, a folder with nothing in it may.
    public init(target: String, orEmpty: Bool = false) throws {
        var name = target[...]
        while name.utf8.count > 1 && name.hasSuffix("/") { name = name.dropLast() }
        guard !["", ".", "..", "/"].contains(name), !name.hasSuffix("/.") && !name.hasSuffix("/..") else {
            throw SnapshotError.refused("\(target) is no name for something new")
        }
        self.target = String(name)
        path = self.target + Staging.suffix
        switch try File.kind(self.target) {
        case .nothing: break
        case .folder where orEmpty:
            guard try Folder.list(self.target).isEmpty else {
                throw SnapshotError.refused("\(target) has something in it: nothing is ever overwritten")
            }
        default: throw SnapshotError.refused("\(target) is there already: nothing is ever overwritten")
        }
        if case .other = try File.kind(path) { throw SnapshotError.refused("\(path) is in the way") }
        if case .file = try File.kind(path) { throw SnapshotError.refused("\(path) is in the way") }
        try Folder.make(path)
        guard let lock = try FolderLock(on: path) else {
            throw SnapshotError.refused("another process is making \(target)")
        }
        self.lock = lock
        for name in try Folder.list(path) { try Folder.remove("\(path)/\(name)") }
    }

    deinit {
        // The target is what counts; a staging folder that cannot be removed is removed by the next one.
        if !isPlaced { try? Folder.remove(path) }
    }

    /// Puts everything inside on disk, and gives the files with their sizes and hashes in byte order of their names.
    public func seal() throws -> [Manifest.File] {
        func seal(_ folder: String?) throws -> [Manifest.File] {
            let place = folder.map { "\(path)/\($0)" } ?? path
            var files: [Manifest.File] = []
            for entry in try Folder.list(place) {
                let name = folder.map { "\($0)/\(entry)" } ?? entry
                if case .folder = try File.kind("\(path)/\(name)") {
                    files += try seal(name)
                    continue
                }
                let size = try File.size("\(path)/\(name)")
                let member = Archive.Member(name: name, size: size, path: "\(path)/\(name)", offset: 0)
                files.append(Manifest.File(name: name, bytes: size, hash: try member.hash()))
                try ReadFile(path: "\(path)/\(name)").sync()
            }
            try Folder.sync(place)
            return files
        }
        return try seal(nil).sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// Adds a small file, synced.
    public func add(_ name: String, _ bytes: [UInt8]) throws {
        let file = try NewFile(path: "\(path)/\(name)")
        try file.write(bytes)
        try file.sync()
    }

    /// Gives the folder its place: durable when this returns.
    public func placeFolder() throws {
        // rename(2) replaces a folder only when that is empty.
        try File.rename(path, to: target)
        isPlaced = true
    }

    /// Gives one tar file with all that is in the folder its place, and removes the folder.
    public func placeTar() throws {
        let members = try Archive(path).members
        let tar = try NewFile(path: "\(path)/\(Staging.tarName)")
        for member in members {
            guard let header = Tar.header(name: member.name, size: member.size) else {
                throw SnapshotError.refused(
                    "\(member.name) has \(member.size) bytes, a tar file takes \(Tar.fileBytesMax): make it a folder")
            }
            try tar.write(header)
            try member.scan { try tar.write($0) }
            try tar.write([UInt8](repeating: 0, count: Tar.padding(member.size)))
        }
        try tar.write([UInt8](repeating: 0, count: Tar.endBytes))
        try tar.sync()
        try File.moveNew("\(path)/\(Staging.tarName)", to: target)
        isPlaced = true
        try Folder.remove(path)
    }

    /// As its name says: a tar file when that ends in ".tar".
    public func place() throws {
        if target.hasSuffix(".tar") { try placeTar() } else { try placeFolder() }
    }
}
