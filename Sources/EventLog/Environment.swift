internal import CLMDB
import Glibc
import Platform

/// One LMDB environment: a folder with data.mdb and lock.mdb. Default sync always; readers without thread-local slots
/// (MDB_NOTLS), since a query may hop threads. No DUPSORT, WRITEMAP, NOSYNC, NOMETASYNC: reliability section 0.
///
/// `@unchecked Sendable`: the handle never changes and LMDB allows read transactions from any thread; write
/// transactions
/// begin and end within one function, so on one thread.
final class Environment: @unchecked Sendable {
    /// Readers at once over all processes. LMDB's default of 126 is little for query threads, projectors and tools.
    static let readersMax: UInt32 = 512

    let handle: OpaquePointer
    let folder: String
    private let identity: String

    /// LMDB breaks when a process opens one environment twice (the first close drops the locks of both), so the process
    /// keeps account of what it has open, by device and inode.
    private static let open = Lock<Set<String>>([])

    /// `mapBytes`: address space set aside, the hard cap of the file. An environment that has used or asked for more
    /// gets more.
    init(folder: String, databasesMax: UInt32, mapBytes: Int, readOnly: Bool) throws(LogError) {
        var status = stat()
        guard stat(folder, &status) == 0 else { throw .file(operation: "stat", path: folder, code: errno) }
        let identity = "\(status.st_dev):\(status.st_ino)"
        guard Environment.open.withLock({ $0.insert(identity).inserted }) else { throw .locked(folder: folder) }
        do throws(LogError) {
            handle = try Environment.openHandle(folder, databasesMax, mapBytes, readOnly)
        } catch {
            _ = Environment.open.withLock { $0.remove(identity) }
            throw error
        }
        self.folder = folder
        self.identity = identity
    }

    deinit {
        mdb_env_close(handle)
        _ = Environment.open.withLock { $0.remove(identity) }
    }

    private static func openHandle(
        _ folder: String, _ databasesMax: UInt32, _ mapBytes: Int, _ readOnly: Bool
    ) throws(LogError) -> OpaquePointer {
        var created: OpaquePointer?
        try check(mdb_env_create(&created), "mdb_env_create")
        guard let handle = created else { preconditionFailure("mdb_env_create gave no environment") }
        do throws(LogError) {
            try check(mdb_env_set_maxdbs(handle, databasesMax), "mdb_env_set_maxdbs")
            try check(mdb_env_set_maxreaders(handle, readersMax), "mdb_env_set_maxreaders")
            let flags = UInt32(MDB_NOTLS) | (readOnly ? UInt32(MDB_RDONLY) : 0)
            // LMDB makes them as whoever runs it, a reader the lock file too. Both may be empty files.
            if !readOnly { File.makeForFolder(folder + "/data.mdb") }
            File.makeForFolder(folder + "/lock.mdb")
            let code = mdb_env_open(handle, folder, flags, File.privateMode)
            guard code != MDB_INVALID && code != MDB_CORRUPTED else {
                throw LogError.notALog(folder: folder, reason: "data.mdb is no LMDB file")
            }
            guard code != MDB_VERSION_MISMATCH else {
                throw LogError.notALog(folder: folder, reason: "data.mdb is of another version of LMDB")
            }
            try check(code, "mdb_env_open \(folder)")
            // Opened with the size that the file remembers; a larger wish is safe now, while no transaction runs.
            var info = MDB_envinfo()
            try check(mdb_env_info(handle, &info), "mdb_env_info")
            if info.me_mapsize < mapBytes {
                try check(mdb_env_set_mapsize(handle, mapBytes), "mdb_env_set_mapsize \(mapBytes)")
            }
            try checkFileSize(handle, folder)
        } catch {
            mdb_env_close(handle)
            throw error
        }
        return handle
    }

