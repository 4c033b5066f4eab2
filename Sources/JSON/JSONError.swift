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
}

extension JSONError: CustomStringConvertible {
    public var description: String { "\(reason) at byte \(offset)" }
}
