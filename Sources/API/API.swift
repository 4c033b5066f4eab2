public import Audit
internal import Billing
public import Engine
public import EventLog
internal import Formats
public import HTTP
internal import JSON
public import Platform
public import Projections
internal import Synchronization

/// Requests to commands and queries, results to responses: what the daemon says to the outside (contract 4).
///
/// `accept` and what it gives are called on the server's loop thread and never block: ingest goes to the writer,
/// questions to a task that waits for the read models.
public final class API: Sendable {
    public typealias Answer = @Sendable (Response) -> Void
    /// Takes a submission to the log, as `LogWriter.submit` does, but refuses none.
    public typealias Append = @Sendable (Submission, @escaping LogWriter.Completion) -> Void

    /// What is to happen with a request whose head has come in.
    public enum HeadVerdict: Sendable {
        /// The whole request goes to the closure, which answers exactly once, from any thread.
        case body(bytesMax: Int, @Sendable (Request, @escaping Answer) -> Void)
        /// The body goes to a sink while it comes in; it answers by the first closure and is woken by the second.
        case stream(bytesMax: Int, @Sendable (@escaping Answer, @escaping @Sendable () -> Void) -> any BodySink)
        case answer(Response)
    }

    let writer: LogWriter
    let log: EventLog
    let models: ReadModels
    let tree: TreeKeeper
    /// What checkpoints call this log.
    let logOrigin: String
    let keys: KeyStore
    let parked: ParkedStore
    let reader: LogReader
    let asOf: AsOf
    let explainer: Explainer
    let limits: APILimits
    let clock: @Sendable () -> Int64
    /// Lines for `/metrics` that only the program knows (the server's figures).
    let extraMetrics: @Sendable () -> String
    private let eventsPerRequestHits = Atomic<UInt64>(0)
    private let append: Append?
    private let keyRates: KeyRates
    private let keyRateHits = Atomic<UInt64>(0)
    private let litellmItems = Lock(LiteLLMTally())

    /// `append`: what stands in for the writer when the server is measured without a log.
    public init(
        writer: LogWriter, log: EventLog, models: ReadModels, tree: TreeKeeper, logOrigin: String, keys: KeyStore,
        parked: ParkedStore, limits: APILimits = APILimits(), append: Append? = nil,
        clock: @escaping @Sendable () -> Int64 = WallClock.microseconds,
        extraMetrics: @escaping @Sendable () -> String = { "" }
    ) {
        self.writer = writer
        self.log = log
        self.models = models
        self.tree = tree
        self.logOrigin = logOrigin
        self.keys = keys
        self.parked = parked
        reader = LogReader(log: log)
        asOf = AsOf(log: EventLogSource(log))
        explainer = Explainer(log: EventLogSource(log))
        self.limits = limits
        self.clock = clock
        self.extraMetrics = extraMetrics
        keyRates = KeyRates(perSecond: limits.keyRequestsPerSecond, burst: limits.keyRequestsBurst)
        self.append = append
    }

    /// Of all callbacks of LiteLLM since the start.
    var litellmTally: LiteLLMTally { litellmItems.withLock { $0 } }

    func count(_ tally: LiteLLMTally) { litellmItems.withLock { $0 += tally } }

    /// How often limits of this module were hit, by the words of `/metrics`.
    public var limitHits: [(String, UInt64)] {
        [
            ("events_per_request", eventsPerRequestHits.load(ordering: .relaxed)),
            ("key_rate", keyRateHits.load(ordering: .relaxed)),
        ]
    }

    @Sendable func now() -> Timestamp { Timestamp(microseconds: clock()) }

    /// Judges a request by its head: unknown paths, methods and keys are refused before a byte of the body is read.
    public func accept(head: RequestHead) -> HeadVerdict {
        if head.method == .options { return .answer(options(head)) }
        switch resolve(head) {
        case .failure(let refusal):
            return .answer(refusal.response)
        case .success(let resolved):
            if let problem = rateRefusal(resolved.key) ?? Negotiation.refusal(head, resolved.route)
                ?? parameterRefusal(head, resolved.route)
            {
                return .answer(problem.response)
            }
            if resolved.route.name == .postLiteLLM { return litellmIntake(head, resolved) }
            let acceptedAt = SteadyClock.nanoseconds()
            return .body(bytesMax: bodyBytesMax(of: resolved.route)) { [self] request, answer in
                handle(request, resolved, acceptedAt: acceptedAt, answer: answer)
            }
        }
    }

