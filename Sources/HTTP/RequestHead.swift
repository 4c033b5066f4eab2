/// Request line and headers: one copy of their bytes, and where in them each part is. Strings are made when asked for.
public struct RequestHead: Sendable {
    /// How the end of the body is told (RFC 9112 section 6.3).
    public enum Framing: Hashable, Sendable {
        case none
        case length(Int)
        case chunked
    }

    /// A header: where its name and its value (without surrounding space) are.
    struct Field: Sendable {
        var nameStart: UInt32
        var nameEnd: UInt32
        var valueStart: UInt32
        var valueEnd: UInt32

        var name: Range<Int> { Int(nameStart)..<Int(nameEnd) }
        var value: Range<Int> { Int(valueStart)..<Int(valueEnd) }
    }

    let bytes: [UInt8]
    let fields: [Field]
    let methodRange: Range<Int>
    let targetRange: Range<Int>
    let pathRange: Range<Int>
    let queryRange: Range<Int>

    public let method: Method
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    public let versionMinor: Int
    public let framing: Framing
    /// What the client wishes for the connection after the answer (RFC 9112 section 9.3).
    public let keepAlive: Bool
    /// `Expect: 100-continue` of an HTTP/1.1 client.
    public let expectsContinue: Bool

    /// A body follows that is not known to be empty.
    public var hasBody: Bool {
        switch framing {
        case .none: false
        case .length(let length): length > 0
        case .chunked: true
        }
    }

    /// The method as sent.
    public var methodName: String { text(methodRange) }
    /// The request target as sent.
    public var target: String { text(targetRange) }
    /// The path as sent, still percent-encoded; "*" for `OPTIONS *`, "/" where an absolute target has none.
    public var path: String { pathRange.isEmpty ? "/" : text(pathRange) }
    /// The bytes of the path as sent, for a router that compares bytes.
    public var pathBytes: ArraySlice<UInt8> { bytes[pathRange] }

    /// The parts of the path between slashes, each percent-decoded on its own, so that an encoded slash stays inside
    /// its part. "/" has none, "/a/" has "a" and "".
    public var pathSegments: [String] {
        var start = pathRange.lowerBound
        if start < pathRange.upperBound, bytes[start] == UInt8(ascii: "/") { start += 1 }
        guard start < pathRange.upperBound else { return [] }
        return bytes[start..<pathRange.upperBound]
            .split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { PercentEncoding.decode($0, plusIsSpace: false) ?? "" }
    }

    /// The query as name and value pairs, decoded as HTML forms encode them ("+" is a space), in order; a name
    /// without "=" has the value "".
    public var query: [(name: String, value: String)] {
        guard !queryRange.isEmpty else { return [] }
        return bytes[queryRange].split(separator: UInt8(ascii: "&")).map { pair in
            let equals = pair.firstIndex(of: UInt8(ascii: "="))
            let name = pair[..<(equals ?? pair.endIndex)]
            let value = equals.map { pair[($0 + 1)...] } ?? []
            return (
                PercentEncoding.decode(name, plusIsSpace: true) ?? "",
                PercentEncoding.decode(value, plusIsSpace: true) ?? ""
            )
        }
    }

    /// The first value of the query of that name.
    public func queryValue(_ name: String) -> String? {
        query.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The headers in order, as sent; bytes that are not UTF-8 are replaced.
    public var headers: [(name: String, value: String)] {
        fields.map { (text($0.name), text($0.value)) }
    }

    /// The value of the first header of that name, whatever its case; nil when there is none.
    public func header(_ name: StaticString) -> String? {
        guard let range = valueRange(name) else { return nil }
        return text(range)
    }

    /// The values of all headers of that name, in order.
    public func headerValues(_ name: StaticString) -> [String] {
        fields.filter { isNamed($0, name) }.map { text($0.value) }
    }

    /// The bytes of the first header of that name, without a copy.
    public func headerBytes(_ name: StaticString) -> ArraySlice<UInt8>? {
        guard let range = valueRange(name) else { return nil }
        return bytes[range]
    }

    /// The bytes of all headers of that name, in order, without a copy.
    public func headerByteValues(_ name: StaticString) -> [ArraySlice<UInt8>] {
        fields.filter { isNamed($0, name) }.map { bytes[$0.value] }
    }

    private func valueRange(_ name: StaticString) -> Range<Int>? {
        for field in fields where isNamed(field, name) { return field.value }
        return nil
    }

    private func isNamed(_ field: Field, _ name: StaticString) -> Bool {
        let count = name.utf8CodeUnitCount
        guard Int(field.nameEnd - field.nameStart) == count else { return false }
        let other = name.utf8Start
        let start = Int(field.nameStart)
        for index in 0..<count where Octet.lowercased(bytes[start + index]) != Octet.lowercased(other[index]) {
            return false
        }
        return true
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }
}

/// A whole request.
public struct Request: Sendable {
    public var head: RequestHead
    public var body: [UInt8]

    public var method: Method { head.method }
    public var target: String { head.target }
    public var path: String { head.path }
    public var pathSegments: [String] { head.pathSegments }
    public var query: [(name: String, value: String)] { head.query }
    public var headers: [(name: String, value: String)] { head.headers }

    /// The value of the first header of that name, whatever its case.
    public func header(_ name: StaticString) -> String? { head.header(name) }
    /// The first value of the query of that name.
    public func queryValue(_ name: String) -> String? { head.queryValue(name) }
}

/// Percent-encoding (RFC 3986 section 2.1).
enum PercentEncoding {
    /// Nil when a "%" is not followed by two hexadecimal digits, stands for NUL, or the result is not UTF-8. A NUL ends
    /// the text for whatever is written in C behind us, and means nothing here.
    static func decode(_ bytes: ArraySlice<UInt8>, plusIsSpace: Bool) -> String? {
        guard let decoded = decodedBytes(bytes, plusIsSpace: plusIsSpace) else { return nil }
        return String(validating: decoded, as: UTF8.self)
    }

    private static func decodedBytes(_ bytes: ArraySlice<UInt8>, plusIsSpace: Bool) -> [UInt8]? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < bytes.endIndex, let high = Octet.hexValue(bytes[index + 1]),
                    let low = Octet.hexValue(bytes[index + 2])
                else { return nil }
                guard high | low != 0 else { return nil }
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(plusIsSpace && byte == UInt8(ascii: "+") ? Octet.space : byte)
                index += 1
            }
        }
        return decoded
    }

    /// Each part between separators decodes by itself.
    static func isValid(_ bytes: ArraySlice<UInt8>, separators: (UInt8, UInt8)) -> Bool {
        guard bytes.contains(UInt8(ascii: "%")) else { return true }
        return bytes.split(whereSeparator: { $0 == separators.0 || $0 == separators.1 })
            .allSatisfy { decode($0, plusIsSpace: false) != nil }
    }
}
