/// A media type or range with its parameters (RFC 9110 sections 8.3.1 and 12.5.1), in lower case.
public struct MediaType: Hashable, Sendable {
    /// "application", or "*" in a range.
    public let type: String
    /// "json", or "*" in a range.
    public let subtype: String
    /// In order, values without their quotes.
    public let parameters: [Parameter]

    public struct Parameter: Hashable, Sendable {
        public let name: String
        public let value: String
    }

    /// Nil when it is not `type/subtype` with parameters.
    public init?(_ text: some StringProtocol) {
        var parts = MediaType.split(text, at: UInt8(ascii: ";"))
        let name = parts.removeFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard name.count == 2, MediaType.isToken(name[0]), MediaType.isToken(name[1]) else { return nil }
        type = name[0].lowercased()
        subtype = name[1].lowercased()
        var parameters: [Parameter] = []
        for part in parts where !part.isEmpty {
            guard let equals = part.firstIndex(of: "="), MediaType.isToken(part[..<equals]) else { return nil }
            var value = part[part.index(after: equals)...]
            if value.utf8.count >= 2, value.utf8.first == UInt8(ascii: "\""), value.utf8.last == UInt8(ascii: "\"") {
                value = value.dropFirst().dropLast()
            }
            parameters.append(Parameter(name: part[..<equals].lowercased(), value: value.lowercased()))
        }
        self.parameters = parameters
    }

    public subscript(name: String) -> String? {
        parameters.first { $0.name == name }?.value
    }

    /// As a range: 0 when it does not match the type, more the more exactly it does.
    private func precision(for other: MediaType) -> Int {
        if type == "*" { return subtype == "*" ? 1 : 0 }
        guard type == other.type else { return 0 }
        if subtype == "*" { return 2 }
        return subtype == other.subtype ? 3 : 0
    }

    /// RFC 9110 section 12.4.2: "q=0", "q=0.0" ... mean never.
    private var isExcluded: Bool {
        guard let quality = self["q"] else { return false }
        return quality.utf8.first == UInt8(ascii: "0")
            && quality.utf8.allSatisfy { $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: ".") }
    }

    /// Whether a client that sent these `Accept` values takes one of the types. The most exact range decides on each
    /// (RFC 9110 section 12.5.1). Ranges that cannot be read are passed over; without any, everything is taken.
    public static func isAccepted(anyOf offered: [String], by values: [String]) -> Bool {
        let ranges = values.flatMap { split($0, at: UInt8(ascii: ",")) }.compactMap { MediaType($0) }
        if ranges.isEmpty { return true }
        return offered.contains { text in
            guard let type = MediaType(text) else { preconditionFailure("\(text) is no media type") }
            let best = ranges.max { $0.precision(for: type) < $1.precision(for: type) }
            guard let best, best.precision(for: type) > 0 else { return false }
            return !best.isExcluded
        }
    }

    private static func isToken(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy(Octet.isToken)
    }

    /// The parts between separators that are not within quotes, without space around them.
    private static func split(_ text: some StringProtocol, at separator: UInt8) -> [String] {
        var parts: [String] = []
        var part: [UInt8] = []
        var isQuoted = false
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            if byte == separator, !isQuoted {
                parts.append(trimmed(part))
                part = []
            } else {
                part.append(byte)
            }
        }
        return parts + [trimmed(part)]
    }

    private static func trimmed(_ bytes: [UInt8]) -> String {
        let range = bytes.span.trimmed(0..<bytes.count)
        return String(decoding: bytes[range], as: UTF8.self)
    }
}
