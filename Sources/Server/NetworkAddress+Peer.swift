internal import CLinux
internal import HTTP

/// Where connections come from, as far as limits tell addresses apart.
extension NetworkAddress {
    /// Nil for a Unix socket: its mode says who may connect.
    init?(_ peer: tally_peer) {
        let bits = UInt128(peer.high) << 64 | UInt128(peer.low)
        guard bits != 0 else { return nil }
        self.init(bits: bits)
    }

    /// IPv4 as it is; of IPv6 the first 64 bits, since whoever has one address of such a network has all of them.
    var network: NetworkAddress { isV4 ? self : NetworkAddress(bits: (bits >> 64) << 64) }
}
