import Billing
import Formats
import Glibc
import JSON
import Platform

/// A running daemon: `http://ADDRESS:PORT`, or `unix:PATH` of its socket. One connection, one request at a time.
final class HTTPDoor: EventDoor {
    /// Nil once the connection broke, or was closed for being idle.
    private var socket: Int32?
    private let url: String
    private let host: String
    private let key: String

    private static let timeoutSeconds = 120
    private static let headBytesMax = 64 << 10
    private static let bodyBytesMax = 64 << 20
    /// How often a daemon that is busy, full or away is asked again, a second apart.
    private static let triesMax = 30

    private struct Broken: Error {}

    init(_ url: String, key: String) throws {
        guard key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw Refusal(text: "the key is no key") }
        self.key = key
        self.url = url
        let isPath = url.hasPrefix("unix:")
        host = isPath ? "localhost" : String(url.dropFirst("http://".count).prefix { $0 != "/" })
        socket = try HTTPDoor.connect(url)
    }

    private static func connect(_ url: String) throws -> Int32 {
        let isPath = url.hasPrefix("unix:")
        let socket = try isPath ? connect(path: String(url.dropFirst("unix:".count))) : connect(address: url)
        var timeout = timeval(tv_sec: HTTPDoor.timeoutSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        return socket
    }

    func close() throws {
        if let socket { Glibc.close(socket) }
        socket = nil
    }

    deinit {
        if let socket { Glibc.close(socket) }
    }

    func post(_ events: [Event]) throws -> Posted {
        var writer = JSONWriter(reservingCapacity: 512 * events.count)
        writer.beginArray()
        for event in events { NativeFormat.write(event, into: &writer) }
        writer.endArray()
        for _ in 0..<HTTPDoor.triesMax {
            let status: Int
            let body: [UInt8]
            do {
                let socket = try self.socket ?? HTTPDoor.connect(url)
                self.socket = socket
                (status, body) = try request(writer.bytes, on: socket)
            } catch is Broken {
                // Whether the events were stored is not known, and need not be: posted again they are duplicates.
                try close()
                sleep(1)
                continue
            }
            if [429, 503, 507].contains(status) {
                sleep(1)
                continue
            }
            guard status == 200 else {
                let told = String(decoding: body.prefix(500), as: UTF8.self)
                throw Refusal(text: "the daemon answered \(status): \(told)")
            }
            return try HTTPDoor.verdicts(body)
        }
        throw Refusal(text: "the daemon takes nothing now: run it again later, and it goes on where it was")
    }

    private static func verdicts(_ body: [UInt8]) throws -> Posted {
        let answer = try JSONValue.parse(body)
        func count(_ name: String) throws -> UInt64 {
            guard let number = answer[name]?.number, let count = UInt64(number) else {
                throw Refusal(text: "the daemon's answer has no \(name)")
            }
            return count
        }
        var posted = Posted(stored: try count("accepted"), duplicates: try count("duplicates"))
        posted.refused = try count("rejected")
        if let first = answer["errors"]?[0] {
            posted.refusal = ["id", "code", "detail"].compactMap { first[$0]?.string }.joined(separator: ": ")
        }
        return posted
    }

    private func request(_ body: [UInt8], on socket: Int32) throws -> (status: Int, body: [UInt8]) {
        let head = "POST /v1/events HTTP/1.1\r\nHost: \(host)\r\nAuthorization: Bearer \(key)\r\n"
            + "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n"
        try HTTPDoor.send(Array(head.utf8) + body, on: socket)
        var received: [UInt8] = []
        var headEnd: Int?
        while headEnd == nil {
            guard received.count <= HTTPDoor.headBytesMax else { throw Refusal(text: "the daemon's answer has no end") }
            received += try HTTPDoor.receive(on: socket)
            headEnd = HTTPDoor.endOfHead(received)
        }
        guard let headEnd else { preconditionFailure("a head without an end") }
        let lines = String(decoding: received[..<headEnd], as: UTF8.self).split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }),
            let length = lines.first(where: { $0.lowercased().hasPrefix("content-length:") })
                .flatMap({ Int($0.dropFirst("content-length:".count).drop(while: { $0 == " " })) }),
            (0...HTTPDoor.bodyBytesMax).contains(length)
        else { throw Refusal(text: "what answers there is no tallystick") }
        var answer = Array(received[headEnd...])
        while answer.count < length { answer += try HTTPDoor.receive(on: socket) }
        return (status, answer)
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        return (4...bytes.count).first { bytes[($0 - 4)..<$0].elementsEqual([13, 10, 13, 10]) }
    }

    private static func send(_ bytes: [UInt8], on socket: Int32) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Broken() }
            sent += count
        }
    }

    private static func receive(on socket: Int32) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Broken() }
            return Array(buffer[..<count])
        }
    }

    // MARK: - Connecting

    private static func connect(address url: String) throws -> Int32 {
        guard url.hasPrefix("http://") else {
            throw Refusal(text: "--url is http://ADDRESS:PORT or unix:PATH, not \"\(url)\"")
        }
        var authority = url.dropFirst("http://".count)
        if authority.last == "/" { authority.removeLast() }
        var name = authority
        var port: Substring = "80"
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            name = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        let bare = name.hasPrefix("[") && name.hasSuffix("]") ? name.dropFirst().dropLast() : name
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(String(bare), String(port), &hints, &found)
        guard code == 0 else { throw Refusal(text: "\(url): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(found) }
        var next = found
        while let one = next {
            let socket = Glibc.socket(one.pointee.ai_family, one.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
            if socket >= 0 {
                if Glibc.connect(socket, one.pointee.ai_addr, one.pointee.ai_addrlen) == 0 {
                    return socket
                }
                Glibc.close(socket)
            }
            next = one.pointee.ai_next
        }
        throw Refusal(text: "\(url): \(String(cString: strerror(errno)))")
    }

    private static func connect(path: String) throws -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Refusal(text: "unix:\(path): the path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard socket >= 0, code == 0 else { throw Refusal(text: "unix:\(path): \(String(cString: strerror(errno)))") }
        return socket
    }
}
