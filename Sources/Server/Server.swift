internal import Platform

/// An HTTP/1.1 server: bytes between sockets and a handler, within limits. One thread; knows nothing of what is served.
///
/// Started once and drained once. `drain` comes before the last reference goes.
public final class Server: Sendable {
    private let configuration: ServerConfiguration
    private let handler: any RequestHandler
    private let state = Lock(State())

    private struct State {
        var loop: EventLoop?
        var thread: Thread?
        var addresses: [ListenAddress] = []
    }

    public init(configuration: ServerConfiguration, handler: some RequestHandler) {
        configuration.check()
        self.configuration = configuration
        self.handler = handler
    }

    /// Listens and starts the loop thread. When it returns, clients can connect.
    public func start() throws(ServerError) {
        var listeners: [Listener] = []
        let loop: EventLoop
        do throws(ServerError) {
            for address in configuration.listen {
                listeners.append(try Listener.open(address, queueMax: configuration.acceptQueueMax))
            }
            loop = try EventLoop(configuration: configuration, handler: handler, listeners: listeners)
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        let addresses = listeners.map(\.address)
        state.withLock { state in
            precondition(state.addresses.isEmpty, "a server is started once")
            state.addresses = addresses
            state.loop = loop
            state.thread = Thread(name: "http") { loop.run() }
        }
    }

    /// Where it listens, ports as bound; empty before the start.
    public var addresses: [ListenAddress] { state.withLock { $0.addresses } }

    /// The port of the first TCP address, as bound; 0 when there is none.
    public var port: Int {
        for case .tcp(_, let port) in addresses { return port }
        return 0
    }

    /// Closes the listening sockets; connections live on. Not on the loop thread.
    public func stopAccepting() {
        guard let loop = state.withLock({ $0.loop }) else { return }
        precondition(!loop.isOnLoopThread, "stopAccepting on the loop thread")
        loop.mailbox.put(.stopAccepting)
        _ = loop.status.wait { $0.hasStoppedAccepting || $0.hasEnded ? true : nil }
    }

    /// Stops accepting, closes idle connections, lets requests under way have their answers, and ends the thread;
    /// what is not done at the deadline is cut. Returns when all is over. Not on the loop thread.
    public func drain(deadlineMilliseconds: UInt64) {
        guard let loop = state.withLock({ $0.loop }) else { return }
        precondition(!loop.isOnLoopThread, "drain on the loop thread")
        let (wait, overflow) = deadlineMilliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (deadline, overflowAgain) = SteadyClock.nanoseconds().addingReportingOverflow(wait)
        loop.mailbox.put(.drain(deadline: overflow || overflowAgain ? .max : deadline))
        _ = loop.status.wait { $0.hasEnded ? true : nil }
        let thread = state.withLock { state in
            let thread = state.thread
            state.thread = nil
            return thread
        }
        thread?.join()
    }

    /// As of the end of the loop's last turn.
    public func statistics() -> ServerStatistics {
        guard let loop = state.withLock({ $0.loop }) else { return ServerStatistics() }
        return loop.published.withLock { $0 }
    }
}
