internal import JSON

/// A body that cannot be taken at all: none of it becomes an event.
public struct BodyError: Error, Hashable, Sendable {
    /// For the client as it is: `invalid_json`, `too_many_items`, ...
    public var code: String
    /// One sentence for a person. It quotes nothing of the body but a member name.
    public var detail: String
    /// Index of the byte at fault, where one is.
    public var offset: Int?
    /// Path of the member or element that it is in: "[3].data"; nil when it is in none.
    public var field: String?

    public init(code: String, detail: String, offset: Int? = nil, field: String? = nil) {
        self.code = code
        self.detail = detail
        self.offset = offset
        self.field = field
    }

    /// The body is not JSON.
    init(_ error: JSONError, in body: [UInt8]) {
        let path = error.path(in: body)
        self.init(
            code: "invalid_json", detail: "The body is not JSON: \(error).", offset: error.offset,
            field: path.isEmpty ? nil : path)
    }
}
