import HTTP
import Platform
import Server

/// A handler whose paths are the behaviours that the tests need.
final class TestHandler: RequestHandler {
    static let bodyBytesMax = 1 << 20

    /// Requests to /held, answered by `release`, in the order of their coming.
    let held = Condition<[(Request, Responder)]>([])
    let turns = Condition(0)
    /// Responders whose sinks hold their bodies back.
    let sinkWakes = Condition<[Responder]>([])
    private let gathered = Lock<[(Request, Responder)]>([])

    /// Threads that answered, to be joined at the end.
    private let threads = Lock<[Thread]>([])

    private func onThread(_ body: @escaping @Sendable () -> Void) {
        threads.withLock { $0.append(Thread(name: "answerer", body)) }
    }

    func joinThreads() {
        let all = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in all { thread.join() }
    }

    func accept(head: RequestHead) -> BodyPolicy {
        switch head.path {
        case "/sink", "/sink/held", "/sink/early":
            .stream(bytesMax: 64 << 20) { TestSink($0, kind: head.path, handler: self) }
        case "/denied": .answer(.problem(status: 401, code: "unauthorized", detail: "No key."))
        default: .body(bytesMax: TestHandler.bodyBytesMax) { self.handle($0, $1) }
        }
    }

    private func handle(_ request: Request, _ responder: Responder) {
        switch request.pathSegments.first ?? "" {
        case "held":
            held.signal { $0.append((request, responder)) }
        case "thread":
            onThread { responder.send(TestHandler.echo(request)) }
        case "dropped":
            break
        case "turn":
            gathered.withLock { $0.append((request, responder)) }
        case "big":
            responder.send(Response(status: 200, contentType: "text/plain", body: TestHandler.big))
        case "bigstream":
            let left = Lock(Int(request.pathSegments.last ?? "") ?? 1)
            responder.send(
                Response(
                    status: 200,
                    body: .chunks { sink in
                        let isLast = left.withLock { left in
                            left -= 1
                            return left == 0
                        }
                        sink.send(isLast ? .last(TestHandler.big) : .more(TestHandler.big))
                    }))
        case "stream":
            responder.send(Response(status: 200, body: .chunks(pieces(5, onThread: request.query.isEmpty))))
        case "broken":
            responder.send(Response(status: 200, body: .chunks { _ in }))
        default:
            responder.send(TestHandler.echo(request))
        }
    }

    func turnEnded() {
        let all = gathered.withLock { gathered in
            defer { gathered = [] }
            return gathered
        }
        for (request, responder) in all { responder.send(TestHandler.echo(request, "\(all.count)")) }
        turns.signal { $0 += 1 }
    }

    /// Waits for `count` held requests and hands them out.
    func takeHeld(_ count: Int) -> [(Request, Responder)] {
        held.wait(milliseconds: 5000) { held -> [(Request, Responder)]? in
            guard held.count >= count else { return nil }
            defer { held = [] }
            return held
        } ?? []
    }

    static func echo(_ request: Request, _ extra: String? = nil) -> Response {
        let text = "\(request.method) \(request.target) \(String(decoding: request.body, as: UTF8.self))"
        return Response(
            status: 200, contentType: "text/plain", headers: extra.map { [("X-Extra", $0)] } ?? [],
            body: Array(text.utf8))
    }

    /// More than a socket takes at once.
    static let big = [UInt8](repeating: 0x62, count: 8 << 20)

    private func pieces(_ count: Int, onThread: Bool) -> @Sendable (ChunkSink) -> Void {
        let next = Lock(0)
        return { sink in
            let index = next.withLock { next in
                next += 1
                return next
            }
            let bytes = Array("piece \(index)\n".utf8)
            let piece: ChunkSink.Piece = index == count ? .last(bytes) : .more(bytes)
            if onThread {
                self.onThread { sink.send(piece) }
            } else {
                sink.send(piece)
            }
        }
    }
}

/// Counts the bytes of a body. "/sink/held" wants no more after each piece until `handler.sinkWakes` lets it go on;
/// "/sink/early" answers at the first piece.
final class TestSink: BodySink {
    private let responder: Responder
    private let kind: String
    private let handler: TestHandler
    private var bytes = 0
    private var sum: UInt64 = 0

    init(_ responder: Responder, kind: String, handler: TestHandler) {
        self.responder = responder
        self.kind = kind
        self.handler = handler
    }

    var bytesHeld: Int { 0 }

    func take(_ piece: [UInt8]) -> BodyDemand {
        bytes += piece.count
        // Every 97th byte: enough to notice what is lost, doubled or moved, and fast in debug.
        var index = (97 - (bytes - piece.count) % 97) % 97
        while index < piece.count {
            sum = sum &* 31 &+ UInt64(piece[index])
            index += 97
        }
        if kind == "/sink/early" {
            responder.send(.problem(status: 507, code: "full", detail: "No."))
            return .wait
        }
        guard kind == "/sink/held" else { return .more }
        handler.sinkWakes.signal { $0.append(responder) }
        return .wait
    }

    func woken() -> BodyDemand { .more }

    func end() {
        responder.send(Response(status: 200, contentType: "text/plain", body: Array("\(bytes) \(sum)".utf8)))
    }

    static func sum(_ text: String) -> String {
        let bytes = Array(text.utf8)
        let sum = stride(from: 0, to: bytes.count, by: 97).reduce(0 as UInt64) { $0 &* 31 &+ UInt64(bytes[$1]) }
        return "\(bytes.count) \(sum)"
    }
}

/// Runs a server for the length of `body`, then drains it.
func withServer<Result>(
    _ change: (inout ServerConfiguration) -> Void = { _ in }, _ body: (Server, TestHandler) throws -> Result
) throws -> Result {
    var configuration = ServerConfiguration(listen: [.tcp(host: "127.0.0.1", port: 0)])
    change(&configuration)
    let handler = TestHandler()
    let server = Server(configuration: configuration, handler: handler)
    try server.start()
    defer {
        server.drain(deadlineMilliseconds: 0)
        handler.joinThreads()
    }
    return try body(server, handler)
}

extension Server {
    /// Polls the statistics, which are published once a turn, for up to five seconds.
    func eventually(_ condition: (ServerStatistics) -> Bool) -> Bool {
        let poll = Condition(())
        for _ in 0..<1000 {
            if condition(statistics()) { return true }
            _ = poll.wait(milliseconds: 5) { _ in nil as Bool? }
        }
        return false
    }
}
