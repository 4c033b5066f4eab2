/// An answer. Date, Content-Length, Transfer-Encoding and Connection are the server's to write, not the maker's.
public struct Response: Sendable {
    public enum Body: Sendable {
        case bytes([UInt8])
        /// A body of unknown length. The server asks for the next piece when the last one has left for the socket, so
        /// that a slow client slows its producer and nothing piles up. Called on the loop thread: must not block, and
        /// gives its piece to the sink from any thread, now or later.
        case chunks(@Sendable (ChunkSink) -> Void)
    }

    /// 200...599.
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: Body

    public init(status: Int, headers: [(name: String, value: String)] = [], body: Body) {
        precondition((200...599).contains(status), "status \(status)")
        self.status = status
        self.headers = headers
        self.body = body
    }

    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.init(status: status, headers: headers, body: .bytes(body))
    }

    /// A whole body with its media type.
    public init(
        status: Int, contentType: String, headers: [(name: String, value: String)] = [], body: [UInt8]
    ) {
        self.init(status: status, headers: [("Content-Type", contentType)] + headers, body: .bytes(body))
    }

    /// A problem document (RFC 9457). `members`: more members, each value JSON already.
    public static func problem(
        status: Int, code: String, detail: String, title: String? = nil,
        headers: [(name: String, value: String)] = [], members: [(name: String, json: String)] = []
    ) -> Response {
        var body: [UInt8] = []
        body.append(contentsOf: #"{"type":"about:blank","title":"#.utf8)
        appendQuoted(title ?? Status.reason(status), to: &body)
        body.append(contentsOf: #","status":\#(status),"detail":"#.utf8)
        appendQuoted(detail, to: &body)
        body.append(contentsOf: #","code":"#.utf8)
        appendQuoted(code, to: &body)
        for member in members {
            body.append(UInt8(ascii: ","))
            appendQuoted(member.name, to: &body)
            body.append(UInt8(ascii: ":"))
            body.append(contentsOf: member.json.utf8)
        }
        body.append(UInt8(ascii: "}"))
        return Response(status: status, contentType: "application/problem+json", headers: headers, body: body)
    }

    /// A JSON string (RFC 8259 section 7).
    private static func appendQuoted(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                let hex = Array("0123456789abcdef".utf8)
                bytes.append(contentsOf: #"\u00"#.utf8)
                bytes.append(hex[Int(byte >> 4)])
                bytes.append(hex[Int(byte & 15)])
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

/// Names of status codes (RFC 9110 section 15, RFC 6585).
public enum Status {
    public static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: "Status"
        }
    }
}
