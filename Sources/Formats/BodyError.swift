/// A body that cannot be taken at all: none of it becomes an event.
public struct BodyError: Error, Hashable, Sendable {
    /// For the client as it is: `invalid_json`, `too_many_items`, ...
    public var code: String
    /// One sentence for a person. It quotes nothing of the body but a member name.
    public var detail: String
    /// Index of the byte at fault, where one is.
    public var offset: Int?

    public init(code: String, detail: String, offset: Int? = nil) {
        self.code = code
        self.detail = detail
        self.offset = offset
    }
}
