import Glibc

/// A file of lines that only grows, each addition on disk before `append` returns. What a crash or a full disk left of
/// an addition is cut off again, when the file is opened and after an append that failed: a line that is added behind
/// half of another would be lost with it. One user at a time.
public final class AppendFile {
    private static let pieceBytes = 1 << 16
    /// How a file that is to replace another ends until it does: no file of its own.
    public static let suffixOfNew = ".new"

    private let path: String
    private var file: Descriptor
    /// Where the last whole line ends, when there may be something behind it that could not be cut off yet.
    private var owedCut: Int?
    /// The file has come into its place by a rename that may not be durable yet.
    private var owesName = false

    /// Opens the file or makes it, with mode 0600 and a durable name.
    public init(path: String) throws(FileError) {
        let isNew = !File.exists(path)
        self.path = path
        file = try Descriptor(path: path, flags: O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW)
        if isNew { try Folder.sync(Folder.parent(of: path)) }
        let size = try size()
        let end = try endOfLines(in: size)
        if end < size { try? cut(to: end) }
    }

    /// Adds whole lines and syncs. When this throws, none of them is there; only where even that could not be had, part
    /// of them may be, until the next append or start has cut it off: before that nothing is added.
    public func append(_ lines: [UInt8]) throws(FileError) {
        precondition(lines.last == AppendFile.newline, "an addition that does not end its line")
        if owesName { try syncName() }
        if let end = owedCut { try cut(to: end) }
        let end = try size()
        do throws(FileError) {
            try write(lines, to: file)
            try file.sync()
        } catch {
            try? cut(to: end)
            throw error
        }
    }

    /// Puts other lines in place of all: durable when it returns, and when it throws, the old ones are as they were
    /// (only after the rename itself may a failing folder sync leave the new ones, and then nothing is appended before
    /// that is done). `next` gives them piece by piece, each of whole lines, and nil at the end.
    public func rewrite(_ next: () -> [UInt8]?) throws(FileError) {
        let temporary = path + AppendFile.suffixOfNew
        do throws(FileError) {
            // What a crash left of an earlier try.
            try File.remove(temporary)
            let new = try Descriptor(path: temporary, flags: O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW)
            while let piece = next() { try write(piece, to: new) }
            try new.sync()
            guard Glibc.rename(temporary, path) == 0 else {
                throw FileError(operation: "rename", path: path, code: errno)
            }
            file = new
        } catch {
            unlink(temporary)
            throw error
        }
        owedCut = nil
        owesName = true
        try syncName()
    }

    /// Hands over each whole line without its newline; of one longer than `bytesMax` only so many bytes.
    public func lines(bytesMax: Int, _ body: (ArraySlice<UInt8>) -> Void) throws(FileError) {
        let end: Int
        if let owedCut { end = owedCut } else { end = try size() }
        var room = [UInt8](repeating: 0, count: AppendFile.pieceBytes)
        var line: [UInt8] = []
        var offset = 0
        while offset < end {
            let count = try read(at: offset, into: &room, most: end - offset)
            guard count > 0 else { return }
            var start = 0
            while let stop = AppendFile.newline(in: room, start..<count) {
                if line.isEmpty {
                    body(room[start..<min(stop, start + bytesMax)])
                } else {
                    line.append(contentsOf: room[start..<min(stop, start + bytesMax - line.count)])
                    body(line[...])
                    line.removeAll(keepingCapacity: true)
                }
                start = stop + 1
            }
            line.append(contentsOf: room[start..<min(count, start + bytesMax - line.count)])
            offset += count
        }
    }

    // MARK: The end

    private static let newline: UInt8 = 0x0A

    private func size() throws(FileError) -> Int {
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw FileError(operation: "fstat", path: path, code: errno) }
        return Int(status.st_size)
    }

    private func cut(to end: Int) throws(FileError) {
        owedCut = end
        guard try size() > end else {
            owedCut = nil
            return
        }
        if case .failure(let error) = retrying({ Int(ftruncate(file.number, off_t(end))) }) {
            throw FileError(operation: "ftruncate", path: path, code: error.code)
        }
        try file.sync()
        owedCut = nil
    }

    private func syncName() throws(FileError) {
        try Folder.sync(Folder.parent(of: path))
        owesName = false
    }

    /// Behind the last newline among the first `size` bytes.
    private func endOfLines(in size: Int) throws(FileError) -> Int {
        var room = [UInt8](repeating: 0, count: AppendFile.pieceBytes)
        var end = size
        while end > 0 {
            let start = max(0, end - room.count)
            let count = try read(at: start, into: &room, most: end - start)
            if let last = room[..<count].lastIndex(of: AppendFile.newline) { return start + last + 1 }
            end = start
        }
        return 0
    }

    private func read(at offset: Int, into room: inout [UInt8], most: Int) throws(FileError) -> Int {
        let wanted = min(room.count, most)
        var done = 0
        while done < wanted {
            let outcome = room.withUnsafeMutableBytes { room in
                retrying {
                    pread(file.number, room.baseAddress?.advanced(by: done), wanted - done, off_t(offset + done))
                }
            }
            switch outcome {
            case .success(0): return done
            case .success(let count): done += count
            case .failure(let error): throw FileError(operation: "read", path: path, code: error.code)
            }
        }
        return done
    }

    private func write(_ bytes: [UInt8], to file: borrowing Descriptor) throws(FileError) {
        let outcome = bytes.withUnsafeBytes { raw -> Result<Void, FileError> in
            do throws(FileError) { return .success(try file.write(raw)) } catch { return .failure(error) }
        }
        try outcome.get()
    }

    /// Where the next newline is; memchr(3), since a parked file of 100,000 lines is read before the daemon answers.
    private static func newline(in bytes: [UInt8], _ range: Range<Int>) -> Int? {
        bytes.withUnsafeBytes { raw in
            guard let start = raw.baseAddress?.advanced(by: range.lowerBound),
                let found = memchr(start, Int32(newline), range.count)
            else { return nil }
            return range.lowerBound + start.distance(to: UnsafeRawPointer(found))
        }
    }
}
