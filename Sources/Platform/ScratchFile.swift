import Glibc

/// A file without a name, for what may be lost: it goes away with the process, however that ends.
public final class ScratchFile {
    private let file: Descriptor
    public private(set) var size = 0

    /// In `folder`, for as long as this object lives.
    public init(folder: String, name: String) throws(FileError) {
        let path = folder + "/" + name
        // What a crash between the two steps below left.
        try File.remove(path)
        file = try Descriptor(path: path, flags: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW)
        try File.remove(path)
    }

    /// Adds bytes at the end. When this throws, the file is as long as before.
    public func append(_ bytes: [UInt8]) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let outcome = bytes.withUnsafeBytes { raw in
                retrying { pwrite(file.number, raw.baseAddress?.advanced(by: done), bytes.count - done, size + done) }
            }
            switch outcome {
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "write", path: file.path, code: error.code)
            }
        }
        size += bytes.count
    }

    /// The bytes in `range`, all of which were appended.
    public func read(_ range: Range<Int>) throws(FileError) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= size, "\(range) of \(size) bytes")
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < range.count {
            let outcome = bytes.withUnsafeMutableBytes { room in
                let place = room.baseAddress?.advanced(by: done)
                return retrying { pread(file.number, place, range.count - done, range.lowerBound + done) }
            }
            switch outcome {
            case .success(0): throw FileError(operation: "read", path: file.path, code: EIO)
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "read", path: file.path, code: error.code)
            }
        }
        return bytes
    }
}
