internal import HTTP
internal import JSON

/// Bodies of answers: one place for their headers.
enum Answers {
    static func json(_ status: Int = 200, position: UInt64? = nil, _ build: (inout JSONWriter) -> Void) -> Response {
        var writer = JSONWriter()
        build(&writer)
        var headers = [("Content-Type", "application/json")]
        if let position { headers.append(("X-Position", String(position))) }
        return Response(status: status, headers: headers, body: writer.bytes + [0x0A])
    }

    static func text(_ status: Int = 200, type: String = "text/plain; charset=utf-8", _ text: String) -> Response {
        Response(status: status, headers: [("Content-Type", type)], body: Array(text.utf8))
    }
}
