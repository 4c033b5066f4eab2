/// What to do, from the command line.
struct Options: Sendable {
    enum Mode: String, Sendable {
        /// `connections` connections, `batch` events a request, as fast as they go.
        case batch
        /// One event a request on many connections.
        case single
        /// One connection, one event at a time with a pause between: what an answer takes when nothing else happens.
        case idle
        /// Authorizations instead of events: looks that write nothing, and holds.
        case look, hold
    }

    var mode: Mode
    var port: UInt16 = 8787
    var key = ""
    var connections = 8
    /// Events a request.
    var batch = 100
    var threads = 2
    /// The run ends with whichever comes first.
    var eventsMax = 100_000
    var secondsMax = 60
    /// Between two requests of a connection.
    var pauseMicroseconds: UInt32 = 0
    /// The daemon, for its memory.
    var pid: Int32?

    static let usage = """
        usage: tallystick-bench batch|single|idle|look|hold --key KEY [--port PORT] [--connections N] [--batch N]
                                [--threads N] [--events N] [--seconds N] [--pause MICROSECONDS] [--pid PID]
        Posts events or authorizations to a daemon on 127.0.0.1 and prints one line of JSON.
        """

    init?(_ arguments: [String]) {
        guard let first = arguments.first, let mode = Mode(rawValue: first) else { return nil }
        self.mode = mode
        switch mode {
        case .batch: break
        case .single, .look, .hold: (connections, batch) = (64, 1)
        case .idle: (connections, batch, threads, eventsMax, pauseMicroseconds) = (1, 1, 1, 1000, 2000)
        }
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { return nil }
            if name == "--key" {
                key = value
                continue
            }
            guard let number = Int(value), number > 0, number <= Int(Int32.max) else { return nil }
            switch name {
            case "--port" where number <= 65_535: port = UInt16(number)
            case "--connections": connections = min(number, 1024)
            case "--batch" where mode == .batch: batch = min(number, 10_000)
            case "--threads": threads = min(number, 64)
            case "--events": eventsMax = number
            case "--pause": pauseMicroseconds = UInt32(number)
            case "--seconds": secondsMax = number
            case "--pid": pid = Int32(number)
            default: return nil
            }
        }
        guard !key.isEmpty else { return nil }
        threads = min(threads, connections)
    }
}
