/// The proxies whose word about their client's address is taken, and what follows from it.
public struct TrustedProxies: Hashable, Sendable {
    private struct Network: Hashable {
        var prefix: UInt128
        var mask: UInt128
    }

    /// Of a chain of proxies at most so many are followed.
    public static let hopsMax = 16

    private var networks: [Network] = []
    /// Whether who connects to the Unix socket is a proxy.
    public private(set) var includesUnixSocket = false

    /// No one is trusted.
    public init() {}

    /// Addresses and networks in CIDR notation (RFC 4632), and the word `unix` for the Unix socket, separated by
    /// commas. Nil when one is neither, or has bits set behind its prefix.
    public init?(_ text: String) {
        for part in text.utf8.split(separator: 0x2C, omittingEmptySubsequences: false) {
            let word = part.filter { $0 != 0x20 }
            if word.elementsEqual("unix".utf8) {
                includesUnixSocket = true
                continue
            }
            let parts = word.split(separator: 0x2F, maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = parts.first, let address = NetworkAddress(first) else { return nil }
            var mask = UInt128.max
            if parts.count == 2 {
                let bitsMax = address.isV4 && !first.contains(0x3A) ? 32 : 128
                guard (1...3).contains(parts[1].count), parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
                    let length = Int(String(decoding: parts[1], as: UTF8.self)), length <= bitsMax
                else { return nil }
                let free = bitsMax - length
                mask = free == 128 ? 0 : UInt128.max << UInt128(free)
            }
            guard address.bits & ~mask == 0 else { return nil }
            networks.append(Network(prefix: address.bits, mask: mask))
        }
    }

    public var isEmpty: Bool { networks.isEmpty && !includesUnixSocket }

    /// - Parameter peer: who has connected; nil for the Unix socket.
    public func trusts(_ peer: NetworkAddress?) -> Bool {
        guard let peer else { return includesUnixSocket }
        return networks.contains { peer.bits & $0.mask == $0.prefix }
    }

    /// Who has really asked. `X-Forwarded-For` is read from the right, where the nearest proxy has written: an element
    /// counts only when whoever wrote it is trusted. So nothing that a client sends itself is ever believed. An element
    /// that is no address ends the reading: then it was the one who wrote it.
    ///
    /// - Parameters:
    ///   - peer: who has connected; nil for the Unix socket.
    ///   - fields: the values of the fields of that name, in their order (RFC 9110 section 5.3).
    public func client(of peer: NetworkAddress?, forwardedFor fields: [ArraySlice<UInt8>]) -> NetworkAddress? {
        guard trusts(peer) else { return peer }
        var client = peer
        var hops = 0
        for field in fields.reversed() {
            for element in field.split(separator: 0x2C, omittingEmptySubsequences: false).reversed() {
                let word = element.drop { $0 == 0x20 || $0 == 0x09 }
                let end = word.lastIndex { $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? word.startIndex
                guard hops < Self.hopsMax, let address = NetworkAddress(word[word.startIndex..<end]) else {
                    return client
                }
                client = address
                hops += 1
                guard trusts(address) else { return client }
            }
        }
        return client
    }
}
