/// Request methods (RFC 9110 section 9), as far as anything here tells them apart. Methods are case-sensitive.
public enum Method: Hashable, Sendable {
    case get, head, post, put, delete, options, patch
    /// A valid token that is none of the above.
    case other

    init(_ bytes: Span<UInt8>) {
        switch bytes.count {
        case 3 where bytes.matches("GET"): self = .get
        case 3 where bytes.matches("PUT"): self = .put
        case 4 where bytes.matches("POST"): self = .post
        case 4 where bytes.matches("HEAD"): self = .head
        case 5 where bytes.matches("PATCH"): self = .patch
        case 6 where bytes.matches("DELETE"): self = .delete
        case 7 where bytes.matches("OPTIONS"): self = .options
        default: self = .other
        }
    }

    /// As in a request line and in `Allow`.
    public var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .patch: "PATCH"
        case .other: "other"
        }
    }
}
