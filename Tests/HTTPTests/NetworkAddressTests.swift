import HTTP
import Testing

private func address(_ text: String) -> NetworkAddress? { NetworkAddress(text.utf8) }

@Suite struct NetworkAddressTests {
    /// Text, and as RFC 5952 writes it.
    static let good = [
        ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
        ("::1", "::1"), ("2001:DB8::1", "2001:db8::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1::", "1::"), ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
        ("::ffff:10.1.2.3", "10.1.2.3"), ("::ffff:0a01:0203", "10.1.2.3"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("fe80::0", "fe80::"),
    ]

    @Test(arguments: good) func `an address is read and written`(text: String, canonical: String) {
        #expect(address(text)?.description == canonical)
        #expect(address(canonical) == address(text))
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04", "1.2.3.+4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4:80",
        "1.2.3.", ".1.2.3", "1..2.3", "0x7f.0.0.1", "127.1", "1.2.3.4/8", "unknown", "_hidden", ":", ":::", "1::2::3",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1:2:3:4:5:6:7:8", "12345::", "g::", "[::1]", "::1%eth0", "::1.2.3",
        "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "١.2.3.4",
        "0000:0000:0000:0000:0000:0000:0000:00000000001",
    ]) func `what is no address is none`(text: String) {
        #expect(address(text) == nil)
    }

    @Test func `loopback is told from the rest`() {
        for text in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            #expect(address(text)?.isLoopback == true, "\(text)")
        }
        for text in ["128.0.0.1", "0.0.0.0", "::", "10.0.0.1", "::2", "fe80::1"] {
            #expect(address(text)?.isLoopback == false, "\(text)")
        }
    }
}
