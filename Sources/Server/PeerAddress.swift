internal import CLinux

/// Where a connection comes from, as far as limits tell addresses apart.
struct PeerAddress: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// IPv4 as it is; of IPv6 the first 64 bits, since whoever has one address of such a network has all of them.
    init(_ peer: tally_peer) {
        high = peer.high
        low = peer.high == 0 ? peer.low : 0
    }

    /// A Unix socket has no address: its mode says who may connect.
    var isLocal: Bool { high == 0 && low == 0 }
}
