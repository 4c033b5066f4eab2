/// Why bytes on a connection are not a request of our strict profile. Answered once; then the connection closes, since
/// nobody can tell where the next request would begin.
public enum FramingError: Error, Hashable, Sendable, CaseIterable {
    case malformedRequestLine, requestLineTooLong, versionUnsupported, methodUnsupported, targetInvalid
    case lineEndingInvalid
    case headerMalformed, headerFolded, headerValueInvalid, headerRepeated, headersTooLarge, headersTooMany
    case hostMissing, hostRepeated, hostInvalid
    case transferEncodingWithLength, transferEncodingInOldVersion, transferEncodingRepeated, transferEncodingUnsupported
    case contentLengthInvalid, contentLengthRepeated
    case expectationUnsupported
    case chunkSizeInvalid, chunkExtensionsTooLarge, chunkUnterminated
    case trailerMalformed, trailersTooLarge, trailersTooMany
    case bodyTooLarge

    /// The status of the answer.
    public var status: Int {
        switch self {
        case .requestLineTooLong: 414
        case .versionUnsupported: 505
        case .methodUnsupported, .transferEncodingUnsupported: 501
        case .headersTooLarge, .headersTooMany, .trailersTooLarge, .trailersTooMany: 431
        case .expectationUnsupported: 417
        case .bodyTooLarge: 413
        default: 400
        }
    }

    /// A stable word for programs, the `code` of the problem document.
    public var code: String {
        switch self {
        case .requestLineTooLong: "request_line_too_long"
        case .versionUnsupported: "version_unsupported"
        case .methodUnsupported: "method_unsupported"
        case .transferEncodingUnsupported: "transfer_encoding_unsupported"
        case .headersTooLarge, .headersTooMany, .trailersTooLarge, .trailersTooMany: "headers_too_large"
        case .expectationUnsupported: "expectation_unsupported"
        case .bodyTooLarge: "body_too_large"
        default: "malformed_request"
        }
    }

    /// A sentence for people, with the rule it rests on.
    public var detail: String {
        switch self {
        case .malformedRequestLine:
            "The request line is not METHOD SP TARGET SP HTTP/1.1 (RFC 9112 section 3)."
        case .requestLineTooLong: "The request line is longer than this server takes."
        case .versionUnsupported: "Only HTTP/1.1 and HTTP/1.0 are spoken here."
        case .methodUnsupported: "This server has no CONNECT, no TRACE and no method with a name this long."
        case .targetInvalid:
            "The request target is not a path without . and .. or an http URI, or does not decode to UTF-8 without NUL "
                + "(RFC 9112 section 3.2)."
        case .lineEndingInvalid: "A line does not end in CR LF (RFC 9112 section 2.2)."
        case .headerMalformed: "A header line is not NAME: VALUE without space before the colon (RFC 9112 section 5.1)."
        case .headerFolded: "A header is continued on a second line (RFC 9112 section 5.2)."
        case .headerValueInvalid: "A header value holds a control character (RFC 9110 section 5.5)."
        case .headerRepeated: "Authorization and Content-Type come once at most (RFC 9110 section 5.3)."
        case .headersTooLarge: "The headers are longer than this server takes."
        case .headersTooMany: "There are more headers than this server takes."
        case .hostMissing: "HTTP/1.1 needs a Host header (RFC 9112 section 3.2)."
        case .hostRepeated: "There is more than one Host header (RFC 9112 section 3.2)."
        case .hostInvalid: "The Host header is not a host and port (RFC 9112 section 3.2)."
        case .transferEncodingWithLength:
            "Transfer-Encoding and Content-Length exclude each other (RFC 9112 section 6.1)."
        case .transferEncodingInOldVersion: "HTTP/1.0 has no Transfer-Encoding (RFC 9112 section 6.1)."
        case .transferEncodingRepeated: "There is more than one Transfer-Encoding (RFC 9112 section 6.1)."
        case .transferEncodingUnsupported: "The only Transfer-Encoding understood is chunked (RFC 9112 section 6.1)."
        case .contentLengthInvalid: "Content-Length is not a number of bytes in digits (RFC 9110 section 8.6)."
        case .contentLengthRepeated: "There is more than one Content-Length (RFC 9110 section 8.6)."
        case .expectationUnsupported: "The only expectation met is 100-continue (RFC 9110 section 10.1.1)."
        case .chunkSizeInvalid: "A chunk size is not 1 to 16 hexadecimal digits (RFC 9112 section 7.1)."
        case .chunkExtensionsTooLarge:
            "The chunk extensions are longer than this server takes (RFC 9112 section 7.1.1)."
        case .chunkUnterminated: "A chunk does not end in CR LF where its size says (RFC 9112 section 7.1)."
        case .trailerMalformed: "A trailer line is malformed (RFC 9112 section 7.1.2)."
        case .trailersTooLarge: "The trailers are longer than this server takes."
        case .trailersTooMany: "There are more trailers than this server takes."
        case .bodyTooLarge: "The body is longer than this resource takes."
        }
    }

    /// The answer, an RFC 9457 problem document.
    public var response: Response {
        .problem(status: status, code: code, detail: detail)
    }
}
