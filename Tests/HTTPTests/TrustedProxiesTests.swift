import HTTP
import Testing

private func address(_ text: String) -> NetworkAddress? { NetworkAddress(text.utf8) }

@Suite struct TrustedProxiesTests {
    private func client(_ trusted: String, _ peer: String?, _ fields: String...) throws -> String? {
        let proxies = try #require(TrustedProxies(trusted))
        return proxies.client(
            of: peer.flatMap { address($0) }, forwardedFor: fields.map { Array($0.utf8)[...] })?.description
    }

    @Test func `nobody's word is taken unless he is trusted`() throws {
        #expect(TrustedProxies().client(of: address("10.0.0.1"), forwardedFor: [Array("1.1.1.1".utf8)[...]])
            == address("10.0.0.1"))
        #expect(try client("10.0.0.1", "10.0.0.2", "1.1.1.1") == "10.0.0.2")
        #expect(try client("10.0.0.1", nil, "1.1.1.1") == nil)
    }

    @Test func `a trusted proxy says who asks, from the right, as far as trust goes`() throws {
        #expect(try client("10.0.0.1", "10.0.0.1", "1.1.1.1") == "1.1.1.1")
        // What the client itself had sent stands to the left.
        #expect(try client("10.0.0.1", "10.0.0.1", "6.6.6.6, 1.1.1.1") == "1.1.1.1")
        #expect(try client("10.0.0.0/8", "10.0.0.1", "6.6.6.6,1.1.1.1 ,\t10.9.9.9") == "1.1.1.1")
        #expect(try client("10.0.0.0/8", "10.0.0.1", "6.6.6.6", "1.1.1.1", "10.9.9.9") == "1.1.1.1")
        #expect(try client("unix", nil, "2001:db8::7") == "2001:db8::7")
        #expect(try client("::1, 127.0.0.0/8", "::1", "127.0.0.1") == "127.0.0.1")
        #expect(try client("10.0.0.1", "::ffff:10.0.0.1", "1.1.1.1") == "1.1.1.1")
    }

    @Test func `what is no address ends the reading`() throws {
        #expect(try client("10.0.0.0/8", "10.0.0.1") == "10.0.0.1")
        for field in ["", "unknown", "1.1.1.1, ", "1.1.1.1,,", "6.6.6.6, x", "1.1.1.1:80", "1.1.1.1;by=2", "1.1.1.1\u{0}"] {
            #expect(try client("10.0.0.0/8", "10.0.0.1", field) == "10.0.0.1", "\(field)")
        }
        #expect(try client("10.0.0.0/8", "10.0.0.1", "6.6.6.6, bad, 10.0.0.2") == "10.0.0.2")
        let long = Array(repeating: "10.0.0.3", count: 10_000).joined(separator: ",")
        #expect(try client("10.0.0.0/8", "10.0.0.1", "6.6.6.6," + long) == "10.0.0.3")
    }

    @Test func `networks are taken by their bits`() throws {
        let proxies = try #require(TrustedProxies("192.168.4.0/22,2001:db8::/32,10.0.0.7"))
        for (text, isTrusted) in [
            ("192.168.4.0", true), ("192.168.7.255", true), ("192.168.8.0", false), ("192.168.3.255", false),
            ("2001:db8:ffff::1", true), ("2001:db9::", false), ("10.0.0.7", true), ("10.0.0.8", false), ("::1", false),
        ] {
            #expect(proxies.trusts(address(text)) == isTrusted, "\(text)")
        }
        #expect(!proxies.trusts(nil) && !proxies.includesUnixSocket)
        #expect(TrustedProxies("0.0.0.0/0")?.trusts(address("1.2.3.4")) == true)
        #expect(TrustedProxies("0.0.0.0/0")?.trusts(address("2001:db8::1")) == false)
        #expect(TrustedProxies("::/0")?.trusts(address("2001:db8::1")) == true)
        for text in ["", "10.0.0.1,", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "localhost", "10/8"] {
            #expect(TrustedProxies(text) == nil, "\(text)")
        }
    }
}