    /// The mapping is larger than the file, and touching a page past the end of the file is SIGBUS.
    private static func checkFileSize(_ handle: OpaquePointer, _ folder: String) throws(LogError) {
        let needed = try bytesUsed(handle)
        var number: Int32 = -1
        try check(mdb_env_get_fd(handle, &number), "mdb_env_get_fd")
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .file(operation: "fstat", path: folder, code: errno) }
        guard status.st_size >= needed else {
            throw .tooShort(folder: folder, bytes: UInt64(status.st_size), needed: UInt64(needed))
        }
    }

    /// Pages that were ever used, in bytes: what the file must hold, and what counts against the map.
    private static func bytesUsed(_ handle: OpaquePointer) throws(LogError) -> Int {
        var info = MDB_envinfo()
        try check(mdb_env_info(handle, &info), "mdb_env_info")
        var statistics = MDB_stat()
        try check(mdb_env_stat(handle, &statistics), "mdb_env_stat")
        return (info.me_last_pgno + 1) * Int(statistics.ms_psize)
    }

    /// Makes the file at least as long, with zeros.
    func extendFile(to size: Int) throws(LogError) {
        var number: Int32 = -1
        try check(mdb_env_get_fd(handle, &number), "mdb_env_get_fd")
        var status = stat()
        guard fstat(number, &status) == 0, status.st_size >= size || ftruncate(number, size) == 0 else {
            throw .file(operation: "ftruncate", path: folder, code: errno)
        }
    }

    /// Bytes of the disk that a commit leaves free: for LMDB's own pages, and for what others write meanwhile.
    static let roomBytesMin = 4 << 20

    /// Throws `.full` when the disk, or the limit on the size of a file, has no room for a commit of `bytes`. Asked
    /// before it: LMDB reports a write that the disk took in part as EIO (0.9.24, `mdb_page_flush`), which says nothing
    /// of what is on disk and must end the process, where a full disk is waited out.
    func checkRoom(for bytes: Int) throws(LogError) {
        var number: Int32 = -1
        try check(mdb_env_get_fd(handle, &number), "mdb_env_get_fd")
        let needed = UInt64(bytes + Environment.roomBytesMin)
        var disk = statvfs()
        // A file system that does not count its blocks says that it has none.
        if fstatvfs(number, &disk) == 0, disk.f_blocks > 0, UInt64(disk.f_bavail) * UInt64(disk.f_frsize) < needed {
            throw .full(code: ENOSPC)
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0,
            UInt64(try bytesUsed()) + needed > UInt64(limit.rlim_cur)
        {
            throw .full(code: EFBIG)
        }
    }

    func bytesUsed() throws(LogError) -> Int { try Environment.bytesUsed(handle) }

    func mapBytes() throws(LogError) -> Int {
        var info = MDB_envinfo()
        try check(mdb_env_info(handle, &info), "mdb_env_info")
        return info.me_mapsize
    }

    /// Puts everything on disk, even what an earlier process wrote and died before it knew that it was.
    func sync() throws(LogError) {
        let code = mdb_env_sync(handle, 1)
        guard code == 0 else { throw .commitFailed(code: code, operation: "mdb_env_sync") }
    }

    /// Frees the reader slots of processes that died; gives their number. A stale reader makes the file grow with every
    /// commit.
    func dropDeadReaders() throws(LogError) -> Int {
        var dead: Int32 = 0
        try check(mdb_reader_check(handle, &dead), "mdb_reader_check")
        return Int(dead)
    }
}

func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(LogError) {
    guard code == 0 else { throw LogError(code: code, operation: operation()) }
}

/// A database inside an environment.
struct Database {
    var number: MDB_dbi

    /// Nil when it is not there and `flags` does not create it.
    init?(_ name: String, flags: Int32, in transaction: OpaquePointer) throws(LogError) {
        number = 0
        let code = mdb_dbi_open(transaction, name, UInt32(flags), &number)
        if code == MDB_NOTFOUND { return nil }
        try check(code, "mdb_dbi_open \(name)")
    }
}
