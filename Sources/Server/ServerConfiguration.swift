public import HTTP

/// Where the server listens and how much it lets in. Every limit has a name; relations are checked at start.
public struct ServerConfiguration: Sendable {
    public var listen: [ListenAddress]
    /// Open connections; at the limit nothing is accepted until one closes (the kernel's queue holds the rest).
    public var connectionsMax = 1024
    /// Of them from one address; over it a connection is answered 503 and closed. Not for Unix sockets and proxies.
    public var connectionsPerAddressMax = 512
    /// Proxies whose `X-Forwarded-For` says who has asked, and whose connections are not counted as one client's.
    public var trustedProxies = TrustedProxies()
    /// Length of the kernel's queue of connections not yet accepted.
    public var acceptQueueMax = 1024
    public var request = RequestParser.Limits()
    public var connection = ConnectionState.Limits()
    /// Requests of one connection that are taken in one turn of the loop; the others wait for the next, so that a flood
    /// on one connection does not starve the rest.
    public var pipelinedRequestsMax = 16
    /// Bytes kept of pipelined requests that wait for the answer before them; then reading stops.
    public var pendingBytesMax = 65536
    /// Bytes of answers waiting to be taken; over it, the connection's next request waits.
    public var outputBytesMax = 262_144
    /// Bytes of request bodies held for all connections together, until their answers; over it, 503.
    public var bodiesBytesMax = 256 << 20
    /// `Retry-After` of that 503.
    public var retryAfterSeconds = 1
    /// Pause of accepting when the process is out of file descriptors.
    public var acceptPauseMilliseconds: UInt64 = 100

    public init(listen: [ListenAddress] = [.tcp(host: "127.0.0.1", port: 8787)]) {
        self.listen = listen
    }

    func check() {
        precondition(!listen.isEmpty, "no address to listen on")
        precondition(connectionsMax > 0, "connectionsMax \(connectionsMax)")
        precondition(
            pendingBytesMax >= request.headBytesMax,
            "pendingBytesMax \(pendingBytesMax) holds no head of \(request.headBytesMax) bytes")
        precondition(outputBytesMax > 0, "outputBytesMax \(outputBytesMax)")
        precondition(bodiesBytesMax > 0, "bodiesBytesMax \(bodiesBytesMax)")
        precondition(connectionsPerAddressMax > 0, "connectionsPerAddressMax \(connectionsPerAddressMax)")
        precondition(pipelinedRequestsMax > 0, "pipelinedRequestsMax \(pipelinedRequestsMax)")
        precondition(connection.bytesPerSecondMin > 0, "bytesPerSecondMin 0")
    }
}

/// A place to listen on.
public enum ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// A numeric IPv4 or IPv6 address or "localhost"; port 0 lets the kernel choose.
    case tcp(host: String, port: Int)
    /// A Unix socket at that path, mode 0660.
    case unix(path: String)

    /// "host:port", "[v6]:port"; nil when it is neither.
    public init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        var host = text[..<colon]
        let digits = text[text.utf8.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.count <= 5,
            digits.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let port = Int(digits), port <= 65535
        else { return nil }
        if host.utf8.first == UInt8(ascii: "["), host.utf8.last == UInt8(ascii: "]") {
            host = host.dropFirst().dropLast()
        } else if host.utf8.contains(UInt8(ascii: ":")) {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self = .tcp(host: String(host), port: port)
    }

    public var description: String {
        switch self {
        case .tcp(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}

/// Why the server cannot start.
public enum ServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not a numeric address, or a path too long for a Unix socket.
    case addressInvalid(ListenAddress)
    /// A system call refused; `code` is its errno.
    case system(operation: String, address: ListenAddress?, code: Int32, reason: String)

    public var description: String {
        switch self {
        case .addressInvalid(let address):
            "cannot listen on \(address): not a numeric address and port, or a socket path over 107 bytes"
        case .system(let operation, let address, let code, let reason):
            "cannot listen\(address.map { " on \($0)" } ?? ""): \(operation): \(reason) (errno \(code))"
        }
    }
}

/// Counts since the start, as of the end of the last turn of the loop.
public struct ServerStatistics: Hashable, Sendable {
    public var connectionsOpen = 0
    public var connectionsAccepted: UInt64 = 0
    /// Whole requests handed to the handler.
    public var requests: UInt64 = 0
    /// Final answers by class of their status.
    public var responses2xx: UInt64 = 0
    public var responses3xx: UInt64 = 0
    public var responses4xx: UInt64 = 0
    public var responses5xx: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0
    /// Bytes of bodies held now, of `bodiesBytesMax`.
    public var bodyBytesHeld = 0
    /// Limits hit.
    public var framingErrors: UInt64 = 0
    public var timeouts: UInt64 = 0
    public var bodiesRefused: UInt64 = 0
    public var acceptPauses: UInt64 = 0
    /// How often each limit was hit.
    public var limitHits = LimitHits()

    public init() {}
}

/// The limits of the server that a client can hit. The raw values are words for `/metrics`.
public enum ServerLimit: String, CaseIterable, Sendable {
    case requestLine = "request_line"
    case headerBytes = "header_bytes"
    case headerCount = "header_count"
    case bodyBytes = "body_bytes"
    case bodiesBytes = "bodies_bytes"
    case connections
    case connectionsPerAddress = "connections_per_address"
    case descriptors
    case pipelinedRequests = "pipelined_requests"
    case headTime = "head_time"
    case bodyRate = "body_rate"
    case writeRate = "write_rate"
    case idleTime = "idle_time"
}

/// A count for each limit.
public struct LimitHits: Hashable, Sendable {
    private var counts = [UInt64](repeating: 0, count: ServerLimit.allCases.count)

    public subscript(limit: ServerLimit) -> UInt64 {
        get { counts[LimitHits.index(limit)] }
        set { counts[LimitHits.index(limit)] = newValue }
    }

    private static func index(_ limit: ServerLimit) -> Int {
        guard let index = ServerLimit.allCases.firstIndex(of: limit) else { preconditionFailure("\(limit)") }
        return index
    }
}
