import Glibc

/// One keep-alive connection with at most one request under way.
struct Connection {
    enum Reply {
        case waiting
        /// Complete: whether it was 200 with nothing rejected or refused.
        case done(good: Bool)
        case closed
    }

    let socket: Int32
    var requests: Requests
    /// When the request under way was sent, in nanoseconds.
    private(set) var sentAt: UInt64 = 0
    private var reply: [UInt8] = []

    init(port: UInt16, requests: Requests) {
        self.requests = requests
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { die("socket") }
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { die("connect to port \(port)") }
    }

    /// Sends the next request whole.
    mutating func send() -> Bool {
        sentAt = monotonic()
        let socket = socket
        return requests.withNext { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = Glibc.send(
                    socket, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
    }

    /// Takes what has arrived.
    mutating func receive() -> Reply {
        let before = reply.count
        let room = 16_384
        reply.append(contentsOf: repeatElement(0, count: room))
        let socket = socket
        let count = reply.withUnsafeMutableBytes {
            recv(socket, $0.baseAddress! + before, room, Int32(MSG_DONTWAIT))
        }
        reply.removeLast(room - max(0, count))
        if count == 0 { return .closed }
        if count < 0 { return errno == EAGAIN || errno == EINTR ? .waiting : .closed }
        guard let headEnd = find([13, 10, 13, 10], in: reply) else { return .waiting }
        guard let length = contentLength(headEnd: headEnd), reply.count >= headEnd + 4 + length else { return .waiting }
        let marks = ["\"rejected\":0", "\"allowed\":true"]
        let good =
            reply.starts(with: Array("HTTP/1.1 200".utf8)) && marks.contains { find(Array($0.utf8), in: reply) != nil }
        if !good { complain() }
        reply.removeAll(keepingCapacity: true)
        return .done(good: good)
    }

    private func contentLength(headEnd: Int) -> Int? {
        let name = Array("content-length:".utf8)
        var at = 0
        while at < headEnd {
            let lowered = reply[at..<min(at + name.count, headEnd)].map { $0 | 0x20 }
            if lowered == name.map({ $0 | 0x20 }) {
                return reply[(at + name.count)..<headEnd].prefix { $0 != 13 }
                    .reduce(0) { $1 == 32 ? $0 : $0 * 10 + Int($1) - 48 }
            }
            guard let end = reply[at..<headEnd].firstIndex(of: 10) else { return nil }
            at = end + 1
        }
        return nil
    }

    private func complain() {
        var text = Array(reply.prefix(400))
        text.append(10)
        _ = text.withUnsafeBytes { write(2, $0.baseAddress!, $0.count) }
    }
}

private func find(_ needle: [UInt8], in bytes: [UInt8]) -> Int? {
    guard bytes.count >= needle.count else { return nil }
    return (0...(bytes.count - needle.count)).first { at in
        bytes[at] == needle[0] && bytes[at..<(at + needle.count)].elementsEqual(needle)
    }
}

func monotonic() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func die(_ what: String) -> Never {
    let text = "tallystick-bench: \(what): \(String(cString: strerror(errno)))\n"
    _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress!, $0.count) }
    exit(1)
}
