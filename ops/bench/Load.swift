import Glibc
import Platform

/// One run: its threads share what is left to send and what was found.
struct Load: Sendable {
    let options: Options
    /// Part of every id, so that runs do not send each other's.
    let run: UInt32
    let deadline: UInt64
    /// Requests that may still be sent.
    let budget: Lock<Int>
    let total = Lock(Measurement())

    init(options: Options, now: UInt64) {
        self.options = options
        run = UInt32(truncatingIfNeeded: now ^ (now >> 32)) ^ (UInt32(bitPattern: getpid()) << 16)
        deadline = now + UInt64(options.secondsMax) * 1_000_000_000
        budget = Lock((options.eventsMax + options.batch - 1) / options.batch)
    }

    /// Runs it to its end.
    func measure() -> Measurement {
        let threads = (0..<options.threads).map { number in
            let indexes = Array(stride(from: number, to: options.connections, by: options.threads))
            return Thread(name: "bench-\(number)") { drive(indexes) }
        }
        for thread in threads { thread.join() }
        return total.withLock { $0 }
    }

    /// Drives some of the connections until the budget or the time is used up.
    private func drive(_ indexes: [Int]) {
        var connections = indexes.map {
            Connection(port: options.port, requests: Requests(options: options, run: run, connection: $0))
        }
        var polls = connections.map { pollfd(fd: $0.socket, events: Int16(POLLIN), revents: 0) }
        var found = Measurement()
        var underWay = 0

        func sendNext(_ index: Int) {
            let may = monotonic() < deadline
                && budget.withLock { (left: inout Int) -> Bool in
                    guard left > 0 else { return false }
                    left -= 1
                    return true
                }
            guard may, connections[index].send() else {
                polls[index].fd = -1
                return
            }
            underWay += 1
        }

        for index in connections.indices { sendNext(index) }
        while underWay > 0 {
            let ready = poll(&polls, nfds_t(polls.count), 10_000)
            if ready < 0 && errno == EINTR { continue }
            guard ready > 0 else {
                found.failures += underWay
                break
            }
            for index in polls.indices where polls[index].fd >= 0 && polls[index].revents != 0 {
                switch connections[index].receive() {
                case .waiting: continue
                case .closed:
                    found.failures += 1
                    underWay -= 1
                    polls[index].fd = -1
                case .done(let good):
                    underWay -= 1
                    found.latencies.append(UInt32(clamping: (monotonic() - connections[index].sentAt) / 1000))
                    if good { found.events += options.batch } else { found.failures += 1 }
                    if options.pauseMicroseconds > 0 { usleep(options.pauseMicroseconds) }
                    sendNext(index)
                }
            }
        }
        for connection in connections { close(connection.socket) }
        total.withLock { $0.add(found) }
    }
}
