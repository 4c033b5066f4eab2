import API
import Audit
import Billing
import Engine
import EventLog
import Glibc
import HTTP
import Hashing
import Platform
import Projections
import Server

/// `tallystick serve`: starts everything in order, waits for a signal, stops everything in the reverse order.
func serve(_ settings: Settings) {
    let folder = settings.text("data")
    guard !folder.isEmpty else { fail("--data DIR is needed: where the log and its read models are kept") }
    guard let form = LogLine.Form(rawValue: settings.text("log-format")) else {
        fail("--log-format is text or json, not \"\(settings.text("log-format"))\"")
    }
    LogLine.use(form)
    guard let address = ListenAddress(settings.text("listen")) else {
        fail("--listen takes ADDRESS:PORT, not \"\(settings.text("listen"))\"")
    }
    let origin = settings.text("log-origin")
    guard origin.isEmpty || Checkpoint.isOrigin(origin) else {
        fail("--log-origin takes 1 to 256 bytes without spaces or +, not \"\(origin)\"")
    }
    guard 86_400 % settings.integer("lago-window-seconds") == 0 else {
        fail("lago-window-seconds must divide a day (86400)")
    }

    // Signals come to this thread alone; every other inherits the mask.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    signal(SIGPIPE, SIG_IGN)
    // A file at its size limit (setrlimit(2)) is a full disk, EFBIG, not the end.
    signal(SIGXFSZ, SIG_IGN)

    do {
        let daemon = try Daemon(folder: folder, address: address, settings: settings)
        LogLine.write(
            .info, "ready",
            [
                "version": version, "listen": daemon.listening, "data": folder,
                "high_water": String(daemon.highWater), "pid": String(getpid()),
            ])
        if case .tcp(let host, _) = address, !isLoopback(host) {
            LogLine.write(
                .warning, "other machines can connect, and without TLS keys and data pass readable: listen on "
                    + "127.0.0.1 and put a proxy before it, as in ops/nginx.conf", ["listen": "\(address)"])
        }
        var signal: Int32 = 0
        sigwait(&signals, &signal)
        LogLine.write(.info, "stopping", ["signal": signal == SIGTERM ? "SIGTERM" : "SIGINT"])
        daemon.stop(drainMilliseconds: settings.integer("drain-seconds") * 1000)
        LogLine.write(.info, "stopped", ["high_water": String(daemon.highWater)])
    } catch {
        LogLine.write(.error, "cannot start", ["reason": "\(error)"])
        exit(78)
    }
}

private func isLoopback(_ host: String) -> Bool {
    host.utf8.elementsEqual("localhost".utf8) || NetworkAddress(host.utf8)?.isLoopback == true
}

/// The parts of a running daemon, in the order in which they were started.
private final class Daemon {
    private let lock: FolderLock
    private let log: EventLog
    private let index: KeyIndex
    private let writer: LogWriter
    private let models: ReadModels
    private let keys: KeyStore
    private let tree: TreeKeeper
    private let server: Server

    init(folder: String, address: ListenAddress, settings: Settings) throws {
        try Folder.make(folder)
        for part in ["log", "index", "readmodels"] { try Folder.make(folder + "/" + part) }
        guard let lock = try FolderLock(folder: folder) else {
            throw StartError(text: "another daemon has \(folder) open: one daemon a folder")
        }
        self.lock = lock
        log = try EventLog.open(
            folder: folder + "/log", mode: .readWrite, mapBytes: settings.integer("map-gib") << 30)
        index = try KeyIndex.open(folder: folder + "/index", logID: log.id)
        if let reason = index.resetReason { LogLine.write(.warning, "the index is built anew", ["reason": reason]) }

        var writerLimits = WriterLimits()
        writerLimits.pendingBytesMax = settings.integer("pending-mib-max") << 20
        writerLimits.lagoWindowSeconds = Int64(settings.integer("lago-window-seconds"))
        writer = try LogWriter(log: log, index: index, limits: writerLimits) { reason in
            LogLine.write(.error, "the process ends: start it again, it recovers", ["reason": reason])
            _exit(74)
        }

        let source = EventLogSource(log)
        models = ReadModels(folder: folder + "/readmodels", source: source)
        let models = self.models
        tree = try TreeKeeper(folder: folder + "/tiles", log: log)
        try blocking { try await models.start() }
        tree.start()
        writer.start()

        let origin = settings.text("log-origin")
        var limits = APILimits()
        limits.eventsPerRequestMax = settings.integer("events-per-request-max")
        limits.eventsBodyBytesMax = settings.integer("events-body-mib-max") << 20
        limits.callbackBodyBytesMax = settings.integer("callback-body-mib-max") << 20
        limits.keyRequestsPerSecond = settings.integer("key-requests-per-second")
        limits.keyRequestsBurst = settings.integer("key-requests-burst")
        limits.smallBodyBytesMax = settings.integer("small-body-kib-max") << 10
        keys = KeyStore(folder: folder)
        let metrics = Lock<(@Sendable () -> String)?>(nil)
        let api = API(
            writer: writer, log: log, models: models, tree: tree,
            logOrigin: origin.isEmpty ? Checkpoint.standardOrigin(logID: log.id) : origin,
            keys: keys,
            parked: try ParkedStore(folder: folder), limits: limits,
            extraMetrics: { metrics.withLock { $0 }?() ?? "" })
        let configuration = serverConfiguration(settings, address: address)
        server = Server(configuration: configuration, handler: Handler(api: api))
        let server = self.server
        metrics.withLock { $0 = { serverMetrics(server.statistics(), apiHits: api.limitHits) } }
        try server.start()
        keys.uses.start()

        let figures = [
            ("writer_pending_bytes_max", writerLimits.pendingBytesMax),
            ("group_records_max", writerLimits.groupRecordsMax), ("map_bytes", settings.integer("map-gib") << 30),
        ]
        for (name, value) in configuration.figures + limits.figures + figures {
            LogLine.write(.info, "limit", [name: String(value)])
        }
    }

    var highWater: UInt64 { log.highWater }

    var listening: String { server.addresses.map { "\($0)" }.joined(separator: ",") }

    /// How long an end waits for read models that are behind.
    private static let settleMilliseconds = 5_000

    /// Answers what is in flight, commits what was taken, lets the read models see it, and leaves everything closed.
    func stop(drainMilliseconds: Int) {
        server.drain(deadlineMilliseconds: UInt64(drainMilliseconds))
        writer.stop()
        keys.uses.stop()
        let models = self.models
        blocking {
            await models.settle(timeoutMilliseconds: Daemon.settleMilliseconds)
            await models.stop()
        }
        tree.stop()
        do {
            try index.close()
        } catch {
            // The index is a cache: the next start takes what is missing from the log.
            LogLine.write(.warning, "the index was not saved", ["reason": "\(error)"])
        }
    }
}

private struct StartError: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}

/// The server's requests go to the API; its answers go back through the responder.
private struct Handler: RequestHandler {
    let api: API

    func accept(head: RequestHead) -> BodyPolicy {
        switch api.accept(head: head) {
        case .body(let bytesMax, let handle):
            .body(bytesMax: bytesMax) { request, responder in handle(request) { responder.send($0) } }
        case .stream(let bytesMax, let makeSink):
            .stream(bytesMax: bytesMax) { responder in makeSink({ responder.send($0) }, { responder.wake() }) }
        case .answer(let response): .answer(response)
        }
    }
}
