import HTTP

/// What a parser made of some bytes: requests in short, then the error if there was one.
struct Reading: Equatable, CustomStringConvertible {
    /// "POST /v1/events [key=1&x=y] {abc}", one a request.
    var requests: [String] = []
    var error: FramingError?
    /// Bytes left that are not a whole request.
    var left = 0

    var description: String { "\(requests) \(error.map { "\($0)" } ?? "-") left \(left)" }
}

/// Feeds bytes in pieces, as a connection does: what was not consumed comes again with more behind it.
func read(_ pieces: [[UInt8]], bodyBytesMax: Int = 1000, limits: RequestParser.Limits = .init()) -> Reading {
    var parser = RequestParser(limits: limits)
    var reading = Reading()
    var pending: [UInt8] = []
    for piece in pieces {
        pending += piece
        var consumed = 0
        parsing: while true {
            switch parser.next(pending.span, consumed: &consumed) {
            case .more:
                break parsing
            case .head:
                if let error = parser.expectBody(bytesMax: bodyBytesMax) {
                    reading.error = error
                    return reading
                }
            case .request(let request):
                reading.requests.append(short(request))
            case .failed(let error):
                reading.error = error
                return reading
            }
        }
        pending.removeFirst(consumed)
    }
    reading.left = pending.count
    return reading
}

func short(_ request: Request) -> String {
    let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
    let body = request.body.isEmpty ? "" : " {\(String(decoding: request.body, as: UTF8.self))}"
    return "\(request.head.methodName) /\(request.pathSegments.joined(separator: "|"))"
        + (query.isEmpty ? "" : " [\(query)]") + body
        + (request.head.keepAlive ? "" : " close")
}

/// Every way to feed bytes that the tests try: whole, byte by byte, and cut in two at every place (for long ones, at
/// some).
func feedings(_ bytes: [UInt8]) -> [[[UInt8]]] {
    let step = max(1, bytes.count / 400)
    return [[bytes], bytes.map { [$0] }]
        + stride(from: 1, to: bytes.count, by: step).map { [Array(bytes[..<$0]), Array(bytes[$0...])] }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
