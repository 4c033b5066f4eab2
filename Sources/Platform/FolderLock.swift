import Glibc

/// One process a folder: an exclusive `flock` on a file inside, which the kernel gives back however the process ends.
/// The file stays; it is the lock on it that counts.
///
/// `@unchecked Sendable`: nothing changes after init.
public final class FolderLock: @unchecked Sendable {
    public static let fileName = "lock"
    private let file: Descriptor

    /// Nil when somebody holds the lock: another process, or this one through another `FolderLock`.
    public init?(folder: String, name: String = FolderLock.fileName) throws(FileError) {
        let path = folder + "/" + name
        file = try Descriptor(path: path, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
        let number = file.number
        switch retrying({ Int(flock(number, LOCK_EX | LOCK_NB)) }) {
        case .success: break
        case .failure(let error) where error.code == EWOULDBLOCK: return nil
        case .failure(let error): throw FileError(operation: "flock", path: path, code: error.code)
        }
    }
}