    /// Other limits of what one key may ask from now on: `keyRequestsPerSecond` and `keyRequestsBurst`.
    public func limitKeys(perSecond: Int, burst: Int) { keyRates.change(perSecond: perSecond, burst: burst) }

    private func rateRefusal(_ key: Key?) -> Problem? {
        guard let key, let problem = keyRates.refusal(key.name, now: SteadyClock.nanoseconds()) else {
            return nil
        }
        keyRateHits.wrappingAdd(1, ordering: .relaxed)
        return problem
    }

    /// RFC 9110 section 9.3.7: what may be asked of a path, or with `*` of the server; open to everyone, as the
    /// description is.
    private func options(_ head: RequestHead) -> Response {
        guard let allow = Route.allow(head.path == "*" ? [] : head.pathSegments) else { return API.unknownPath }
        return Response(status: 204, headers: [("Allow", allow)])
    }

    private static let unknownPath = Problem(
        404, "unknown_path", "there is nothing at this path; see /openapi.json"
    ).response

    /// Commands take no parameters; questions look at theirs themselves. The compatible doors and the open routes let
    /// them pass: what they are for does not hang on any.
    private func parameterRefusal(_ head: RequestHead, _ route: Route) -> Problem? {
        switch route.name {
        case .postEvents, .postAuthorization, .closeLagoWindows:
            guard let name = head.query.first?.name else { return nil }
            return Problem(400, "unknown_parameter", "there is no parameter \(name) here", field: name)
        default:
            return nil
        }
    }

    /// A request that is whole so soon after its head came in with it: what was found then still holds.
    private static let acceptedNanosecondsMax: UInt64 = 1_000_000

    private func handle(_ request: Request, _ accepted: Resolved, acceptedAt: UInt64, answer: @escaping Answer) {
        if SteadyClock.nanoseconds() - acceptedAt <= API.acceptedNanosecondsMax {
            dispatch(request, accepted, answer: answer)
            return
        }
        // The key is looked up again: it may have been revoked while the body came in.
        switch resolve(request.head) {
        case .failure(let refusal):
            answer(refusal.response)
        case .success(let resolved):
            dispatch(request, resolved, answer: answer)
        }
    }

    struct Resolved: Sendable {
        var route: Route
        var parameters: [String]
        /// Nil only for routes without a scope.
        var key: Key?
    }

    /// A refusal in the dialect of the path.
    struct Refused: Error {
        var response: Response
    }

    func resolve(_ head: RequestHead) -> Result<Resolved, Refused> {
        let route: Route
        let parameters: [String]
        switch Route.match(head) {
        case .none:
            return .failure(Refused(response: API.unknownPath))
        case .methodNotAllowed(let allow):
            return .failure(
                Refused(
                    response: Problem(
                        405, "method_not_allowed", "this path takes \(allow)", headers: [("Allow", allow)]
                    ).response))
        case .route(let match, let values):
            route = match
            parameters = values
        }
        guard let scope = route.scope else {
            return .success(Resolved(route: route, parameters: parameters, key: nil))
        }
        guard let presented = API.presentedKey(head), let key = keys.key(for: presented, at: now()) else {
            let response =
                route.isLagoDialect
                ? lagoError(401)
                : Problem(
                    401, "unauthorized",
                    "a key is needed: Authorization: Bearer KEY, or X-Service-Key: KEY. This one is missing, wrong, "
                        + "expired or revoked",
                    headers: [("WWW-Authenticate", "Bearer realm=\"tallystick\"")]
                ).response
            return .failure(Refused(response: response))
        }
        guard key.allows(scope) else {
            let response =
                route.isLagoDialect
                ? lagoError(403)
                : Problem(403, "scope_missing", "the key \(key.name) lacks the scope \(scope.rawValue)").response
            return .failure(Refused(response: response))
        }
        return .success(Resolved(route: route, parameters: parameters, key: key))
    }

    /// `Authorization: Bearer KEY` (RFC 6750 section 2.1, scheme in any case) or `X-Service-Key: KEY`.
    private static func presentedKey(_ head: RequestHead) -> ArraySlice<UInt8>? {
        if let value = head.headerBytes("Authorization") {
            let scheme = Array("bearer ".utf8)
            guard value.count > scheme.count,
                zip(value, scheme).allSatisfy({ $0.0 | 0x20 == $0.1 || ($0.0 == 0x20 && $0.1 == 0x20) })
            else { return nil }
            return value.dropFirst(scheme.count).drop { $0 == 0x20 }
        }
        return head.headerBytes("X-Service-Key")
    }

