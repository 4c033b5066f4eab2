import Glibc

/// A file or folder that the operating system would not give, take or keep.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The system call: "open", "fsync", "rename".
    public var operation: String
    public var path: String
    /// `errno`.
    public var code: Int32

    public init(operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    public var description: String { "\(operation) \(path): \(FileError.text(of: code)) (errno \(code))" }

    /// What the system says about a code, "No space left on device".
    public static func text(of code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        // The XSI form of strerror_r: always fills the buffer, also for a code that nobody knows.
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "unknown error" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Repeats a system call that a signal interrupted, and gives `errno` where it failed.
func retrying(_ call: () -> Int) -> Result<Int, Errno> {
    while true {
        let result = call()
        if result >= 0 { return .success(result) }
        let code = errno
        if code != EINTR { return .failure(Errno(code: code)) }
    }
}

struct Errno: Error {
    var code: Int32
}
