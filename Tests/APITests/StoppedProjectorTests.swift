import Audit
import Billing
import Engine
import EventLog
import HTTP
import JSON
import Platform
import Projections
import Records
import SQLite
import Testing

@testable import API

private let stop = Name(checked: "stop")

/// A projection as it is, but that it cannot take the event "stop": as a fault of ours would.
private struct Stopping<P: Projection>: Projection {
    static var name: String { P.name }
    static var schemaVersion: Int { P.schemaVersion }
    static var schema: [UInt8] { P.schema }
    static var tables: [Table] { P.tables }
    private var fold = P()

    mutating func load(from database: Database, at position: UInt64, log: any RecordSource) throws {
        try fold.load(from: database, at: position, log: log)
    }

    mutating func apply(_ record: Record, log: any RecordSource) throws {
        if record.event.id == stop { throw RecordFault(position: record.position, reason: "is meant to stop it") }
        try fold.apply(record, log: log)
    }

    mutating func flush(into sink: any RowSink) throws { try fold.flush(into: sink) }
}

/// Nobody is told old numbers without a word: over all routes there are, with each read model stopped in turn.
@Suite struct StoppedProjectorTests {
    /// A daemon without sockets.
    private final class Rig {
        let folder: String
        let log: EventLog
        let index: KeyIndex
        let writer: LogWriter
        let models: ReadModels
        let tree: TreeKeeper
        let api: API
        let key: String

        init(_ projections: [any Projection.Type] = ReadModels.all) throws {
            folder = try Folder.makeTemporary(prefix: "api-test")
            for part in ["log", "index", "readmodels"] { try Folder.make(folder + "/" + part) }
            log = try EventLog.open(folder: folder + "/log", mode: .readWrite, mapBytes: 1 << 30, prezeroBytes: 0)
            index = try KeyIndex.open(folder: folder + "/index", logID: log.id)
            writer = try LogWriter(log: log, index: index, keepsTime: false) { fatalError($0) }
            writer.start()
            models = ReadModels(
                folder: folder + "/readmodels", source: EventLogSource(log), projections: projections)
            tree = try TreeKeeper(folder: folder + "/tiles", log: log)
            tree.start()
            let keys = KeyStore(folder: folder)
            key = try keys.add(
                name: Name(checked: "k"), scopes: Set(Scope.allCases), org: nil, defaultOrg: nil, lagoOwnerIsUser: false,
                expiresAt: nil, now: Timestamp(microseconds: WallClock.microseconds())
            ).text
            var limits = APILimits()
            limits.waitMillisecondsMax = 200
            api = API(
                writer: writer, log: log, models: models, tree: tree,
                logOrigin: "test", keys: keys, parked: try ParkedStore(folder: folder), limits: limits)
        }

        func end() async {
            await models.stop()
            writer.stop()
            tree.stop()
            try? index.close()
            try? Folder.remove(folder)
        }

        func post(_ fact: Fact, id: String) async throws {
            var submission = Submission(door: .native, key: nil)
            submission.add(Event(source: Name(checked: "test"), id: Name(checked: id), time: nil, fact: fact))
            let receipt = try await withCheckedContinuation { continuation in
                do throws(SubmitError) {
                    try writer.submit(submission) { continuation.resume(returning: $0) }
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }.get()
            guard case .stored? = receipt.verdicts.first else { throw Refused(text: "\(receipt.verdicts)") }
        }

        struct Refused: Error { var text: String }

        /// The answer; nil where the route takes its body as it comes.
        func ask(_ route: Route, _ query: String = "", headers: String = "") async throws -> (Response, JSONValue?)? {
            let body = route.method == .post ? "{}" : ""
            let text = "\(route.method.name) \(Rig.path(route))\(query) HTTP/1.1\r\nHost: x\r\n"
                + "Authorization: Bearer \(key)\r\nContent-Type: application/json\r\n\(headers)"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
            let bytes = Array(text.utf8)
            var parser = RequestParser()
            var consumed = 0
            guard case .head(let head) = parser.next(bytes.span, consumed: &consumed) else {
                throw Refused(text: "no head: \(text)")
            }
            let response: Response
            switch api.accept(head: head) {
            case .answer(let refusal): response = refusal
            case .stream: return nil
            case .body(let bytesMax, let handle):
                _ = parser.expectBody(bytesMax: bytesMax)
                guard case .request(let request) = parser.next(bytes.span, consumed: &consumed) else {
                    throw Refused(text: "no request: \(text)")
                }
                response = await withCheckedContinuation { continuation in
                    handle(request) { continuation.resume(returning: $0) }
                }
            }
            guard case .bytes(let answer) = response.body else { return (response, nil) }
            return (response, try? JSONValue.parse(answer))
        }

        /// With something in the place of each parameter that may be there.
        static func path(_ route: Route) -> String {
            let parts = route.pattern.map { part in
                switch part {
                case "{position}": "1"
                case "{org}": "o"
                case "{user}": "u"
                case "{id}": "b-2-1"
                case "{transaction_id}": "t"
                default: part
                }
            }
            return "/" + parts.joined(separator: "/")
        }
    }

