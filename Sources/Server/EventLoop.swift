internal import CLinux
internal import Glibc
internal import HTTP
internal import Platform
internal import Synchronization

/// One thread, one epoll set, all connections.
///
/// A turn: wait; receive, parse and hand over what came; take the mail of other threads; write what was answered;
/// tell the handler that the turn ended. Level-triggered, so that whatever a turn leaves undone is offered again.
///
/// `@unchecked Sendable`: other threads use `mailbox`, `status`, `published` and `threadID`, which are safe by
/// themselves; all else is touched on the loop thread only (and by `init`, before that thread exists).
final class EventLoop: @unchecked Sendable {
    /// Connections accepted in one turn at most, so that a flood of them does not starve the others.
    static let acceptsPerTurnMax = 64
    static let receiveBytes = 65536

    struct Status {
        var hasStoppedAccepting = false
        var hasEnded = false
    }

    let configuration: ServerConfiguration
    let handler: any RequestHandler
    let mailbox: Mailbox
    let status = Condition(Status())
    let published = Lock(ServerStatistics())
    private let threadID = Atomic<UInt>(0)

    let epoll: Int32
    private var listeners: [Listener]
    /// By file descriptor.
    private var connections: [Connection?] = []
    private var registrationLast: UInt32 = 0
    private var ready: [Connection] = []
    /// Connections that have more requests at hand than one turn takes.
    private var postponed: [Connection] = []
    private(set) var turnNumber: UInt64 = 0
    /// Open connections by their address.
    private var connectionsByAddress: [NetworkAddress: Int] = [:]
    var refusals = RefusalLog()
    private let events = UnsafeMutablePointer<tally_event>.allocate(capacity: Int(TALLY_EPOLL_EVENTS_MAX))
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: EventLoop.receiveBytes)

    var statistics = ServerStatistics()
    /// Steady clock at the start of this turn's work, nanoseconds.
    var now: UInt64 = SteadyClock.nanoseconds()
    private(set) var date: [UInt8] = []
    private var dateSecond: Int64 = -1
    private let sweepMilliseconds: UInt64
    private var sweepAt: UInt64 = 0
    private var isAccepting = false
    private var acceptResumeAt: UInt64 = 0
    private(set) var isDraining = false
    private var drainDeadline: UInt64 = .max

    init(
        configuration: ServerConfiguration, handler: any RequestHandler, listeners: [Listener]
    ) throws(ServerError) {
        self.configuration = configuration
        self.handler = handler
        self.listeners = listeners
        let limits = configuration.connection
        let shortest = min(
            limits.headMilliseconds, limits.idleMilliseconds, limits.bodyStallMilliseconds,
            limits.writeStallMilliseconds, limits.closingMilliseconds, configuration.acceptPauseMilliseconds * 4)
        sweepMilliseconds = min(max(shortest / 4, 5), 250)
        epoll = tally_epoll_create()
        guard epoll >= 0 else { throw .last("epoll_create1", nil) }
        guard let mailbox = Mailbox() else {
            let error = ServerError.last("eventfd", nil)
            Glibc.close(epoll)
            throw error
        }
        self.mailbox = mailbox
        watch(mailbox.eventFD, TALLY_EPOLL_IN, ConnectionID(registration: 0, fd: mailbox.eventFD))
        resumeAccepting()
    }

    deinit {
        Glibc.close(epoll)
        events.deallocate()
        scratch.deallocate()
    }

    var isOnLoopThread: Bool { threadID.load(ordering: .acquiring) == UInt(pthread_self()) }

    /// From any thread.
    func submit(_ mail: Mail) {
        if isOnLoopThread {
            deliver(mail)
        } else {
            mailbox.put(mail)
        }
    }

    // MARK: The loop

    /// The thread's whole life: until drained.
    func run() {
        threadID.store(UInt(pthread_self()), ordering: .releasing)
        while !(isDraining && statistics.connectionsOpen == 0) {
            turn()
        }
        publish()
        threadID.store(0, ordering: .releasing)
        status.signal { $0.hasEnded = true }
    }

    private func turn() {
        let needsClock = statistics.connectionsOpen > 0 || !isAccepting && !listeners.isEmpty
        let wait = needsClock ? Int32(sweepMilliseconds) : -1
        let count = tally_epoll_wait(epoll, events, TALLY_EPOLL_EVENTS_MAX, postponed.isEmpty ? wait : 0)
        if count < 0 {
            precondition(errno == EINTR, "epoll_wait: errno \(errno)")
            return
        }
        turnNumber += 1
        now = SteadyClock.nanoseconds()
        let second = WallClock.microseconds() / 1_000_000
        if second != dateSecond {
            dateSecond = second
            date = HTTPDate.format(seconds: max(second, 0))
        }
        for index in 0..<Int(count) { handle(events[index]) }
        resumePostponed()
        repeat {
            pumpReady()
            handler.turnEnded()
        } while !ready.isEmpty
        if now >= sweepAt { sweep() }
        publish()
    }

    private func handle(_ event: tally_event) {
        let id = ConnectionID(data: event.data)
        if id.registration == 0 {
            if id.fd == mailbox.eventFD {
                for mail in mailbox.take() { deliver(mail) }
            } else if let listener = listeners.first(where: { $0.fd == id.fd }) {
                accept(from: listener)
            }
            return
        }
        // An event of this turn may be about a connection that an earlier one closed, its descriptor perhaps reused.
        guard let connection = connection(id) else { return }
        if event.events & TALLY_EPOLL_IN != 0 {
            receive(connection)
        } else if event.events & (TALLY_EPOLL_ERR | TALLY_EPOLL_HUP) != 0 {
            close(connection)
        }
        if event.events & TALLY_EPOLL_OUT != 0, connection.isOpen {
            pump(connection)
        }
    }

    private func pumpReady() {
        while !ready.isEmpty {
            var all: [Connection] = []
            swap(&all, &ready)
            for connection in all {
                connection.isReady = false
                pump(connection)
            }
        }
    }

    /// Puts a connection on the list that is worked off before the turn ends.
    func schedule(_ connection: Connection) {
        guard !connection.isPumping, !connection.isReady else { return }
        connection.isReady = true
        ready.append(connection)
    }

    /// Lets the next turn go on with a connection.
    func postpone(_ connection: Connection) {
        guard !connection.isPostponed else { return }
        connection.isPostponed = true
        statistics.limitHits[.pipelinedRequests] += 1
        postponed.append(connection)
    }

    private func resumePostponed() {
        var all: [Connection] = []
        swap(&all, &postponed)
        for connection in all {
            connection.isPostponed = false
            schedule(connection)
        }
    }

    private func publish() {
        published.withLock { $0 = statistics }
    }

    // MARK: Mail

    private func deliver(_ mail: Mail) {
        switch mail {
        case .response(let id, let response):
            guard let connection = connection(id) else { return }
            // Refused meanwhile, by a deadline or a limit, and so answered.
            if connection.closesAfterOutput, !connection.isInFlight { return }
            if connection.sink != nil, !connection.isInFlight {
                refuse(connection, response)
            } else {
                precondition(connection.isInFlight && connection.stream == nil, "an answer without a request")
                respond(connection, response)
            }
            schedule(connection)
        case .wake(let id):
            guard let connection = connection(id) else { return }
            wake(connection)
            schedule(connection)
        case .piece(let id, let piece):
            guard let connection = connection(id) else { return }
            take(connection, piece)
            schedule(connection)
        case .stopAccepting:
            closeListeners()
        case .drain(let deadline):
            drain(deadline: deadline)
        }
    }

    private func drain(deadline: UInt64) {
        closeListeners()
        isDraining = true
        drainDeadline = min(drainDeadline, deadline)
        for connection in connections {
            guard let connection else { continue }
            // What the client sent before it could know is still taken; without that, the connection is closed.
            if connection.state.drain(), connection.outputCount == 0 { receive(connection) }
            settle(connection)
        }
        sweepAt = 0
    }

    private func closeListeners() {
        pauseAccepting()
        for listener in listeners { listener.close() }
        listeners = []
        status.signal { $0.hasStoppedAccepting = true }
    }

    // MARK: Time

    private func sweep() {
        sweepAt = now + sweepMilliseconds * 1_000_000
        for connection in connections {
            guard let connection else { continue }
            if now >= drainDeadline {
                close(connection)
                continue
            }
            checkTaken(connection)
            switch connection.state.verdict(now: now) {
            case .wait:
                break
            case .answerTimeout(let deadline):
                count(deadline)
                refuse(
                    connection,
                    .problem(status: 408, code: "request_timeout", detail: "The request did not come in time."))
                pump(connection)
            case .close(let deadline):
                count(deadline)
                if deadline == .write { dropUntaken(connection) }
                close(connection)
            }
        }
        resumeAccepting()
    }

    private func count(_ deadline: ConnectionState.Deadline) {
        let limit: ServerLimit
        switch deadline {
        case .idle: limit = .idleTime
        case .head: limit = .headTime
        case .body: limit = .bodyRate
        case .write: limit = .writeRate
        // The client was answered for the last time and did not close: nothing of it is lost.
        case .closing: return
        }
        statistics.timeouts += 1
        statistics.limitHits[limit] += 1
    }

    /// Has the close reset the connection (SO_LINGER of socket(7)): what nobody takes would stay in the kernel's
    /// memory.
    private func dropUntaken(_ connection: Connection) {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.id.fd, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    }

    /// What the client's system has acknowledged is taken, what the socket's buffer holds is not: a client that reads
    /// nothing is known although the kernel keeps its answer.
    private func checkTaken(_ connection: Connection) {
        guard connection.isTakingUnknown else { return }
        let waiting = Int(max(tally_unacknowledged(connection.id.fd), 0))
        if waiting == 0, connection.outputCount == 0 {
            connection.isTakingUnknown = false
            connection.bytesTaken = connection.bytesSent
            connection.state.writeEnded()
            return
        }
        // The end of our side counts as a byte that waits.
        let taken = max(connection.bytesSent - waiting, connection.bytesTaken)
        connection.state.writeWaits(bytesTaken: taken - connection.bytesTaken, now: now)
        connection.bytesTaken = taken
    }

    // MARK: Connections

    private func connection(_ id: ConnectionID) -> Connection? {
        guard id.fd >= 0, Int(id.fd) < connections.count, let connection = connections[Int(id.fd)],
            connection.id.registration == id.registration
        else { return nil }
        return connection
    }

    private func accept(from listener: Listener) {
        for _ in 0..<EventLoop.acceptsPerTurnMax {
            guard statistics.connectionsOpen < configuration.connectionsMax else {
                statistics.acceptPauses += 1
                statistics.limitHits[.connections] += 1
                pauseAccepting()
                return
            }
            var peer = tally_peer()
            let fd = tally_accept(listener.fd, &peer)
            if fd < 0 {
                switch errno {
                case EMFILE, ENFILE, ENOMEM, ENOBUFS:
                    // The connection stays in the kernel's queue and would wake us without end.
                    statistics.acceptPauses += 1
                    statistics.limitHits[.descriptors] += 1
                    acceptResumeAt = now + configuration.acceptPauseMilliseconds * 1_000_000
                    pauseAccepting()
                    return
                case EINTR, ECONNABORTED:
                    continue
                default:
                    return
                }
            }
            open(fd, from: NetworkAddress(peer), isTCP: listener.isTCP)
        }
    }

    private func open(_ fd: Int32, from peer: NetworkAddress?, isTCP: Bool) {
        // Behind a trusted proxy are many clients: how many of each it lets through is for it to say.
        let network = configuration.trustedProxies.trusts(peer) ? nil : peer?.network
        if let network {
            let count = connectionsByAddress[network, default: 0]
            guard count < configuration.connectionsPerAddressMax else {
                turnAway(fd)
                return
            }
            connectionsByAddress[network] = count + 1
        }
        if isTCP {
            var on: Int32 = 1
            setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        registrationLast = registrationLast == .max ? 1 : registrationLast + 1
        let connection = Connection(
            id: ConnectionID(registration: registrationLast, fd: fd), peer: peer, network: network,
            state: ConnectionState(limits: configuration.connection, now: now),
            parser: RequestParser(limits: configuration.request), interest: TALLY_EPOLL_IN)
        while connections.count <= Int(fd) { connections.append(nil) }
        precondition(connections[Int(fd)] == nil, "descriptor \(fd) is in use")
        connections[Int(fd)] = connection
        statistics.connectionsOpen += 1
        statistics.connectionsAccepted += 1
        watch(fd, TALLY_EPOLL_IN, connection.id)
    }

    /// Too many from its address: told so, as far as the socket takes it at once.
    private func turnAway(_ fd: Int32) {
        statistics.limitHits[.connectionsPerAddress] += 1
        let response = Response.problem(
            status: 503, code: "too_many_connections", detail: "There are too many connections from this address.",
            headers: [("Retry-After", "\(configuration.retryAfterSeconds)")])
        var bytes: [UInt8] = []
        _ = ResponseSerializer.append(response, context: .init(keepAlive: false), date: date, to: &bytes)
        _ = send(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        shutdown(fd, Int32(SHUT_WR))
        Glibc.close(fd)
    }

    func close(_ connection: Connection) {
        guard connection.isOpen else { return }
        connection.isOpen = false
        if let network = connection.network, let count = connectionsByAddress[network] {
            connectionsByAddress[network] = count > 1 ? count - 1 : nil
        }
        release(connection)
        connection.stream = nil
        connections[Int(connection.id.fd)] = nil
        // Last: a sink that goes unanswered says so, to a connection that is no more.
        connection.sink = nil
        Glibc.close(connection.id.fd)
        statistics.connectionsOpen -= 1
        if !isAccepting { resumeAccepting() }
    }

    /// Gives back what the connection's body took of the budget.
    func release(_ connection: Connection) {
        statistics.bodyBytesHeld -= connection.bodyCharged
        connection.bodyCharged = 0
    }

    private func watch(_ fd: Int32, _ events: UInt32, _ id: ConnectionID) {
        let code = tally_epoll_add(epoll, fd, events, id.data)
        precondition(code == 0, "epoll_ctl add \(fd): errno \(errno)")
    }

    /// Changes what epoll watches for, if it is not that already.
    func watch(_ connection: Connection, for events: UInt32) {
        guard connection.interest != events else { return }
        connection.interest = events
        let code = tally_epoll_modify(epoll, connection.id.fd, events, connection.id.data)
        precondition(code == 0, "epoll_ctl modify \(connection.id.fd): errno \(errno)")
    }

    private func pauseAccepting() {
        guard isAccepting else { return }
        isAccepting = false
        for listener in listeners { tally_epoll_remove(epoll, listener.fd) }
    }

    private func resumeAccepting() {
        guard !isAccepting, !listeners.isEmpty, now >= acceptResumeAt,
            statistics.connectionsOpen < configuration.connectionsMax
        else { return }
        isAccepting = true
        for listener in listeners {
            watch(listener.fd, TALLY_EPOLL_IN, ConnectionID(registration: 0, fd: listener.fd))
        }
    }
}
