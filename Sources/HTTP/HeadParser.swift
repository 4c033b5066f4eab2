/// Reads the bytes of a whole head, from the method to the empty line, each line already known to end in LF.
///
/// The rules are the strict side of what RFC 9112 leaves open: whatever two parsers could read differently is
/// refused, since that difference is what request smuggling lives from.
enum HeadParser {
    /// Names of methods longer than this are not looked at.
    static let methodBytesMax = 32

    static func parse(_ bytes: [UInt8], limits: RequestParser.Limits) throws(FramingError) -> RequestHead {
        let span = bytes.span
        let lineEnd = try endOfLine(span, from: 0)
        let line = try requestLine(span, end: lineEnd)

        var fields: [RequestHead.Field] = []
        fields.reserveCapacity(16)
        var facts = Facts()
        var start = lineEnd + 2
        while true {
            let end = try endOfLine(span, from: start)
            if end == start { break }
            let field = try headerField(span, start: start, end: end)
            try facts.note(field, in: span)
            fields.append(field)
            start = end + 2
        }
        if fields.count > limits.headersCountMax { throw .headersTooMany }
        let framing = try facts.framing(versionMinor: line.versionMinor)
        return RequestHead(
            bytes: bytes, fields: fields, methodRange: line.method, targetRange: line.target, pathRange: line.path,
            queryRange: line.query, method: Method(span.extracting(line.method)), versionMinor: line.versionMinor,
            framing: framing, keepAlive: facts.close ? false : (line.versionMinor == 1 || facts.keepAlive),
            // RFC 9110 section 10.1.1: an expectation in an HTTP/1.0 request is ignored.
            expectsContinue: facts.expectsContinue && line.versionMinor == 1)
    }

    /// The index of the CR that ends the line. A CR elsewhere, or an LF without one, is refused (RFC 9112 section 2.2).
    private static func endOfLine(_ span: Span<UInt8>, from start: Int) throws(FramingError) -> Int {
        var index = start
        while index < span.count {
            if span[index] == Octet.carriageReturn {
                guard index + 1 < span.count, span[index + 1] == Octet.lineFeed else { throw .lineEndingInvalid }
                return index
            }
            if span[index] == Octet.lineFeed { throw .lineEndingInvalid }
            index += 1
        }
        throw .lineEndingInvalid
    }

    private struct Line {
        var method: Range<Int>
        var target: Range<Int>
        var path: Range<Int>
        var query: Range<Int>
        var versionMinor: Int
    }

    /// RFC 9112 section 3: exactly one space between the parts.
    private static func requestLine(_ span: Span<UInt8>, end: Int) throws(FramingError) -> Line {
        guard let methodEnd = span.firstIndex(of: Octet.space, in: 0..<end), methodEnd > 0 else {
            throw .malformedRequestLine
        }
        for index in 0..<methodEnd where !Octet.isToken(span[index]) { throw .malformedRequestLine }
        let targetStart = methodEnd + 1
        guard let targetEnd = span.firstIndex(of: Octet.space, in: targetStart..<end), targetEnd > targetStart else {
            throw .malformedRequestLine
        }
        let versionMinor = try version(span, range: targetEnd + 1..<end)
        let method = 0..<methodEnd
        if method.count > methodBytesMax || span.matches("CONNECT", in: method) || span.matches("TRACE", in: method) {
            throw .methodUnsupported
        }
        // Visible ASCII only; a fragment never travels (RFC 3986 section 3.5).
        for index in targetStart..<targetEnd {
            let byte = span[index]
            if byte <= Octet.space || byte >= 0x7F || byte == UInt8(ascii: "#") { throw .targetInvalid }
        }
        let parts = try target(span, range: targetStart..<targetEnd, isOptions: span.matches("OPTIONS", in: method))
        return Line(
            method: method, target: targetStart..<targetEnd, path: parts.path, query: parts.query,
            versionMinor: versionMinor)
    }

    private static func version(_ span: Span<UInt8>, range: Range<Int>) throws(FramingError) -> Int {
        if span.matches("HTTP/1.1", in: range) { return 1 }
        if span.matches("HTTP/1.0", in: range) { return 0 }
        let start = range.lowerBound
        guard range.count == 8, span.matches("HTTP/", in: start..<start + 5), span[start + 6] == UInt8(ascii: "."),
            Octet.isDigit(span[start + 5]), Octet.isDigit(span[start + 7])
        else { throw .malformedRequestLine }
        throw .versionUnsupported
    }

    /// RFC 9112 section 3.2: origin-form, absolute-form, and asterisk-form for OPTIONS.
    private static func target(
        _ span: Span<UInt8>, range: Range<Int>, isOptions: Bool
    ) throws(FramingError) -> (path: Range<Int>, query: Range<Int>) {
        if isOptions, span.matches("*", in: range) { return (range, range.upperBound..<range.upperBound) }
        var start = range.lowerBound
        if span[start] != UInt8(ascii: "/") {
            var scheme = 0
            if range.count >= 7, span.matchesIgnoringCase("http://", in: start..<start + 7) { scheme = 7 }
            if range.count >= 8, span.matchesIgnoringCase("https://", in: start..<start + 8) { scheme = 8 }
            guard scheme > 0 else { throw .targetInvalid }
            start += scheme
            let authority = start
            while start < range.upperBound, span[start] != UInt8(ascii: "/"), span[start] != UInt8(ascii: "?") {
                start += 1
            }
            guard Authority.isValid(span, in: authority..<start) else { throw .targetInvalid }
        }
        let question = span.firstIndex(of: UInt8(ascii: "?"), in: start..<range.upperBound)
        let path = start..<(question ?? range.upperBound)
        let query = (question.map { $0 + 1 } ?? range.upperBound)..<range.upperBound
        guard isDecodable(span, path, UInt8(ascii: "/"), UInt8(ascii: "/")),
            isDecodable(span, query, UInt8(ascii: "&"), UInt8(ascii: "="))
        else { throw .targetInvalid }
        if hasDotSegment(span, path) { throw .targetInvalid }
        return (path, query)
    }

