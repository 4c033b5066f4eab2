/// Why bytes are not the JSON we take.
public struct JSONError: Error, Hashable, Sendable {
    /// Index of the first byte at fault, in the array that was read.
    public var offset: Int
    /// A clause: `duplicate name "id"`. Of the document it quotes at most one member name, cut short.
    public var reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    /// Whether all that is wrong, as far as was read, is a name given twice: the bytes are JSON by RFC 8259's grammar.
    public var isDuplicateName: Bool { reason.utf8.starts(with: JSONError.duplicateName.utf8) }

    static let duplicateName = "duplicate name "
}

extension JSONError: CustomStringConvertible {
    public var description: String { "\(reason) at byte \(offset)" }
}
