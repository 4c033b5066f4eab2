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

/// `tallystick serve`: starts everything in order, obeys signals, stops everything in the reverse order.
func serve(_ settings: Settings, _ signals: DaemonSignals, rereading: () throws -> Settings) {
    let texts: TextSettings
    do {
        texts = try TextSettings(settings)
    } catch {
        fail(error.text)
    }
    LogLine.use(texts.form)
    do {
        let daemon = try Daemon(texts, settings: settings)
        LogLine.write(
            .info, "ready",
            [
                "version": version, "listen": daemon.listening, "data": texts.folder,
                "high_water": String(daemon.highWater), "pid": String(getpid()),
            ])
        if case .tcp(let host, _) = texts.address, !isLoopback(host) {
            LogLine.write(
                .warning, "other machines can connect, and without TLS keys and data pass readable: listen on "
                    + "127.0.0.1 and put a proxy before it, as in ops/nginx.conf", ["listen": "\(texts.address)"])
        }
        var inForce = settings
        while true {
            let (request, name) = signals.next()
            switch request {
            case .nothing:
                LogLine.write(.info, "signal ignored", ["signal": name])
            case .reread:
                daemon.reread(&inForce, name, rereading)
            case .stop:
                LogLine.write(.info, "stopping", ["signal": name])
                daemon.stop(drainMilliseconds: inForce.integer("drain-seconds") * 1000)
                LogLine.write(.info, "stopped", ["high_water": String(daemon.highWater)])
                return
            }
        }
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
    private let parked: ParkedStore
    private let tree: TreeKeeper
    private let server: Server
    private let api: API

    init(_ texts: TextSettings, settings: Settings) throws {
        let folder = texts.folder
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

        var limits = APILimits()
        limits.eventsPerRequestMax = settings.integer("events-per-request-max")
        limits.eventsBodyBytesMax = settings.integer("events-body-mib-max") << 20
        limits.callbackBodyBytesMax = settings.integer("callback-body-mib-max") << 20
        limits.keyRequestsPerSecond = settings.integer("key-requests-per-second")
        limits.keyRequestsBurst = settings.integer("key-requests-burst")
        limits.smallBodyBytesMax = settings.integer("small-body-kib-max") << 10
        keys = KeyStore(folder: folder)
        keys.reread()
        parked = try ParkedStore(folder: folder)
        let metrics = Lock<(@Sendable () -> String)?>(nil)
        api = API(
            writer: writer, log: log, models: models, tree: tree,
            logOrigin: texts.origin ?? Checkpoint.standardOrigin(logID: log.id),
            keys: keys,
            parked: parked, limits: limits,
            extraMetrics: { metrics.withLock { $0 }?() ?? "" })
        let configuration = serverConfiguration(settings, texts)
        let api = self.api
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

    /// Reads the keys again, and takes over what of the settings can be while requests run. Settings that no start
    /// would take change nothing.
    func reread(_ inForce: inout Settings, _ signal: String, _ rereading: () throws -> Settings) {
        keys.reread()
        do {
            let wanted = try rereading()
            let form = try TextSettings(wanted).form
            let changed = Option.serve.filter { wanted.text($0.name) != inForce.text($0.name) }
            let taken = changed.filter(\.isTakenOver)
            for option in taken { inForce.take(option, from: wanted) }
            LogLine.use(form)
            api.limitKeys(
                perSecond: inForce.integer("key-requests-per-second"), burst: inForce.integer("key-requests-burst"))
            let waiting = changed.filter { !$0.isTakenOver }.map(\.member)
            let values = taken.map { "\($0.member)=\(inForce.text($0.name))" }
            LogLine.write(
                .info, "read again",
                [
                    "signal": signal, "keys": String(keys.count),
                    "taken_over": values.isEmpty ? "nothing" : values.joined(separator: " "),
                    "needs_restart": waiting.isEmpty ? "nothing" : waiting.joined(separator: " "),
                ])
        } catch {
            let reason = (error as? Settings.Fault)?.text ?? "\(error)"
            LogLine.write(
                .error, "the keys were read again, the settings are as they were",
                ["signal": signal, "keys": String(keys.count), "reason": reason])
        }
    }

    /// How long an end waits for read models that are behind.
    private static let settleMilliseconds = 5_000

    /// Answers what is in flight, commits what was taken, lets the read models see it, and leaves everything closed.
    func stop(drainMilliseconds: Int) {
        server.drain(deadlineMilliseconds: UInt64(drainMilliseconds))
        writer.stop()
        keys.uses.stop()
        let parked = self.parked
        blocking { await parked.stop() }
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
