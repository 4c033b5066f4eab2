// The HTTP server and the API in front of a log that keeps nothing: what `ops/bench/http` measures is framing, keys,
// JSON, encoding and answers. Arguments: a data folder with a key, and a port.
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
import Synchronization

/// Gives every event the next position and no more.
final class NullLog: Sendable {
    private let position = Atomic<UInt64>(0)

    func append(_ submission: Submission, _ completion: LogWriter.Completion) {
        let end = position.wrappingAdd(UInt64(submission.count), ordering: .relaxed).newValue
        let verdicts = (0..<submission.count).map { index in
            Verdict.stored(position: end - UInt64(submission.count - 1 - index), hash: .zero)
        }
        completion(.success(Receipt(verdicts: verdicts, recordedAt: Timestamp(microseconds: 0), highWater: end)))
    }
}

struct Handler: RequestHandler {
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

guard CommandLine.arguments.count == 3, let port = Int(CommandLine.arguments[2]) else {
    print("usage: tallystick-bench-http FOLDER PORT")
    exit(2)
}
let folder = CommandLine.arguments[1]
for part in ["log", "index", "readmodels"] { try Folder.make(folder + "/" + part) }
let log = try EventLog.open(folder: folder + "/log", mode: .readWrite)
let index = try KeyIndex.open(folder: folder + "/index", logID: log.id)
let writer = try LogWriter(log: log, index: index) { reason in
    print(reason)
    exit(1)
}
let null = NullLog()
let api = API(
    writer: writer, log: log, models: ReadModels(folder: folder + "/readmodels", source: EventLogSource(log)),
    tree: try TreeKeeper(folder: folder + "/tiles", log: log), logOrigin: "bench",
    keys: KeyStore(folder: folder), parked: try ParkedStore(folder: folder),
    append: { null.append($0, $1) })
var configuration = ServerConfiguration(listen: [.tcp(host: "127.0.0.1", port: port)])
configuration.connectionsMax = 1024
configuration.connectionsPerAddressMax = 1024
let server = Server(configuration: configuration, handler: Handler(api: api))
try server.start()
while true { pause() }