    private func bodyBytesMax(of route: Route) -> Int {
        switch route.name {
        case .postEvents: limits.eventsBodyBytesMax
        case .postLagoEvent, .postLagoBatch: limits.lagoBodyBytesMax
        default: limits.smallBodyBytesMax
        }
    }

    private func dispatch(_ request: Request, _ resolved: Resolved, answer: @escaping Answer) {
        guard let key = resolved.key else {
            openRoute(resolved.route, answer: answer)
            return
        }
        switch resolved.route.name {
        case .postEvents: postEvents(request, key: key, answer: answer)
        case .postLiteLLM: preconditionFailure("a callback is taken by its sink")
        case .postAuthorization: postAuthorization(request, key: key, answer: answer)
        case .deleteAuthorization:
            deleteAuthorization(resolved.parameters[0], request, key: key, answer: answer)
        case .postLagoEvent: postLago(request, batch: false, key: key, answer: answer)
        case .postLagoBatch: postLago(request, batch: true, key: key, answer: answer)
        case .closeLagoWindows: closeLagoWindows(key: key, answer: answer)
        default:
            Task { answer(await query(request, resolved, key: key)) }
        }
    }

    private func openRoute(_ route: Route, answer: @escaping Answer) {
        switch route.name {
        case .healthz: answer(Answers.json { $0.object { $0.member("status", string: "alive") } })
        case .openapi: answer(openapi())
        case .dashboard: answer(Dashboard.response)
        case .readyz: Task { answer(await readyz()) }
        case .metrics: Task { answer(await metrics()) }
        default: preconditionFailure("\(route.path) needs a scope")
        }
    }

    /// One query: its problem, if it has one, becomes the response.
    private func query(_ request: Request, _ resolved: Resolved, key: Key) async -> Response {
        do {
            return try await answerQuery(request, resolved, key: key)
        } catch let error as ProblemError {
            return error.problem.response
        } catch {
            return Problem(500, "internal", "the question could not be answered: \(error)").response
        }
    }

    // MARK: Commands

    /// Hands a submission to the writer; an empty one is answered at once.
    func submit(_ submission: Submission, completion: @escaping @Sendable (Result<Receipt, ProblemError>) -> Void) {
        guard !submission.isEmpty else {
            completion(.success(Receipt(verdicts: [], recordedAt: now(), highWater: log.highWater)))
            return
        }
        let answer: LogWriter.Completion = { result in
            completion(result.mapError { ProblemError(problem: API.problem(of: $0)) })
        }
        if let append { return append(submission, answer) }
        do {
            try writer.submit(submission, completion: answer)
        } catch {
            completion(.failure(ProblemError(problem: API.problem(of: error))))
        }
    }

    static func problem(of error: SubmitError) -> Problem {
        switch error {
        case .overloaded: .overloaded
        case .full: .full
        case .stopping: .stopping
        }
    }

    func bodyProblem(_ error: BodyError) -> Problem {
        let status = error.code.hasPrefix("too_many") ? 413 : 400
        if status == 413 { eventsPerRequestHits.wrappingAdd(1, ordering: .relaxed) }
        var problem = Problem(status, error.code, error.detail, field: error.field)
        problem.offset = error.offset
        return problem
    }
}

/// A problem on its way out of a query.
struct ProblemError: Error, Sendable {
    var problem: Problem
    var response: Response { problem.response }

    init(problem: Problem) {
        self.problem = problem
    }

    init(_ status: Int, _ code: String, _ detail: String, field: String? = nil) {
        problem = Problem(status, code, detail, field: field)
    }
}

extension Request {
    /// The sender says that the body is NDJSON: then one line is a batch of one.
    var isNDJSON: Bool {
        guard let bytes = head.headerBytes("Content-Type"), !bytes.elementsEqual("application/json".utf8),
            let type = header("Content-Type")?.split(separator: ";").first
        else { return false }
        let name = type.filter { $0 != " " }.lowercased()
        return name == "application/x-ndjson" || name == "application/ndjson" || name == "application/jsonl"
    }

    /// RFC 7240 section 4.2: `Prefer: return=representation`.
    var prefersRepresentation: Bool {
        if head.headerBytes("Prefer") == nil { return false }
        return head.headerValues("Prefer").contains { value in
            value.split(separator: ",").contains { part in
                part.filter { $0 != " " && $0 != "\"" }.lowercased() == "return=representation"
            }
        }
    }
}
