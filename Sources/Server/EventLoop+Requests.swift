internal import CLinux
internal import Glibc
internal import HTTP
internal import Platform

/// From received bytes to the handler, and from answers to the socket.
extension EventLoop {
    // MARK: In

    func receive(_ connection: Connection) {
        let count = recv(connection.id.fd, scratch, EventLoop.receiveBytes, 0)
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { close(connection) }
            return
        }
        if count == 0 {
            connection.isPeerClosed = true
            settle(connection)
            return
        }
        statistics.bytesIn += UInt64(count)
        guard !connection.isShutDown, !connection.closesAfterOutput else {
            // After the last answer, bytes are read so that the close does not reset the connection under the answer
            // (RFC 9112 section 9.6), and thrown away.
            settle(connection)
            return
        }
        let received = UnsafeBufferPointer(start: scratch, count: count)
        guard connection.isReading, connection.pending.isEmpty else {
            connection.pending.append(contentsOf: received)
            pump(connection)
            return
        }
        connection.isPumping = true
        var consumed = 0
        parse(connection, received.span, &consumed)
        connection.isPumping = false
        if consumed < count, !connection.closesAfterOutput {
            connection.pending.append(contentsOf: received[consumed...])
        }
        pump(connection)
    }

    /// Does all that can be done for a connection now: parse what waits, write what is answered.
    func pump(_ connection: Connection) {
        guard connection.isOpen, !connection.isPumping else { return }
        connection.isPumping = true
        let waitsForSocket = goOn(connection)
        connection.isPumping = false
        // It was just given all it takes. Once more, and it may take the rest, and then nothing is left that wakes
        // what waits behind it.
        if !waitsForSocket { flush(connection) }
        settle(connection)
    }

    /// Parses, hands over and pulls until the connection waits for something. True when that is the socket, to take
    /// more of the output: epoll says so.
    private func goOn(_ connection: Connection) -> Bool {
        while connection.isOpen {
            if let stream = connection.stream {
                flush(connection)
                if connection.outputCount > 0 { return true }
                guard connection.isOpen, !stream.isAwaiting else { return false }
                pull(connection, stream)
                continue
            }
            guard connection.isReading, !connection.pending.isEmpty else { return false }
            guard mayTakeRequest(connection) else {
                postpone(connection)
                return false
            }
            if connection.outputCount >= configuration.outputBytesMax {
                flush(connection)
                if connection.outputCount >= configuration.outputBytesMax { return true }
                continue
            }
            if parsePending(connection) { return false }
        }
        return false
    }

    /// True when more bytes are needed.
    private func parsePending(_ connection: Connection) -> Bool {
        var bytes: [UInt8] = []
        swap(&bytes, &connection.pending)
        var consumed = 0
        let needsMore = parse(connection, bytes.span, &consumed)
        if consumed == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 4096)
        } else {
            bytes.removeFirst(consumed)
        }
        swap(&bytes, &connection.pending)
        return needsMore
    }

    /// Whether this turn takes one more request of the connection.
    private func mayTakeRequest(_ connection: Connection) -> Bool {
        if connection.turn != turnNumber {
            connection.turn = turnNumber
            connection.turnRequests = 0
        }
        return connection.turnRequests < configuration.pipelinedRequestsMax
    }

    /// Parses and hands over until the connection waits for something. True when that is more bytes.
    @discardableResult
    private func parse(_ connection: Connection, _ input: Span<UInt8>, _ consumed: inout Int) -> Bool {
        while connection.isReading, connection.outputCount < configuration.outputBytesMax, mayTakeRequest(connection) {
            switch connection.parser.next(input, consumed: &consumed) {
            case .more:
                if consumed < input.count { connection.state.headBegan(now: now) }
                receivedBody(connection)
                return true
            case .head(let head):
                admit(connection, head, hasMore: consumed < input.count)
            case .request(let request):
                finish(connection, request)
            case .failed(let error):
                fail(connection, error)
            }
        }
        return false
    }

    /// More of a body is there, or nothing is.
    private func receivedBody(_ connection: Connection) {
        let received = connection.parser.bodyBytesReceived
        guard received > connection.bodySeen else { return }
        connection.state.bodyReceived(bytes: received - connection.bodySeen, now: now)
        connection.bodySeen = received
        if connection.sink != nil { feed(connection, connection.parser.takeBody()) }
        charge(connection, connection.parser.bodyBytesHeld)
    }

    /// Gives bytes to the sink, which may answer meanwhile and so be gone afterwards.
    private func feed(_ connection: Connection, _ bytes: [UInt8]) {
        guard !bytes.isEmpty, let sink = connection.sink else { return }
        if sink.take(bytes) == .wait, connection.sink === sink {
            connection.isHeld = true
            connection.state.bodyHeld()
        }
    }

    /// The request is complete.
    private func finish(_ connection: Connection, _ request: Request) {
        statistics.requests += 1
        connection.turnRequests += 1
        guard let sink = connection.sink else {
            charge(connection, request.body.count)
            if connection.closesAfterOutput { return }
            connection.state.requestEnded()
            connection.isInFlight = true
            guard let handle = connection.handle else { preconditionFailure("a request that nobody takes") }
            connection.handle = nil
            handle(request, Responder(loop: self, connection: connection.id))
            return
        }
        feed(connection, request.body)
        guard connection.sink === sink else { return }
        connection.isHeld = false
        connection.state.requestEnded()
        connection.isInFlight = true
        charge(connection, 0)
        sink.end()
    }

    /// A sink that held its body back is asked whether it wants more.
    func wake(_ connection: Connection) {
        guard let sink = connection.sink else { return }
        let demand = sink.woken()
        guard connection.sink === sink else { return }
        charge(connection, connection.parser.bodyBytesHeld)
        if demand == .more, connection.isHeld {
            connection.isHeld = false
            connection.state.bodyResumed(now: now)
        }
    }

    /// Asks the handler about a head. What is refused here is refused before its body is read.
    private func admit(_ connection: Connection, _ head: RequestHead, hasMore: Bool) {
        connection.context = ResponseSerializer.Context(
            isHead: head.method == .head, versionMinor: head.versionMinor, keepAlive: head.keepAlive)
        connection.state.headEnded(now: now)
        connection.bodySeen = 0
        switch handler.accept(head: head) {
        case .answer(let response):
            if response.status == 401 { tellRefusal(connection, head) }
            if head.hasBody {
                // Where the next request begins could only be told by reading the body.
                refuse(connection, response)
            } else {
                connection.parser.skipBody()
                connection.isInFlight = true
                respond(connection, response)
            }
        case .body(let bytesMax, let handle):
            if case .length(let length) = head.framing, length <= bytesMax, length > 0,
                length > configuration.bodiesBytesMax - statistics.bodyBytesHeld
            {
                refuseBody(connection)
                return
            }
            connection.handle = handle
            expectBody(connection, head, bytesMax: bytesMax, hasMore: hasMore)
        case .stream(let bytesMax, let makeSink):
            guard expectBody(connection, head, bytesMax: bytesMax, hasMore: hasMore) else { return }
            connection.sink = makeSink(Responder(loop: self, connection: connection.id))
        }
    }

    /// Says in the log who asks without a key that opens: the client, as far as the proxies before it are trusted.
    /// Nothing of the request itself. Not by this thread, which must not wait for whoever reads the log.
    private func tellRefusal(_ connection: Connection, _ head: RequestHead) {
        guard let count = refusals.note(now: now) else { return }
        let client = configuration.trustedProxies.client(
            of: connection.peer, forwardedFor: head.headerByteValues("X-Forwarded-For"))
        Task {
            LogLine.write(
                .warning, "no key, or none that opens",
                ["address": client?.description ?? "unix socket", "requests": String(count)])
        }
    }

    /// False when the body is too long, and refused.
    @discardableResult
    private func expectBody(_ connection: Connection, _ head: RequestHead, bytesMax: Int, hasMore: Bool) -> Bool {
        if let error = connection.parser.expectBody(bytesMax: bytesMax) {
            fail(connection, error)
            return false
        }
        // RFC 9110 section 10.1.1: not when the body is already coming.
        if head.expectsContinue, head.hasBody, !hasMore {
            ResponseSerializer.appendContinue(to: &connection.output)
            flush(connection)
        }
        return connection.isOpen
    }

    /// Counts the bytes held of a body that is being read; over the budget the request is refused.
    private func charge(_ connection: Connection, _ parserBytes: Int) {
        guard connection.isOpen, !connection.closesAfterOutput else { return }
        let bytes = parserBytes + (connection.sink?.bytesHeld ?? 0)
        statistics.bodyBytesHeld += bytes - connection.bodyCharged
        connection.bodyCharged = bytes
        if statistics.bodyBytesHeld > configuration.bodiesBytesMax, !connection.isInFlight { refuseBody(connection) }
    }

    private func refuseBody(_ connection: Connection) {
        statistics.bodiesRefused += 1
        statistics.limitHits[.bodiesBytes] += 1
        refuse(
            connection,
            .problem(
                status: 503, code: "overloaded", detail: "Too many bytes of request bodies are being worked on.",
                headers: [("Retry-After", "\(configuration.retryAfterSeconds)")]))
    }

    private func fail(_ connection: Connection, _ error: FramingError) {
        statistics.framingErrors += 1
        switch error {
        case .requestLineTooLong: statistics.limitHits[.requestLine] += 1
        case .headersTooLarge, .trailersTooLarge: statistics.limitHits[.headerBytes] += 1
        case .headersTooMany, .trailersTooMany: statistics.limitHits[.headerCount] += 1
        case .bodyTooLarge: statistics.limitHits[.bodyBytes] += 1
        default: break
        }
        refuse(connection, error.response)
    }

    /// The last answer of a connection whose bytes have no meaning from here on.
    func refuse(_ connection: Connection, _ response: Response) {
        connection.context.keepAlive = false
        connection.isInFlight = true
        connection.isHeld = false
        respond(connection, response)
        connection.pending = []
        // Its body goes with it, not when the client closes.
        connection.parser = RequestParser(limits: configuration.request)
    }

    // MARK: Out

    /// Writes the answer of the request in flight into the output.
    func respond(_ connection: Connection, _ response: Response) {
        switch response.status {
        case ..<300: statistics.responses2xx += 1
        case ..<400: statistics.responses3xx += 1
        case ..<500: statistics.responses4xx += 1
        default: statistics.responses5xx += 1
        }
        if isDraining { connection.context.keepAlive = false }
        let rest = ResponseSerializer.append(
            response, context: connection.context, date: date, to: &connection.output)
        switch rest {
        case .nothing:
            complete(connection)
        case .pieces(let producer, let chunked):
            if !chunked { connection.context.keepAlive = false }
            connection.stream = Connection.Stream(producer: producer, chunked: chunked)
        }
    }

    private func complete(_ connection: Connection) {
        connection.isInFlight = false
        // Let go at the end: unanswered, it would answer a connection that is half way to its next state.
        let sink = connection.sink
        connection.sink = nil
        defer { withExtendedLifetime(sink) {} }
        release(connection)
        if !connection.state.answered(keepAlive: connection.context.keepAlive, now: now) {
            connection.closesAfterOutput = true
            connection.pending = []
        }
        // What fails before the next head is known must not be answered as the last head asked.
        connection.context = ResponseSerializer.Context()
    }

    private func pull(_ connection: Connection, _ stream: Connection.Stream) {
        connection.stream?.isAwaiting = true
        let id = connection.id
        stream.producer(ChunkSink { [self] piece in submit(.piece(id, piece)) })
    }

    /// A piece of the answer that is being streamed.
    func take(_ connection: Connection, _ piece: ChunkSink.Piece) {
        guard let stream = connection.stream else { preconditionFailure("a piece without a stream") }
        connection.stream?.isAwaiting = false
        switch piece {
        case .more(let bytes):
            ResponseSerializer.appendPiece(bytes, isLast: false, chunked: stream.chunked, to: &connection.output)
        case .last(let bytes):
            ResponseSerializer.appendPiece(bytes, isLast: true, chunked: stream.chunked, to: &connection.output)
            connection.stream = nil
            complete(connection)
        case .broken:
            close(connection)
        }
    }

    /// Writes as much of the output as the socket takes.
    private func flush(_ connection: Connection) {
        guard connection.isOpen, connection.outputCount > 0 else { return }
        let start = connection.outputStart
        let sent = connection.output.withUnsafeBytes { bytes -> Int in
            guard let base = bytes.baseAddress else { return 0 }
            return send(connection.id.fd, base + start, bytes.count - start, Int32(MSG_NOSIGNAL))
        }
        if sent < 0 {
            // Whether the client takes nothing for too long is looked at with the clock.
            connection.isTakingUnknown = true
            if errno != EAGAIN && errno != EINTR { close(connection) }
            return
        }
        statistics.bytesOut += UInt64(sent)
        connection.bytesSent += sent
        connection.isTakingUnknown = true
        connection.outputStart += sent
        if connection.outputCount == 0 {
            connection.output.removeAll(keepingCapacity: connection.output.capacity <= 16384)
            connection.outputStart = 0
        }
    }

    /// Closes what is finished, and watches for what can come next.
    func settle(_ connection: Connection) {
        guard connection.isOpen, !connection.isPumping else { return }
        if connection.outputCount == 0 {
            if connection.isPeerClosed, !connection.isInFlight, !connection.isHeld, !connection.isPostponed {
                close(connection)
                return
            }
            if connection.closesAfterOutput, !connection.isShutDown {
                connection.isShutDown = true
                connection.state.closes(now: now)
                shutdown(connection.id.fd, Int32(SHUT_WR))
            }
            if isDraining, case .idle = connection.state.phase, connection.pending.isEmpty {
                close(connection)
                return
            }
        }
        var events: UInt32 = 0
        if !connection.isPeerClosed, connection.pending.count < configuration.pendingBytesMax {
            events |= TALLY_EPOLL_IN
        }
        if connection.outputCount > 0 { events |= TALLY_EPOLL_OUT }
        watch(connection, for: events)
    }
}
