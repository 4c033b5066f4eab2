internal import Glibc

/// A listening socket. Closed by `close()`, which also removes the file of a Unix socket.
struct Listener {
    let fd: Int32
    /// As bound: with the port that the kernel chose.
    let address: ListenAddress

    static func open(_ address: ListenAddress, queueMax: Int) throws(ServerError) -> Listener {
        switch address {
        case .tcp(let host, let port): try openTCP(address, host: host, port: port, queueMax: queueMax)
        case .unix(let path): try openUnix(address, path: path, queueMax: queueMax)
        }
    }

    var isTCP: Bool {
        if case .tcp = address { return true }
        return false
    }

    func close() {
        Glibc.close(fd)
        if case .unix(let path) = address { unlink(path) }
    }

    private static func openTCP(
        _ address: ListenAddress, host: String, port: Int, queueMax: Int
    ) throws(ServerError) -> Listener {
        guard let number = UInt16(exactly: port) else { throw .addressInvalid(address) }
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        let numeric = host == "localhost" ? "127.0.0.1" : host
        if inet_pton(AF_INET, numeric, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = number.bigEndian
            let fd = try socket(AF_INET, address)
            reuse(fd)
            let code = withSocketAddress(&v4) { bind(fd, $0, $1) }
            return try listen(fd, bound: code, address, host: host, queueMax: queueMax)
        }
        guard inet_pton(AF_INET6, numeric, &v6.sin6_addr) == 1 else { throw .addressInvalid(address) }
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = number.bigEndian
        let fd = try socket(AF_INET6, address)
        reuse(fd)
        let code = withSocketAddress(&v6) { bind(fd, $0, $1) }
        return try listen(fd, bound: code, address, host: host, queueMax: queueMax)
    }

    private static func openUnix(
        _ address: ListenAddress, path: String, queueMax: Int
    ) throws(ServerError) -> Listener {
        guard var unix = unixAddress(path) else { throw .addressInvalid(address) }
        let fd = try socket(AF_UNIX, address)
        var code = withSocketAddress(&unix) { bind(fd, $0, $1) }
        if code != 0, errno == EADDRINUSE, try isAbandoned(&unix, address) {
            unlink(path)
            code = withSocketAddress(&unix) { bind(fd, $0, $1) }
        }
        if code == 0 { chmod(path, 0o660) }
        return try listen(fd, bound: code, address, host: nil, queueMax: queueMax)
    }

    /// The file of a process that is gone: nobody listens behind it. A file that is no socket is never touched.
    private static func isAbandoned(_ unix: inout sockaddr_un, _ address: ListenAddress) throws(ServerError) -> Bool {
        let probe = try socket(AF_UNIX, address)
        defer { Glibc.close(probe) }
        let code = withSocketAddress(&unix) { connect(probe, $0, $1) }
        guard code != 0, errno == ECONNREFUSED, case .unix(let path) = address else { return false }
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    private static func socket(_ family: Int32, _ address: ListenAddress) throws(ServerError) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let fd = Glibc.socket(family, kind, 0)
        if fd < 0 { throw .last("socket", address) }
        return fd
    }

    private static func reuse(_ fd: Int32) {
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func listen(
        _ fd: Int32, bound code: Int32, _ address: ListenAddress, host: String?, queueMax: Int
    ) throws(ServerError) -> Listener {
        if code != 0 {
            let error = ServerError.last("bind", address)
            Glibc.close(fd)
            throw error
        }
        if Glibc.listen(fd, Int32(queueMax)) != 0 {
            let error = ServerError.last("listen", address)
            Glibc.close(fd)
            throw error
        }
        guard let host else { return Listener(fd: fd, address: address) }
        // sin_port and sin6_port are at the same place.
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &name) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &length) }
        }
        return Listener(fd: fd, address: .tcp(host: host, port: Int(UInt16(bigEndian: name.sin6_port))))
    }

    private static func withSocketAddress<Address>(
        _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<Address>.size))
            }
        }
    }

    /// Nil when the path does not fit into 107 bytes and a zero.
    private static func unixAddress(_ path: String) -> sockaddr_un? {
        var unix = sockaddr_un()
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: unix.sun_path), !bytes.contains(0) else {
            return nil
        }
        unix.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &unix.sun_path) { $0.copyBytes(from: bytes) }
        return unix
    }
}

extension ServerError {
    static func last(_ operation: String, _ address: ListenAddress?) -> ServerError {
        let code = errno
        return .system(operation: operation, address: address, code: code, reason: String(cString: strerror(code)))
    }
}
