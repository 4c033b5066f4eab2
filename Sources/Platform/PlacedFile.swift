import Glibc

/// A file that is read and written at places: pread(2) and pwrite(2), from any thread.
///
/// `@unchecked Sendable`: the descriptor never changes.
public final class PlacedFile: @unchecked Sendable {
    private let file: Descriptor

    /// For writing it is made when it is not there, with mode 0600 and a durable name.
    public init(path: String, writable: Bool) throws(FileError) {
        let isNew = writable && !File.exists(path)
        file = try Descriptor(path: path, flags: writable ? O_RDWR | O_CREAT | O_NOFOLLOW : O_RDONLY)
        if isNew { try Folder.sync(Folder.parent(of: path)) }
    }

    /// Fills `room` from `offset` on; gives how many bytes there were, fewer only where the file ends.
    public func read(into room: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int {
        var done = 0
        while done < room.count {
            let place = room.baseAddress.map { $0 + done }
            switch retrying({ pread(file.number, place, room.count - done, off_t(offset + done)) }) {
            case .success(0): return done
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "read", path: file.path, code: error.code)
            }
        }
        return done
    }

    /// Not durable before `sync`.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let place = bytes.baseAddress.map { $0 + done }
            switch retrying({ pwrite(file.number, place, bytes.count - done, off_t(offset + done)) }) {
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "write", path: file.path, code: error.code)
            }
        }
    }

    /// Makes what was written durable.
    public func sync() throws(FileError) {
        if case .failure(let error) = retrying({ Int(fdatasync(file.number)) }) {
            throw FileError(operation: "fdatasync", path: file.path, code: error.code)
        }
    }
}
