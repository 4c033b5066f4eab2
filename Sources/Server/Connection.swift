internal import HTTP

/// One client's socket with its parser, its buffers and its one request in flight. Touched on the loop thread only.
final class Connection {
    let id: ConnectionID
    /// Who has connected; nil through a Unix socket.
    let peer: NetworkAddress?
    /// What it is counted by against `connectionsPerAddressMax`; nil when it is not.
    let network: NetworkAddress?
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
    /// Bytes of that body that had come when its pace was last looked at.
    var bodySeen = 0
    /// Takes the request being read once it is whole.
    var handle: (@Sendable (Request, Responder) -> Void)?
    /// Takes the body of the request being read, or answers it, when the handler wanted it in pieces.
    var sink: (any BodySink)?
    /// The sink has enough for now.
    var isHeld = false

    /// The turn of the loop in which `turnRequests` requests were taken.
    var turn: UInt64 = 0
    var turnRequests = 0

    /// Bytes given to the socket, those of them that the client was last seen to have, and whether to look again.
    var bytesSent = 0
    var bytesTaken = 0
    var isTakingUnknown = false

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
    /// It has had its share of this turn, and is in the loop's list for the next.
    var isPostponed = false

    struct Stream {
        var producer: @Sendable (ChunkSink) -> Void
        var chunked: Bool
        /// The producer was asked and has not answered.
        var isAwaiting = false
    }

    init(
        id: ConnectionID, peer: NetworkAddress?, network: NetworkAddress?, state: ConnectionState,
        parser: RequestParser, interest: UInt32
    ) {
        self.id = id
        self.peer = peer
        self.network = network
        self.state = state
        self.parser = parser
        self.interest = interest
    }

    var outputCount: Int { output.count - outputStart }

    /// What comes next may be parsed.
    var isReading: Bool { isOpen && !isInFlight && !isHeld && !closesAfterOutput && !isShutDown }
}