    private static let call = Call(
        org: Name(checked: "o"), user: Name(checked: "u"), provider: Name(checked: "p"), model: Name(checked: "m"),
        operation: .chat, status: .success)

    private func fill(_ rig: Rig) async throws {
        try await rig.post(.call(Self.call), id: "a")
        let grant = Grant(owner: .org(Name(checked: "o")), credits: Money(nanos: 5), category: .paid)
        try await rig.post(.creditsGranted(grant), id: "g")
    }

    /// The routes that ask a read model, as they show it themselves: where none is open, they cannot answer.
    private func asking() async throws -> [Route] {
        let rig = try Rig()
        try await fill(rig)
        var found: [Route] = []
        for route in Route.table {
            guard let (response, body) = try await rig.ask(route) else { continue }
            if response.status == 503, body?["code"] == .string("not_caught_up") { found.append(route) }
        }
        await rig.end()
        return found
    }

    @Test func `a stopped projector answers 503 with its reason wherever it is asked`() async throws {
        let asking = try await asking()
        #expect(asking.count >= 19, "\(asking.map(\.path))")
        var stopped: [Route.Name: Set<String>] = [:]
        func stopping<P: Projection>(_ type: P.Type) -> any Projection.Type { Stopping<P>.self }
        for model in ReadModels.all {
            let rig = try Rig(ReadModels.all.map { $0.name == model.name ? stopping($0) : $0 })
            try await rig.models.start()
            try await fill(rig)
            try await rig.post(.call(Self.call), id: "stop")
            for other in ReadModels.all {
                await rig.models.wait(other.name, until: 3, timeoutMilliseconds: 60_000)
            }
            #expect(rig.models.status(model.name)?.state == .stopped("record 3: is meant to stop it"))
            #expect(rig.models.status(model.name)?.progress == 2)
            for route in Route.table where route.name != .readyz {
                guard let (response, body) = try await rig.ask(route) else { continue }
                let place = "\(model.name): \(route.method.name) \(route.path)"
                guard response.status == 503 else { continue }
                #expect(asking.contains { $0.name == route.name }, "\(place)")
                #expect(body?["code"] == .string("projector_stopped"), "\(place): \(String(describing: body))")
                let kind = response.headers.first { $0.name == "Content-Type" }?.value
                #expect(kind == "application/problem+json", "\(place)")
                guard case .string(let detail)? = body?["detail"] else {
                    Issue.record("\(place) says nothing")
                    continue
                }
                #expect(detail.contains("\(model.name) ") && detail.contains("record 3: is meant to stop it"))
                stopped[route.name, default: []].insert(model.name)
                // Of a position that it has reached it may be asked; of one that it has not, the reason is the same.
                for (query, headers) in [("?min_position=2", ""), ("", "X-Min-Position: 2\r\n")] {
                    let named = try await rig.ask(route, query, headers: headers)
                    #expect(named?.0.status != 503, "\(place): \(String(describing: named?.1))")
                }
                let beyond = try await rig.ask(route, headers: "X-Min-Position: 3\r\n")
                #expect(beyond?.0.status == 503 && beyond?.1?["code"] == .string("projector_stopped"), "\(place)")
            }
            await rig.end()
        }
        for route in asking {
            #expect(stopped[route.name]?.isEmpty == false, "\(route.path) answered beside every stopped read model")
        }
        #expect(stopped[.getOrg] == ["calls", "credits", "tokens"])
    }

    @Test func `a statement as of a position that was reached is given`() async throws {
        let rig = try Rig(ReadModels.all.map { $0.name == "credits" ? Stopping<Credits>.self : $0 })
        try await rig.models.start()
        try await fill(rig)
        try await rig.post(.call(Self.call), id: "stop")
        await rig.models.wait("credits", until: 3, timeoutMilliseconds: 60_000)
        let route = try #require(Route.table.first { $0.name == .getStatement })
        for format in ["json", "csv", "html"] {
            #expect(try await rig.ask(route, "?as_of=2&format=\(format)")?.0.status == 200)
            #expect(try await rig.ask(route, "?as_of=3&format=\(format)")?.0.status == 503)
            #expect(try await rig.ask(route, "?format=\(format)")?.0.status == 503)
        }
        await rig.end()
    }
}
