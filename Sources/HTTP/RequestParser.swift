/// Requests out of bytes, however the network cut them: a state machine without I/O or clock.
///
/// ```
///          next                     expectBody / skipBody             next
///  head ----------> awaitingPolicy ----------------------> body ----------------> head
///    \------------------------- failed <--------------------/
/// ```
/// 1. Bytes that `next` did not consume are given again, with more behind them: the parser keeps body bytes, not heads.
/// 2. The answer to "how much body?" comes from the caller, between `.head` and the next call of `next`.
/// 3. The first error is the last thing it says.
public struct RequestParser: Sendable {
    /// How much of everything one request may bring. Bodies have their limit from the caller.
    public struct Limits: Sendable {
        /// Bytes of the request line; RFC 9112 section 3 asks for 8,000 at least.
        public var requestLineBytesMax = 8192
        /// Bytes of all headers together, and of all trailers.
        public var headerBytesMax = 16384
        public var headersCountMax = 100
        /// Bytes of chunk extensions in one body.
        public var chunkExtensionBytesMax = 256

        public init() {}

        /// Bytes a head can have, line ends included: what a buffer must hold.
        public var headBytesMax: Int { requestLineBytesMax + headerBytesMax + 6 }
    }

    public enum Step: Sendable {
        /// All bytes are looked at; more are needed.
        case more
        /// A head is complete; `expectBody` or `skipBody` comes next.
        case head(RequestHead)
        /// The request is complete; the next bytes are the next request's.
        case request(Request)
        case failed(FramingError)
    }

    private enum State: Sendable {
        case head(HeadScan)
        case awaitingPolicy(RequestHead)
        case length(RequestHead, remaining: Int)
        case chunked(RequestHead, ChunkDecoder, bytesMax: Int)
        case failed(FramingError)
    }

    /// How far the search for the end of the head has come, relative to its first byte.
    private struct HeadScan: Sendable {
        var scanned = 0
        var lineStart = 0
        var lines = 0
        var requestLineEnd = 0

        /// How far the line being read may go, its LF included; the headers end with an empty line.
        func bound(_ limits: Limits) -> Int {
            lines == 0 ? limits.requestLineBytesMax + 2 : requestLineEnd + limits.headerBytesMax + 2
        }
    }

    private let limits: Limits
    private var state = State.head(HeadScan())
    private var body: [UInt8] = []
    /// Bytes of the body that were taken away by `takeBody`.
    private var bodyTaken = 0

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Bytes of body held for the request that is being read.
    public var bodyBytesHeld: Int { body.count }
    /// Bytes of body that have come for it.
    public var bodyBytesReceived: Int { bodyTaken + body.count }

    /// Takes what has come of the body of the request that is being read, for a reader that does not wait for the
    /// whole. What follows comes the same way or, at the end, as the body of `.request`.
    public mutating func takeBody() -> [UInt8] {
        bodyTaken += body.count
        defer { body = [] }
        return body
    }

    /// Goes on with `input` from `consumed`, which it moves over what it needs no more.
    public mutating func next(_ input: Span<UInt8>, consumed: inout Int) -> Step {
        do throws(FramingError) {
            switch state {
            case .head(var scan):
                if let head = try self.head(input, &consumed, &scan) {
                    state = .awaitingPolicy(head)
                    return .head(head)
                }
                state = .head(scan)
                return .more
            case .awaitingPolicy(let head):
                preconditionFailure("next before the body policy of \(head.target)")
            case .length(let head, let remaining):
                let count = min(remaining, input.count - consumed)
                body.append(input, consumed..<consumed + count)
                consumed += count
                if remaining == count { return complete(head) }
                state = .length(head, remaining: remaining - count)
                return .more
            case .chunked(let head, var decoder, let bytesMax):
                let isDone = try decoder.decode(
                    input, consumed: &consumed, body: &body, bodyBytesMax: bytesMax, limits: limits)
                if isDone { return complete(head) }
                state = .chunked(head, decoder, bytesMax: bytesMax)
                return .more
            case .failed(let error):
                throw error
            }
        } catch {
            state = .failed(error)
            body = []
            return .failed(error)
        }
    }

