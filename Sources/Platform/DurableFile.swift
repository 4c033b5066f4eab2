import Glibc

/// A small file that is always whole: a reader, and a start after a power cut, sees the old bytes or the new ones.
public enum DurableFile {
    /// Writes beside the file, syncs, renames over it, syncs the folder. When this throws, the old file is untouched
    /// (only after the rename itself may a failing folder sync leave the new one). One writer at a time.
    ///
    /// The new file has the owner, group and mode of the old one, or this throws: whoever could read it still can.
    /// - Parameter mode: of a file where there was none.
    public static func replace(
        _ path: String, with bytes: [UInt8], mode: UInt32 = File.privateMode
    ) throws(FileError) {
        let temporary = path + ".new"
        do throws(FileError) {
            // What a crash left of an earlier try is thrown away, with whatever mode it had.
            try File.remove(temporary)
            try write(temporary, bytes, mode, like: try FileOwner(file: path), for: path)
            try File.rename(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private static func write(
        _ path: String, _ bytes: [UInt8], _ mode: UInt32, like old: FileOwner?, for target: String
    ) throws(FileError) {
        let file = try Descriptor(path: path, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
        if let old { try file.become(old, of: target) }
        let outcome = bytes.withUnsafeBytes { raw -> Result<Void, FileError> in
            do throws(FileError) { return .success(try file.write(raw)) } catch { return .failure(error) }
        }
        try outcome.get()
        try file.sync()
    }
}
