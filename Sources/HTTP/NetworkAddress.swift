/// An IPv4 or IPv6 address as a number; IPv4 is mapped (RFC 4291 section 2.5.5.2), so that one host has one value.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// The 128 bits, most significant first as in the text.
    public let bits: UInt128

    public init(bits: UInt128) {
        self.bits = bits
    }

    private static let mappedPrefix: UInt128 = 0xFFFF << 32

    /// The text of an address and nothing else: no port, no zone, no brackets, no white space; octets without leading
    /// zeros. Nil when it is none.
    public init?(_ text: some Collection<UInt8>) {
        let bytes = Array(text)
        guard bytes.count <= 45, let bits = bytes.contains(0x3A) ? Self.v6(bytes) : Self.v4(bytes[...]) else {
            return nil
        }
        self.bits = bits
    }

    public var isV4: Bool { bits >> 32 == 0xFFFF }

    /// 127.0.0.0/8 and ::1 (RFC 6890): no packet from another machine has it.
    public var isLoopback: Bool { isV4 ? UInt8(truncatingIfNeeded: bits >> 24) == 127 : bits == 1 }

    private static func v4(_ bytes: ArraySlice<UInt8>) -> UInt128? {
        let parts = bytes.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits = mappedPrefix
        for (index, part) in parts.enumerated() {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
                part.count == 1 || part.first != 0x30
            else { return nil }
            let octet = part.reduce(0) { $0 * 10 + UInt128($1 - 0x30) }
            guard octet <= 255 else { return nil }
            bits |= octet << (24 - 8 * index)
        }
        return bits
    }

    /// RFC 4291 section 2.2: eight groups; one `::` for groups of zero; the last 32 bits may be written as IPv4.
    private static func v6(_ bytes: [UInt8]) -> UInt128? {
        func groups(_ half: ArraySlice<UInt8>, isLast: Bool) -> [UInt16]? {
            if half.isEmpty { return [] }
            let parts = half.split(separator: 0x3A, omittingEmptySubsequences: false)
            var groups: [UInt16] = []
            for (index, part) in parts.enumerated() {
                if isLast, index == parts.count - 1, part.contains(0x2E) {
                    guard let bits = v4(part) else { return nil }
                    groups += [UInt16(truncatingIfNeeded: bits >> 16), UInt16(truncatingIfNeeded: bits)]
                    continue
                }
                guard (1...4).contains(part.count) else { return nil }
                var group: UInt16 = 0
                for byte in part {
                    let digit: UInt8
                    switch byte {
                    case 0x30...0x39: digit = byte - 0x30
                    case 0x41...0x46: digit = byte - 0x37
                    case 0x61...0x66: digit = byte - 0x57
                    default: return nil
                    }
                    group = group << 4 | UInt16(digit)
                }
                groups.append(group)
            }
            return groups
        }
        let all: [UInt16]
        if let gap = bytes.indices.dropLast().first(where: { bytes[$0] == 0x3A && bytes[$0 + 1] == 0x3A }) {
            guard let head = groups(bytes[..<gap], isLast: false), let tail = groups(bytes[(gap + 2)...], isLast: true),
                head.count + tail.count <= 7
            else { return nil }
            all = head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let written = groups(bytes[...], isLast: true), written.count == 8 else { return nil }
            all = written
        }
        return all.reduce(0) { $0 << 16 | UInt128($1) }
    }

    /// As RFC 5952 writes it; IPv4 with dots.
    public var description: String {
        if isV4 {
            return (0..<4).map { "\(UInt8(truncatingIfNeeded: bits >> UInt128(24 - 8 * $0)))" }.joined(separator: ".")
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> UInt128(112 - 16 * $0)) }
        // The longest run of two or more groups of zero, the first of equal ones (section 4.2).
        var gap = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(gap.count, 1) { gap = start..<end }
            start = end + 1
        }
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return gap.isEmpty ? text(0..<8) : text(0..<gap.lowerBound) + "::" + text(gap.upperBound..<8)
    }
}
