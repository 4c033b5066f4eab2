internal import HTTP
internal import JSON

/// An error as RFC 9457 problem details. `code` is stable and for programs, `detail` for people.
struct Problem {
    var status: Int
    var code: String
    var detail: String
    /// For events: which one of the request, and its member at fault.
    var index: Int?
    var id: String?
    var field: String?
    /// For a body that is not JSON: the index of the byte at fault.
    var offset: Int?
    /// For a conflict: where the key was stored first.
    var position: UInt64?
    var headers: [(String, String)] = []

    init(
        _ status: Int, _ code: String, _ detail: String, index: Int? = nil, id: String? = nil, field: String? = nil,
        position: UInt64? = nil, headers: [(String, String)] = []
    ) {
        self.status = status
        self.code = code
        self.detail = detail
        self.index = index
        self.id = id
        self.field = field
        self.position = position
        self.headers = headers
    }

    static let contentType = "application/problem+json"

    var response: Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("type", string: "urn:tallystick:problem:" + code)
        writer.member("title", string: Problem.title(of: status))
        writer.member("status", integer: status)
        writer.member("detail", string: detail)
        writer.member("code", string: code)
        if let index { writer.member("index", integer: index) }
        if let id { writer.member("id", string: id) }
        if let field, !field.isEmpty { writer.member("field", string: field) }
        if let offset { writer.member("offset", integer: offset) }
        if let position { writer.member("position", integer: position) }
        writer.endObject()
        return Response(
            status: status, headers: [("Content-Type", Problem.contentType)] + headers, body: writer.bytes + [0x0A])
    }

    /// RFC 9110 section 15 reason phrases: the title of a problem without a type page of its own (RFC 9457 section
    /// 4.2.1).
    static func title(of status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        case 507: "Insufficient Storage"
        default: "Error"
        }
    }

    // The ones that more than one place answers with.

    static let overloaded = Problem(
        503, "overloaded", "more is waiting to be written than the limit allows; nothing of this request was stored",
        headers: [("Retry-After", "1")])
    static let stopping = Problem(
        503, "stopping", "the daemon is going down; nothing of this request was stored",
        headers: [("Retry-After", "2")])
    static let full = Problem(
        507, "log_full", "the log has no room left (disk or map); nothing of this request was stored",
        headers: [("Retry-After", "30")])
    static func notJSON(_ error: JSONError, in body: [UInt8]) -> Problem {
        var problem = Problem(400, "invalid_json", "the body is not JSON: \(error)", field: error.path(in: body))
        problem.offset = error.offset
        return problem
    }
    static func notFound(_ what: String) -> Problem { Problem(404, "not_found", what) }
}
