internal import HTTP

/// One client's socket with its parser, its buffers and its one request in flight. Touched on the loop thread only.
final class Connection {
    let id: ConnectionID
    var state: ConnectionState
    var parser: RequestParser

    /// Received and not yet parsed: the beginning of a head, or requests that wait for the answer before them.
    var pending: [UInt8] = []
    /// Answers that the client has not taken yet, from `outputStart` on.
    var output: [UInt8] = []
    var outputStart = 0

    /// A request waits for its answer, or its answer is being streamed. The next one is not parsed meanwhile.
    var isInFlight = false
    /// How that answer is to be written.
    var context = ResponseSerializer.Context()
    var stream: Stream?
    /// Bytes of the body of the request being read or in flight, as counted in the server's budget.
    var bodyCharged = 0

    /// Events that epoll watches for.
    var interest: UInt32
    var isOpen = true
    /// The client has ended its side; it may still read.
    var isPeerClosed = false
    /// After what is in `output`, this side ends.
    var closesAfterOutput = false
    /// This side has ended; what still comes is thrown away.
    var isShutDown = false
    /// Its pump is on the stack: answers given meanwhile are picked up by it.
    var isPumping = false
    /// It is in the loop's list of connections to pump.
    var isReady = false

    struct Stream {
        var producer: @Sendable (ChunkSink) -> Void
        var chunked: Bool
        /// The producer was asked and has not answered.
        var isAwaiting = false
    }

    init(id: ConnectionID, state: ConnectionState, parser: RequestParser, interest: UInt32) {
        self.id = id
        self.state = state
        self.parser = parser
        self.interest = interest
    }

    var outputCount: Int { output.count - outputStart }

    /// The next request may be parsed.
    var isReading: Bool { isOpen && !isInFlight && !closesAfterOutput && !isShutDown }
}