    /// After `.head`: a body of at most `bytesMax` may follow. Gives the error when the head says it is longer.
    public mutating func expectBody(bytesMax: Int) -> FramingError? {
        guard case .awaitingPolicy(let head) = state else { preconditionFailure("no head awaits a body policy") }
        switch head.framing {
        case .none:
            state = .length(head, remaining: 0)
        case .length(let length):
            guard length <= bytesMax else {
                state = .failed(.bodyTooLarge)
                return .bodyTooLarge
            }
            // A stated length is a claim: room for a big body grows with what really comes.
            body.reserveCapacity(min(length, 65536))
            state = .length(head, remaining: length)
        case .chunked:
            state = .chunked(head, ChunkDecoder(), bytesMax: bytesMax)
        }
        return nil
    }

    /// After `.head` of a request without a body that was answered at once.
    public mutating func skipBody() {
        guard case .awaitingPolicy(let head) = state else { preconditionFailure("no head awaits a body policy") }
        precondition(!head.hasBody, "the body of \(head.target) cannot be skipped")
        state = .head(HeadScan())
    }

    private mutating func complete(_ head: RequestHead) -> Step {
        var whole: [UInt8] = []
        swap(&whole, &body)
        bodyTaken = 0
        state = .head(HeadScan())
        return .request(Request(head: head, body: whole))
    }

    /// Looks for the empty line. Limits are checked before the head is complete, so that no client makes us keep more.
    private func head(
        _ input: Span<UInt8>, _ consumed: inout Int, _ scan: inout HeadScan
    ) throws(FramingError) -> RequestHead? {
        // RFC 9112 section 2.2: one empty line before the request line is skipped.
        if scan.scanned == 0, consumed < input.count, input[consumed] == Octet.carriageReturn {
            guard consumed + 1 < input.count else { return nil }
            guard input[consumed + 1] == Octet.lineFeed else { throw .lineEndingInvalid }
            guard consumed + 2 < input.count else { return nil }
            consumed += 2
            guard Octet.isToken(input[consumed]) else { throw .malformedRequestLine }
        }
        let start = consumed
        let count = input.count - start
        // Whoever speaks TLS to this port is told at once.
        if count > 0, scan.scanned == 0, !Octet.isToken(input[start]) { throw .malformedRequestLine }
        while scan.scanned < count {
            let bound = scan.bound(limits)
            let end = min(count, bound)
            let lineFeed = input.firstIndex(of: Octet.lineFeed, in: start + scan.scanned..<start + end)
            scan.scanned = lineFeed.map { $0 - start + 1 } ?? end
            if scan.lines == 0 { try checkMethod(input, start, scan) }
            guard lineFeed != nil else {
                if end == bound { throw scan.lines == 0 ? .requestLineTooLong : .headersTooLarge }
                return nil
            }
            let lineBytes = scan.scanned - 1 - scan.lineStart
            guard lineBytes > 0, input[start + scan.scanned - 2] == Octet.carriageReturn else {
                throw .lineEndingInvalid
            }
            if scan.lines == 0 { scan.requestLineEnd = scan.scanned }
            scan.lines += 1
            scan.lineStart = scan.scanned
            if lineBytes == 1, scan.lines > 1 {
                consumed += scan.scanned
                let bytes = input.extracting(start..<consumed).withUnsafeBufferPointer { Array($0) }
                return try HeadParser.parse(bytes, limits: limits)
            }
            if scan.lines > limits.headersCountMax + 1 { throw .headersTooMany }
        }
        return nil
    }

    /// RFC 9112 section 3: a method longer than any that is known is 501, not a long request line.
    private func checkMethod(_ input: Span<UInt8>, _ start: Int, _ scan: HeadScan) throws(FramingError) {
        guard scan.scanned > HeadParser.methodBytesMax else { return }
        let range = start..<start + HeadParser.methodBytesMax + 1
        if input.firstIndex(of: Octet.space, in: range) == nil { throw .methodUnsupported }
    }
}
