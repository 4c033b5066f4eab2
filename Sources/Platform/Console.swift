import Glibc

/// Standard output and standard error of a command-line program, written to directly: C's `stdout` and `stderr` are
/// shared mutable variables to Swift.
public enum Console {
    public static func output(_ text: String) { write(text, to: STDOUT_FILENO) }
    public static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    public static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes all of it; gives up when the other end is gone.
    @discardableResult
    public static func write(_ bytes: some Collection<UInt8>, to file: Int32) -> Bool {
        let bytes = Array(bytes)
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress?.advanced(by: done), $0.count - done)
            }
            if written < 0 {
                if errno == EINTR { continue }
                return false
            }
            done += written
        }
        return true
    }

    private static func write(_ text: String, to file: Int32) { write(text.utf8, to: file) }
}
