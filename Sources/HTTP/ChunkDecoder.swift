/// Takes the chunked transfer coding off a body (RFC 9112 section 7.1), byte by byte, data in bulk.
struct ChunkDecoder: Sendable {
    private enum State: Sendable {
        case size, extensions, sizeLineFeed
        case data, dataReturn, dataLineFeed
        case trailerStart, trailerName, trailerValue, trailerLineFeed
        case lastLineFeed, done
    }

    private var state = State.size
    private var digits = 0
    private var size = 0
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailers = 0
    /// Bytes of data that the chunks so far have announced.
    private var announced = 0

    var isDone: Bool { state == .done }

    /// Reads from `consumed` on, appends data to `body`, and moves `consumed`; true at the end of the body.
    mutating func decode(
        _ input: Span<UInt8>, consumed: inout Int, body: inout [UInt8], bodyBytesMax: Int, limits: RequestParser.Limits
    ) throws(FramingError) -> Bool {
        while consumed < input.count {
            if state == .data {
                let count = min(size, input.count - consumed)
                body.append(input, consumed..<consumed + count)
                consumed += count
                size -= count
                if size == 0 { state = .dataReturn }
                continue
            }
            let byte = input[consumed]
            consumed += 1
            try step(byte, bodyBytesMax: bodyBytesMax, limits: limits)
            if state == .done { return true }
        }
        return false
    }

    private mutating func step(
        _ byte: UInt8, bodyBytesMax: Int, limits: RequestParser.Limits
    ) throws(FramingError) {
        switch state {
        case .size:
            try sizeByte(byte)
        case .extensions:
            if byte == Octet.carriageReturn {
                state = .sizeLineFeed
            } else {
                guard Octet.isFieldValue(byte) else { throw .chunkSizeInvalid }
                extensionBytes += 1
                if extensionBytes > limits.chunkExtensionBytesMax { throw .chunkExtensionsTooLarge }
            }
        case .sizeLineFeed:
            guard byte == Octet.lineFeed else { throw .lineEndingInvalid }
            if size == 0 {
                state = .trailerStart
            } else {
                if size > bodyBytesMax - announced { throw .bodyTooLarge }
                announced += size
                state = .data
            }
        case .dataReturn:
            guard byte == Octet.carriageReturn else { throw .chunkUnterminated }
            state = .dataLineFeed
        case .dataLineFeed:
            guard byte == Octet.lineFeed else { throw .chunkUnterminated }
            state = .size
            digits = 0
            size = 0
        case .trailerStart, .trailerName, .trailerValue, .trailerLineFeed:
            trailerBytes += 1
            if trailerBytes > limits.headerBytesMax { throw .trailersTooLarge }
            try trailerByte(byte)
            if trailers > limits.headersCountMax { throw .trailersTooMany }
        case .lastLineFeed:
            guard byte == Octet.lineFeed else { throw .lineEndingInvalid }
            state = .done
        case .data, .done:
            preconditionFailure("a byte of data went to the framing")
        }
    }

    private mutating func sizeByte(_ byte: UInt8) throws(FramingError) {
        if let value = Octet.hexValue(byte) {
            digits += 1
            // 16 digits could still overflow a signed 64-bit integer.
            guard digits <= 16, size <= Int.max >> 4 else { throw .chunkSizeInvalid }
            size = size << 4 | Int(value)
            return
        }
        guard digits > 0 else { throw .chunkSizeInvalid }
        switch byte {
        case Octet.carriageReturn: state = .sizeLineFeed
        case UInt8(ascii: ";"): state = .extensions
        default: throw .chunkSizeInvalid
        }
    }

    /// Trailers are checked as headers are, and dropped.
    private mutating func trailerByte(_ byte: UInt8) throws(FramingError) {
        switch state {
        case .trailerStart:
            if byte == Octet.carriageReturn {
                state = .lastLineFeed
            } else {
                guard Octet.isToken(byte) else { throw .trailerMalformed }
                trailers += 1
                state = .trailerName
            }
        case .trailerName:
            if byte == UInt8(ascii: ":") {
                state = .trailerValue
            } else {
                guard Octet.isToken(byte) else { throw .trailerMalformed }
            }
        case .trailerValue:
            if byte == Octet.carriageReturn {
                state = .trailerLineFeed
            } else {
                guard Octet.isFieldValue(byte) else { throw .trailerMalformed }
            }
        default:
            guard byte == Octet.lineFeed else { throw .lineEndingInvalid }
            state = .trailerStart
        }
    }
}

extension [UInt8] {
    /// Appends a range of a span in one copy.
    mutating func append(_ span: Span<UInt8>, _ range: Range<Int>) {
        span.extracting(range).withUnsafeBufferPointer { append(contentsOf: $0) }
    }
}
