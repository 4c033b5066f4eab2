import Testing

@testable import Snapshots

@Test func `a header is read back, and any other bit makes it none`() throws {
    let header = try #require(Tar.header(name: "log/00000000000000000001.frames", size: 12_345))
    #expect(header.count == 512)
    let parsed = try #require(Tar.parse(header))
    #expect(parsed == ("log/00000000000000000001.frames", 12_345))
    for bit in 0..<(header.count * 8) {
        var changed = header
        changed[bit / 8] ^= 1 << (bit % 8)
        #expect(Tar.parse(changed) == nil, "bit \(bit)")
    }
}

@Test func `what does not fit has no header`() {
    #expect(Tar.header(name: String(repeating: "n", count: 101), size: 1) == nil)
    #expect(Tar.header(name: "", size: 1) == nil)
    #expect(Tar.header(name: "n", size: 1 << 33) == nil)
    #expect(Tar.header(name: "n", size: (1 << 33) - 1) != nil)
}

@Test func `names lead nowhere else`() {
    for name in [
        "manifest.json", "log/00000000000000000001.frames", "parked/parked.ndjson", "readmodels/calls.sqlite",
    ] {
        #expect(Archive.isName(name), "\(name)")
    }
    for name in [
        "", "/etc/passwd", "..", "../x", "log/..", "log/../x", "log//x", "log/", "/log/x", ".hidden", "log/.hidden",
        "other/x", "log/a/b", "a b", "é", "x\n", "log\\x", "~root", String(repeating: "n", count: 101),
    ] {
        #expect(!Archive.isName(name), "\(name)")
    }
}
