import Glibc

/// A plain client on a blocking socket. Every wait ends after five seconds, so that a defect is a failure, not a hang.
///
/// `@unchecked Sendable`: a test may send on one thread while it reads on another; they share only the descriptor.
final class Client: @unchecked Sendable {
    private(set) var fd: Int32
    private var buffer: [UInt8] = []

    struct Answer: Equatable {
        var status: Int
        var headers: [String]
        var body: String

        func header(_ name: String) -> String? {
            for header in headers {
                guard let colon = header.firstIndex(of: ":"), header[..<colon].lowercased() == name.lowercased() else {
                    continue
                }
                return String(header[header.index(colon, offsetBy: 2)...])
            }
            return nil
        }
    }

    convenience init(port: Int) {
        self.init(fd: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), port: port)
    }

    /// Connects a socket made before.
    init(fd: Int32, port: Int) {
        self.fd = fd
        limitWaits()
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if code != 0 { close() }
    }

    init(path: String) {
        fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        limitWaits()
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if code != 0 { close() }
    }

    deinit { close() }

    var isConnected: Bool { fd >= 0 }

    func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    /// Ends our side; the other may still answer.
    func shutdownWrite() { shutdown(fd, Int32(SHUT_WR)) }

    private func limitWaits() {
        var time = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    /// False when the other side is gone.
    @discardableResult
    func send(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var start = 0
        while start < bytes.count {
            let sent = bytes[start...].withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if sent <= 0 { return false }
            start += sent
        }
        return true
    }

    /// False at the end of the stream, after a reset or after five seconds.
    private func receive() -> Bool {
        var scratch = [UInt8](repeating: 0, count: 65536)
        let count = recv(fd, &scratch, scratch.count, 0)
        guard count > 0 else { return false }
        buffer += scratch[..<count]
        return true
    }

    /// Everything until the other side ends; nil when it does not.
    func rest() -> String? {
        while receive() {}
        var byte: UInt8 = 0
        guard recv(fd, &byte, 1, Int32(MSG_DONTWAIT)) == 0 else { return nil }
        defer { buffer = [] }
        return String(decoding: buffer, as: UTF8.self)
    }

    /// True when the other side has ended without another byte.
    func isClosed() -> Bool { rest() == "" }

    /// The next answer, or nil when none comes.
    func answer(isHead: Bool = false) -> Answer? {
        let separator: [UInt8] = [13, 10, 13, 10]
        var end: Int?
        while true {
            end = (0..<max(0, buffer.count - 3)).first { buffer[$0..<$0 + 4].elementsEqual(separator) }
            if end != nil { break }
            guard receive() else { return nil }
        }
        guard let end else { return nil }
        var lines = String(decoding: buffer[..<end], as: UTF8.self).split(separator: "\r\n").map(String.init)
        buffer.removeFirst(end + 4)
        let status = Int(lines.removeFirst().split(separator: " ")[1]) ?? 0
        var answer = Answer(status: status, headers: lines, body: "")
        if isHead || status == 100 || status == 204 { return answer }
        if answer.header("Transfer-Encoding") != nil {
            var body: [UInt8] = []
            while let line = line(), let size = Int(line, radix: 16) {
                while buffer.count < size + 2 { guard receive() else { return nil } }
                body += buffer[..<size]
                buffer.removeFirst(size + 2)
                if size == 0 {
                    answer.body = String(decoding: body, as: UTF8.self)
                    return answer
                }
            }
            return nil
        }
        let length = answer.header("Content-Length").flatMap { Int($0) } ?? 0
        while buffer.count < length { guard receive() else { return nil } }
        answer.body = String(decoding: buffer[..<length], as: UTF8.self)
        buffer.removeFirst(length)
        return answer
    }

    private func line() -> String? {
        while true {
            if let end = (0..<max(0, buffer.count - 1)).first(where: { buffer[$0] == 13 && buffer[$0 + 1] == 10 }) {
                defer { buffer.removeFirst(end + 2) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            guard receive() else { return nil }
        }
    }

    func ask(_ text: String, isHead: Bool = false) -> Answer? {
        send(text)
        return answer(isHead: isHead)
    }
}

func get(_ path: String, _ headers: String = "") -> String { "GET \(path) HTTP/1.1\r\nHost: t\r\n\(headers)\r\n" }

func post(_ path: String, _ body: String, _ headers: String = "") -> String {
    "POST \(path) HTTP/1.1\r\nHost: t\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
}
