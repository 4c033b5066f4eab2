import Glibc

/// An open file descriptor that closes itself. Opened with O_CLOEXEC always.
package struct Descriptor: ~Copyable {
    package let number: Int32
    package let path: String

    /// With O_CREAT, what root makes belongs to whoever has the folder: see `giveToFolder`.
    package init(path: String, flags: Int32, mode: UInt32 = File.privateMode) throws(FileError) {
        var made = false
        number = try Descriptor.open(path, flags, mode, &made)
        self.path = path
        if made { giveToFolder() }
    }

    /// Tries of telling a file that is there from one that is made, while somebody makes and removes it.
    private static let triesMax = 100

    private static func open(
        _ path: String, _ flags: Int32, _ mode: UInt32, _ made: inout Bool
    ) throws(FileError) -> Int32 {
        func attempt(_ flags: Int32) -> Result<Int, Errno> {
            retrying { Int(Glibc.open(path, flags | O_CLOEXEC, mode)) }
        }
        func failure(_ error: Errno) -> FileError { FileError(operation: "open", path: path, code: error.code) }
        guard flags & O_CREAT != 0 && FileOwner.mayGive else {
            switch attempt(flags) {
            case .success(let number): return Int32(number)
            case .failure(let error): throw failure(error)
            }
        }
        // Who may give files away must know which he made: one that was there is never given to anybody.
        for _ in 0..<triesMax {
            if flags & O_EXCL == 0 {
                switch attempt(flags & ~O_CREAT) {
                case .success(let number): return Int32(number)
                case .failure(let error) where error.code == ENOENT: break
                case .failure(let error): throw failure(error)
                }
            }
            switch attempt(flags | O_EXCL) {
            case .success(let number):
                made = true
                return Int32(number)
            case .failure(let error) where error.code == EEXIST && flags & O_EXCL == 0: continue
            case .failure(let error): throw failure(error)
            }
        }
        throw FileError(operation: "open", path: path, code: EEXIST)
    }

    deinit { close(number) }

    borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            switch retrying({ Glibc.write(number, rest.baseAddress, rest.count) }) {
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "write", path: path, code: error.code)
            }
        }
    }

    borrowing func sync() throws(FileError) {
        if case .failure(let error) = retrying({ Int(fsync(number)) }) {
            throw FileError(operation: "fsync", path: path, code: error.code)
        }
    }
}

/// Whole files.
public enum File {
    /// Read and write for the owner alone, whatever the umask of the process.
    public static let privateMode: UInt32 = 0o600

    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Size in bytes.
    public static func size(_ path: String) throws(FileError) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileError(operation: "stat", path: path, code: errno) }
        return Int(status.st_size)
    }

    /// The bytes of a file, which must be at most `bytesMax`; a longer one is EFBIG.
    public static func read(_ path: String, bytesMax: Int) throws(FileError) -> [UInt8] {
        let file = try Descriptor(path: path, flags: O_RDONLY)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: min(bytesMax + 1, 1 << 16))
        while true {
            let outcome = buffer.withUnsafeMutableBytes { room in
                retrying { Glibc.read(file.number, room.baseAddress, room.count) }
            }
            switch outcome {
            case .success(0): return bytes
            case .success(let count): bytes.append(contentsOf: buffer[..<count])
            case .failure(let error): throw FileError(operation: "read", path: path, code: error.code)
            }
            guard bytes.count <= bytesMax else { throw FileError(operation: "read", path: path, code: EFBIG) }
        }
    }

    /// Removes a file; one that is not there is fine.
    public static func remove(_ path: String) throws(FileError) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw FileError(operation: "unlink", path: path, code: errno)
        }
    }

    /// Renames within one file system, replacing what is there, and makes the new name durable.
    public static func rename(_ source: String, to target: String) throws(FileError) {
        guard Glibc.rename(source, target) == 0 else {
            throw FileError(operation: "rename", path: target, code: errno)
        }
        try Folder.sync(Folder.parent(of: target))
    }
}
