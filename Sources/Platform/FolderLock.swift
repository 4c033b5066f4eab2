import Glibc

/// One process a folder: an exclusive `flock` on a file inside, which the kernel gives back however the process ends.
/// The file stays; it is the lock on it that counts.
///
/// `@unchecked Sendable`: nothing changes after init.
public final class FolderLock: @unchecked Sendable {
    public static let fileName = "lock"
    private let file: Descriptor

    /// Nil when somebody holds the lock: another process, or this one through another `FolderLock`.
    public convenience init?(folder: String, name: String = FolderLock.fileName) throws(FileError) {
        try self.init(folder + "/" + name, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
    }

    /// The same on the folder itself, for one that nothing may be added to. Nil when somebody holds it.
    public convenience init?(on folder: String) throws(FileError) {
        try self.init(folder, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    }

    private init?(_ path: String, flags: Int32) throws(FileError) {
        file = try Descriptor(path: path, flags: flags)
        let number = file.number
        switch retrying({ Int(flock(number, LOCK_EX | LOCK_NB)) }) {
        case .success: break
        case .failure(let error) where error.code == EWOULDBLOCK: return nil
        case .failure(let error): throw FileError(operation: "flock", path: path, code: error.code)
        }
    }
}
