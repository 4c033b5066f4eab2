public import HTTP
internal import Synchronization

/// What the handler says to a head before any body is read.
public enum BodyPolicy: Sendable {
    /// A body of at most so many bytes may follow; a longer one is refused with 413. The whole request goes to the
    /// closure, on the loop thread: it must not block, and answers exactly once through the responder, from any thread,
    /// now or later.
    case body(bytesMax: Int, @Sendable (Request, Responder) -> Void)
    /// A body of at most so many bytes goes to a sink while it comes in, and is never whole in memory. The sink, made
    /// on the loop thread, answers through the responder.
    case stream(bytesMax: Int, @Sendable (Responder) -> any BodySink)
    /// The answer, at once. If a body was to follow, the connection closes after it.
    case answer(Response)
}

/// What the server hands requests to.
public protocol RequestHandler: Sendable {
    /// Called on the loop thread when a head is complete. Must not block.
    func accept(head: RequestHead) -> BodyPolicy
    /// Called on the loop thread after each turn, when everything that had come was handled: the place to submit what
    /// was gathered as one group. Must not block.
    func turnEnded()
}

extension RequestHandler {
    public func turnEnded() {}
}

/// The one answer of one request. Dropped without an answer it answers 500; a second answer is a bug and traps.
public final class Responder: Sendable {
    private let loop: EventLoop
    private let connection: ConnectionID
    private let isUsed = Atomic<Bool>(false)

    init(loop: EventLoop, connection: ConnectionID) {
        self.loop = loop
        self.connection = connection
    }

    deinit {
        guard !isUsed.load(ordering: .acquiring) else { return }
        let response = Response.problem(
            status: 500, code: "no_answer", detail: "The request was dropped without an answer.")
        loop.submit(.response(connection, response))
    }

    /// From any thread. On the loop thread it goes straight out.
    public func send(_ response: Response) {
        precondition(!isUsed.exchange(true, ordering: .acquiringAndReleasing), "a second answer to one request")
        loop.submit(.response(connection, response))
    }

    /// From any thread: has the loop call `woken` of the request's sink, if it still has one. Not at once, even on the
    /// loop thread.
    public func wake() {
        loop.mailbox.put(.wake(connection))
    }
}

/// A connection, told apart from every other that had or will have the same file descriptor.
struct ConnectionID: Hashable, Sendable {
    var registration: UInt32
    var fd: Int32

    init(registration: UInt32, fd: Int32) {
        self.registration = registration
        self.fd = fd
    }

    /// As epoll carries it.
    init(data: UInt64) {
        registration = UInt32(truncatingIfNeeded: data >> 32)
        fd = Int32(truncatingIfNeeded: data)
    }

    var data: UInt64 { UInt64(registration) << 32 | UInt64(UInt32(bitPattern: fd)) }
}
