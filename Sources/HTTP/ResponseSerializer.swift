/// Responses to bytes.
public enum ResponseSerializer {
    /// What the request and the connection ask of the answer.
    public struct Context: Sendable {
        /// HEAD: the headers of GET without its body (RFC 9110 section 9.3.2).
        public var isHead: Bool
        /// The client's HTTP/1 minor version.
        public var versionMinor: Int
        public var keepAlive: Bool

        public init(isHead: Bool = false, versionMinor: Int = 1, keepAlive: Bool = true) {
            self.isHead = isHead
            self.versionMinor = versionMinor
            self.keepAlive = keepAlive
        }
    }

    /// What follows the bytes appended for a response.
    public enum Rest: Sendable {
        case nothing
        /// The pieces of `.chunks`, in chunked coding or, for HTTP/1.0, as they are until the connection closes.
        case pieces(@Sendable (ChunkSink) -> Void, chunked: Bool)
    }

    /// Interim answer to `Expect: 100-continue` (RFC 9110 section 15.2.1).
    public static func appendContinue(to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "HTTP/1.1 100 Continue\r\n\r\n".utf8)
    }

    /// Appends status line, headers and, when it is whole, the body. `date`: the bytes of an IMF-fixdate.
    public static func append(
        _ response: Response, context: Context, date: [UInt8], to bytes: inout [UInt8]
    ) -> Rest {
        bytes.append(contentsOf: "HTTP/1.1 ".utf8)
        appendDecimal(response.status, to: &bytes)
        bytes.append(Octet.space)
        bytes.append(contentsOf: Status.reason(response.status).utf8)
        bytes.append(contentsOf: "\r\nDate: ".utf8)
        bytes.append(contentsOf: date)
        for header in response.headers { appendHeader(header.name, header.value, to: &bytes) }

        // RFC 9110 section 8.6 and 6.4.1: 204 has neither body nor length, 304 no body.
        let isBodiless = response.status == 204 || response.status == 304
        var rest = Rest.nothing
        var keepAlive = context.keepAlive
        switch response.body {
        case .bytes(let body):
            if !isBodiless {
                bytes.append(contentsOf: "\r\nContent-Length: ".utf8)
                appendDecimal(body.count, to: &bytes)
            }
        case .chunks(let producer):
            if isBodiless { break }
            let chunked = context.versionMinor > 0
            if chunked {
                bytes.append(contentsOf: "\r\nTransfer-Encoding: chunked".utf8)
            } else if !context.isHead {
                keepAlive = false
            }
            if !context.isHead { rest = .pieces(producer, chunked: chunked) }
        }
        if !keepAlive {
            bytes.append(contentsOf: "\r\nConnection: close".utf8)
        } else if context.versionMinor == 0 {
            bytes.append(contentsOf: "\r\nConnection: keep-alive".utf8)
        }
        bytes.append(contentsOf: "\r\n\r\n".utf8)
        if case .bytes(let body) = response.body, !isBodiless, !context.isHead {
            bytes.append(contentsOf: body)
        }
        return rest
    }

    /// Appends one piece of a streamed body. An empty piece has no bytes in chunked coding: a chunk of size 0 would
    /// end it.
    public static func appendPiece(_ piece: [UInt8], isLast: Bool, chunked: Bool, to bytes: inout [UInt8]) {
        guard chunked else {
            bytes.append(contentsOf: piece)
            return
        }
        if !piece.isEmpty {
            bytes.append(contentsOf: String(piece.count, radix: 16).utf8)
            bytes.append(contentsOf: "\r\n".utf8)
            bytes.append(contentsOf: piece)
            bytes.append(contentsOf: "\r\n".utf8)
        }
        if isLast { bytes.append(contentsOf: "0\r\n\r\n".utf8) }
    }

    /// A value may carry something a client said: a line break in it becomes a space and cannot begin a header or a
    /// second response.
    private static func appendHeader(_ name: String, _ value: String, to bytes: inout [UInt8]) {
        precondition(!name.isEmpty && name.utf8.allSatisfy(Octet.isToken), "header name \(name)")
        bytes.append(contentsOf: "\r\n".utf8)
        bytes.append(contentsOf: name.utf8)
        bytes.append(contentsOf: ": ".utf8)
        let start = bytes.count
        bytes.append(contentsOf: value.utf8)
        for index in start..<bytes.count where !Octet.isFieldValue(bytes[index]) { bytes[index] = Octet.space }
    }

    private static func appendDecimal(_ number: Int, to bytes: inout [UInt8]) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }
}
