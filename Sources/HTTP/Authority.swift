/// Host and port (RFC 3986 section 3.2) as `Host` and an absolute target carry them.
enum Authority {
    /// `host [":" port]`, without user information (RFC 9110 section 4.2.4) and with a host that is not empty (section
    /// 4.2.1): a registered name, an IPv4 address, or an address in brackets; the port, if any, at most 65535.
    static func isValid(_ span: Span<UInt8>, in range: Range<Int>) -> Bool {
        guard let hostEnd = hostEnd(span, range), hostEnd > range.lowerBound else { return false }
        guard hostEnd < range.upperBound else { return true }
        guard span[hostEnd] == UInt8(ascii: ":") else { return false }
        var port = 0
        for index in hostEnd + 1..<range.upperBound {
            guard Octet.isDigit(span[index]) else { return false }
            port = port * 10 + Int(span[index] - UInt8(ascii: "0"))
            if port > 65535 { return false }
        }
        return true
    }

    /// The index behind the host; nil when there is none that could be one.
    private static func hostEnd(_ span: Span<UInt8>, _ range: Range<Int>) -> Int? {
        guard !range.isEmpty else { return nil }
        if span[range.lowerBound] == UInt8(ascii: "[") { return literalEnd(span, range) }
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = span[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < range.upperBound, Octet.hexValue(span[index + 1]) != nil,
                    Octet.hexValue(span[index + 2]) != nil
                else { return nil }
                index += 3
                continue
            }
            guard Octet.isRegisteredName(byte) else { break }
            index += 1
        }
        return index
    }

    /// An IPv6 address or a later one (section 3.2.2), to its closing bracket.
    private static func literalEnd(_ span: Span<UInt8>, _ range: Range<Int>) -> Int? {
        guard let close = span.firstIndex(of: UInt8(ascii: "]"), in: range), close > range.lowerBound + 1 else {
            return nil
        }
        for index in range.lowerBound + 1..<close {
            let byte = span[index]
            guard Octet.isRegisteredName(byte) || byte == UInt8(ascii: ":") else { return nil }
        }
        return close + 1
    }
}
