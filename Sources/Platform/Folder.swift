import Glibc

/// Folders: made private, listed, synced, removed.
public enum Folder {
    /// Everything for the owner, nothing for anyone else.
    public static let privateMode: UInt32 = 0o700

    /// Makes the folder and the parents it lacks, each with mode 0700; one that is there is fine and left as it is.
    /// What root makes belongs to whoever has the folder above. New names are durable when this returns.
    public static func make(_ path: String) throws(FileError) {
        if isFolder(path) { return }
        let above = parent(of: path)
        if above != path { try make(above) }
        if mkdir(path, privateMode) != 0 {
            let code = errno
            guard code == EEXIST && isFolder(path) else {
                throw FileError(operation: "mkdir", path: path, code: code)
            }
            return
        }
        try Descriptor(path: path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW).giveToFolder()
        try sync(above)
    }

    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The names inside, without "." and "..", in byte order.
    public static func list(_ path: String) throws(FileError) -> [String] {
        guard let stream = opendir(path) else { throw FileError(operation: "opendir", path: path, code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw FileError(operation: "readdir", path: path, code: errno) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Removes a folder with all that is in it; one that is not there is fine. A symbolic link inside is removed, not
    /// followed.
    public static func remove(_ path: String) throws(FileError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw FileError(operation: "lstat", path: path, code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try File.remove(path) }
        for name in try list(path) { try remove(path + "/" + name) }
        guard rmdir(path) == 0 || errno == ENOENT else { throw FileError(operation: "rmdir", path: path, code: errno) }
    }

    /// Makes the names inside a folder durable: what a new, renamed or removed file needs after its own fsync.
    public static func sync(_ path: String) throws(FileError) {
        let folder = try Descriptor(path: path, flags: O_RDONLY | O_DIRECTORY)
        try folder.sync()
    }

    /// A new folder with a name nobody has, below the system's folder for temporary files (`TMPDIR`, else /tmp).
    public static func makeTemporary(prefix: String) throws(FileError) -> String {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/\(prefix).XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw FileError(operation: "mkdtemp", path: base, code: errno) }
        return String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The folder a path is in: "." for a bare name, "/" for the root.
    public static func parent(of path: String) -> String {
        var bytes = Array(path.utf8)
        let slash = UInt8(ascii: "/")
        while bytes.count > 1 && bytes.last == slash { bytes.removeLast() }
        guard let last = bytes.lastIndex(of: slash) else { return "." }
        var above = Array(bytes[..<last])
        while above.count > 1 && above.last == slash { above.removeLast() }
        return above.isEmpty ? "/" : String(decoding: above, as: UTF8.self)
    }
}