    /// "." and ".." between slashes mean another path to whoever resolves them (RFC 3986 section 5.2.4): a proxy that
    /// does and a server that does not would judge different paths, so they are refused. Encoded they are data, and
    /// stay in their segment.
    private static func hasDotSegment(_ span: Span<UInt8>, _ path: Range<Int>) -> Bool {
        let dot = UInt8(ascii: ".")
        var start = path.lowerBound
        while start < path.upperBound {
            let end = span.firstIndex(of: UInt8(ascii: "/"), in: start..<path.upperBound) ?? path.upperBound
            if end - start == 1, span[start] == dot { return true }
            if end - start == 2, span[start] == dot, span[start + 1] == dot { return true }
            start = end + 1
        }
        return false
    }

    private static func isDecodable(_ span: Span<UInt8>, _ range: Range<Int>, _ first: UInt8, _ second: UInt8) -> Bool {
        guard span.firstIndex(of: UInt8(ascii: "%"), in: range) != nil else { return true }
        let copy = range.map { span[$0] }
        return PercentEncoding.isValid(copy[...], separators: (first, second))
    }

    private static func headerField(
        _ span: Span<UInt8>, start: Int, end: Int
    ) throws(FramingError) -> RequestHead.Field {
        if span[start] == Octet.space || span[start] == Octet.tab { throw .headerFolded }
        guard let colon = span.firstIndex(of: UInt8(ascii: ":"), in: start..<end), colon > start else {
            throw .headerMalformed
        }
        for index in start..<colon where !Octet.isToken(span[index]) { throw .headerMalformed }
        let value = span.trimmed(colon + 1..<end)
        for index in value where !Octet.isFieldValue(span[index]) { throw .headerValueInvalid }
        return RequestHead.Field(
            nameStart: UInt32(start), nameEnd: UInt32(colon), valueStart: UInt32(value.lowerBound),
            valueEnd: UInt32(value.upperBound))
    }

    /// What the headers say about framing and the connection.
    private struct Facts {
        var hasHost = false
        var hasContentType = false
        var hasAuthorization = false
        var contentLength: Int?
        var hasTransferEncoding = false
        var isChunked = false
        var close = false
        var keepAlive = false
        var expectsContinue = false

        mutating func note(_ field: RequestHead.Field, in span: Span<UInt8>) throws(FramingError) {
            let name = field.name
            let value = field.value
            switch name.count {
            case 4 where span.matchesIgnoringCase("host", in: name):
                if hasHost { throw .hostRepeated }
                hasHost = true
                guard Authority.isValid(span, in: value) else { throw .hostInvalid }
            case 6 where span.matchesIgnoringCase("expect", in: name):
                guard span.matchesIgnoringCase("100-continue", in: value) else { throw .expectationUnsupported }
                expectsContinue = true
            case 12 where span.matchesIgnoringCase("content-type", in: name):
                if hasContentType { throw .headerRepeated }
                hasContentType = true
            case 13 where span.matchesIgnoringCase("authorization", in: name):
                if hasAuthorization { throw .headerRepeated }
                hasAuthorization = true
            case 10 where span.matchesIgnoringCase("connection", in: name):
                noteConnection(value, in: span)
            case 14 where span.matchesIgnoringCase("content-length", in: name):
                if contentLength != nil { throw .contentLengthRepeated }
                contentLength = try length(value, in: span)
            case 17 where span.matchesIgnoringCase("transfer-encoding", in: name):
                if hasTransferEncoding { throw .transferEncodingRepeated }
                hasTransferEncoding = true
                isChunked = span.matchesIgnoringCase("chunked", in: value)
            default:
                break
            }
        }

        /// RFC 9110 section 8.6: 1*DIGIT. No sign, no list, no overflow.
        private func length(_ value: Range<Int>, in span: Span<UInt8>) throws(FramingError) -> Int {
            guard !value.isEmpty else { throw .contentLengthInvalid }
            var length = 0
            for index in value {
                guard Octet.isDigit(span[index]) else { throw .contentLengthInvalid }
                let (tens, over) = length.multipliedReportingOverflow(by: 10)
                let (sum, overAgain) = tens.addingReportingOverflow(Int(span[index] - UInt8(ascii: "0")))
                if over || overAgain { throw .contentLengthInvalid }
                length = sum
            }
            return length
        }

        private mutating func noteConnection(_ value: Range<Int>, in span: Span<UInt8>) {
            var start = value.lowerBound
            while start < value.upperBound {
                let end = span.firstIndex(of: UInt8(ascii: ","), in: start..<value.upperBound) ?? value.upperBound
                let option = span.trimmed(start..<end)
                if span.matchesIgnoringCase("close", in: option) { close = true }
                if span.matchesIgnoringCase("keep-alive", in: option) { keepAlive = true }
                start = end + 1
            }
        }

        /// RFC 9112 section 6.1 to 6.3, refusing what it lets a server refuse.
        func framing(versionMinor: Int) throws(FramingError) -> RequestHead.Framing {
            if versionMinor == 1, !hasHost { throw .hostMissing }
            guard hasTransferEncoding else {
                guard let contentLength else { return .none }
                return .length(contentLength)
            }
            if versionMinor == 0 { throw .transferEncodingInOldVersion }
            if contentLength != nil { throw .transferEncodingWithLength }
            if !isChunked { throw .transferEncodingUnsupported }
            return .chunked
        }
    }
}
