import Glibc

/// Whose a file or folder is, and who may do what with it.
public struct FileOwner: Hashable, Sendable {
    public var user: UInt32
    public var group: UInt32
    /// The nine bits of permission.
    public var mode: UInt32

    fileprivate init(_ status: FileStatus) {
        user = status.st_uid
        group = status.st_gid
        mode = status.st_mode & 0o777
    }

    /// Of what is at a path, behind a link too.
    public init(path: String) throws(FileError) {
        var status = FileStatus()
        guard stat(path, &status) == 0 else { throw FileError(operation: "stat", path: path, code: errno) }
        self.init(status)
    }

    /// Of a regular file; nil when there is none at the path.
    init?(file path: String) throws(FileError) {
        var status = FileStatus()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return nil }
            throw FileError(operation: "lstat", path: path, code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        self.init(status)
    }

    /// The user this process acts as.
    public static var processUser: UInt32 { geteuid() }

    /// Root alone may give a file away.
    static var mayGive: Bool { geteuid() == 0 }

    /// The user by name, or "#1234" where the system knows none: as sudo(8) takes it.
    public var userName: String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var room = [CChar](repeating: 0, count: 1 << 14)
        guard getpwuid_r(user, &entry, &room, room.count, &found) == 0, found != nil, let name = entry.pw_name else {
            return "#\(user)"
        }
        return String(cString: name)
    }
}

/// `stat` names both the structure and the call.
private typealias FileStatus = stat

extension Descriptor {
    /// What root makes belongs to whoever has the folder it lies in: beside a daemon that runs as another user a file
    /// of root's own, with mode 0600, would be one that the daemon cannot open. Where even root may not give files away
    /// (a container without the right to, a file system that makes everybody nobody) it stays with who made it.
    borrowing func giveToFolder() {
        guard FileOwner.mayGive else { return }
        var own = FileStatus()
        guard let folder = try? FileOwner(path: Folder.parent(of: path)), fstat(number, &own) == 0,
            own.st_uid != folder.user || own.st_gid != folder.group
        else { return }
        _ = fchown(number, folder.user, folder.group)
    }

    /// Makes a new file as private and as much another's as the one it is to replace. Nothing is asked of the system
    /// where nothing differs: a daemon may be forbidden to ask at all.
    /// - Parameter target: the path of the old file, for the error.
    borrowing func become(_ old: FileOwner, of target: String) throws(FileError) {
        var status = FileStatus()
        guard fstat(number, &status) == 0 else { throw FileError(operation: "fstat", path: target, code: errno) }
        let own = FileOwner(status)
        if own.mode != old.mode, fchmod(number, old.mode) != 0 {
            throw FileError(operation: "fchmod", path: target, code: errno)
        }
        guard own.user != old.user || own.group != old.group else { return }
        if fchown(number, old.user, old.group) == 0 { return }
        let code = errno
        // A group that the mode gives nothing is no reason to refuse.
        if own.user == old.user && old.mode & 0o070 == 0 { return }
        throw FileError(operation: "fchown to \(old.userName)", path: target, code: code)
    }
}

extension File {
    /// As root, makes an empty file where there is none, so that a library that would make it finds it with the owner
    /// that a file there has to have. For anyone else, and where it cannot be made, the library sees for itself.
    public static func makeForFolder(_ path: String) {
        guard FileOwner.mayGive, !exists(path) else { return }
        _ = try? Descriptor(path: path, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
    }
}
