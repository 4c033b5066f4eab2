import Glibc

/// A file that is made new, written from its beginning to its end, and synced. Used from one thread.
public final class NewFile {
    private let file: Descriptor
    /// Bytes written so far.
    public private(set) var size = 0

    /// The path must be free: never overwrites, never follows a link. Mode 0600.
    public init(path: String) throws(FileError) {
        file = try Descriptor(path: path, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        try file.write(bytes)
        size += bytes.count
    }

    public func write(_ bytes: [UInt8]) throws(FileError) {
        let outcome = bytes.withUnsafeBytes { raw -> Result<Void, FileError> in
            do throws(FileError) { return .success(try write(raw)) } catch { return .failure(error) }
        }
        try outcome.get()
    }

    /// What was written is on disk when this returns; the name is once its folder is synced.
    public func sync() throws(FileError) { try file.sync() }
}

/// A file read at any place: a regular one, no link.
///
/// `@unchecked Sendable`: the descriptor never changes, and pread(2) moves nothing.
public final class ReadFile: @unchecked Sendable {
    private let file: Descriptor
    /// In bytes, when it was opened.
    public let size: Int

    public init(path: String) throws(FileError) {
        // Without waiting: opening a named pipe would.
        file = try Descriptor(path: path, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw FileError(operation: "fstat", path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw FileError(operation: "open", path: path, code: EINVAL) }
        size = Int(status.st_size)
    }

    /// Fills `room` from `offset` on; gives how many bytes there were, fewer only at the end of the file.
    public func read(at offset: Int, into room: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        var done = 0
        while done < room.count {
            let rest = room.count - done
            switch retrying({ pread(file.number, room.baseAddress?.advanced(by: done), rest, offset + done) }) {
            case .success(0): return done
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "read", path: file.path, code: error.code)
            }
        }
        return done
    }

    /// Puts the file on disk, for what somebody else wrote.
    public func sync() throws(FileError) { try file.sync() }
}

extension File {
    /// What is at a path, without following a link.
    public enum Kind: Sendable { case nothing, file, folder, other }

    public static func kind(_ path: String) throws(FileError) -> Kind {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return .nothing }
            throw FileError(operation: "lstat", path: path, code: errno)
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .folder
        default: return .other
        }
    }

    /// Gives a file its place within one file system, where nothing may be, and makes the new name durable.
    public static func moveNew(_ source: String, to target: String) throws(FileError) {
        // link(2) never replaces, where rename(2) would.
        guard link(source, target) == 0 else { throw FileError(operation: "link", path: target, code: errno) }
        try Folder.sync(Folder.parent(of: target))
        try remove(source)
    }
}
