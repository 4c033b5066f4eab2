internal import HTTP

/// What may come in and what is wanted back: judged by the head, before anything is read or stored.
///
/// The compatible doors are lenient, since their senders drop what is refused: of them only codings are looked at,
/// without which the bytes cannot be read.
enum Negotiation {
    /// The answer to a request that cannot be served in the form it asks for.
    static func refusal(_ head: RequestHead, _ route: Route) -> Problem? {
        if head.hasBody, let problem = codingRefusal(head) ?? typeRefusal(head, route) { return problem }
        guard head.headerBytes("Accept") != nil, !route.isCompatibleDoor,
            !MediaType.isAccepted(anyOf: route.offered, by: head.headerValues("Accept"))
        else { return nil }
        return Problem(
            406, "not_acceptable",
            "this path answers in \(route.offered.joined(separator: ", ")), which Accept excludes")
    }

    /// RFC 9110 section 15.5.16 and 12.5.3: the answer says which codings would do.
    private static func codingRefusal(_ head: RequestHead) -> Problem? {
        if head.headerBytes("Content-Encoding") == nil { return nil }
        let codings = head.headerValues("Content-Encoding").joined(separator: ",")
        let isPlain = codings.split(separator: ",").allSatisfy { part in
            let name = part.filter { $0 != " " && $0 != "\t" }.lowercased()
            return name.isEmpty || name == "identity"
        }
        guard !isPlain else { return nil }
        return Problem(
            415, "unsupported_coding", "bodies are taken without Content-Encoding, not with \(codings.prefix(100))",
            headers: [("Accept-Encoding", "identity")])
    }

    /// JSON under any of its names, or under none: also under those that `curl -d` and `fetch` put on a text by
    /// themselves. Anything else is a body that was meant for somebody else.
    private static func typeRefusal(_ head: RequestHead, _ route: Route) -> Problem? {
        guard !route.isCompatibleDoor, let bytes = head.headerBytes("Content-Type"), !bytes.isEmpty,
            !bytes.elementsEqual("application/json".utf8)
        else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        if let type = MediaType(text), isJSON(type), ["utf-8", "utf8", nil].contains(type["charset"]) { return nil }
        return Problem(
            415, "unsupported_media_type",
            "the body must be application/json (or application/x-ndjson for events) in UTF-8, not \(text.prefix(100))",
            headers: [("Accept", "application/json, application/x-ndjson")])
    }

    private static func isJSON(_ type: MediaType) -> Bool {
        switch (type.type, type.subtype) {
        case ("application", let name):
            ["json", "x-ndjson", "ndjson", "jsonl", "x-jsonl", "x-json", "json-lines", "x-www-form-urlencoded"]
                .contains(name) || name.hasSuffix("+json")
        case ("text", let name): ["json", "plain", "x-json"].contains(name)
        default: false
        }
    }
}

extension Route {
    /// The media types of its good answers. A list of lines is JSON to whoever asks for JSON.
    fileprivate var offered: [String] {
        switch name {
        case .listEvents, .listDenials:
            ["application/x-ndjson", "application/json", "application/ndjson", "application/jsonl"]
        case .getStatement: ["application/json", "text/csv"]
        case .metrics, .getCheckpoint: ["text/plain"]
        case .dashboard: ["text/html"]
        default: ["application/json", "application/problem+json"]
        }
    }

    /// Speaks a format that is not ours to be strict about.
    var isCompatibleDoor: Bool { isLagoDialect || name == .postLiteLLM }
}
