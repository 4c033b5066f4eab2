public import HTTP

/// One row of the route table: everything that may be asked of the daemon.
public struct Route: Sendable {
    public enum Name: String, CaseIterable, Sendable {
        case postAuthorization, deleteAuthorization, listDenials
        case postEvents, listEvents, getEvent, getExplanation, postLiteLLM, listParked
        case postLagoEvent, postLagoBatch, getLagoEvent
        case getOrg, getOrgCredits, getUserCredits, getOrgUserCredits, getOrgCalls, getUserCalls
        case getOrgTokens, getTokens, getStatement, getUserStatement, listUnpriced, listAlerts, listFirings
        case listLagoBatches, getLagoBatch, getLagoBatchEvents, postLagoDelivery, closeLagoWindows
        case getCheckpoint, proveInclusion, proveConsistency
        case projections, healthz, readyz, metrics, openapi, dashboard
    }

    public var method: Method
    /// Segments; one in braces stands for any.
    public var pattern: [String]
    /// Nil: open to everyone.
    public var scope: Scope?
    public var name: Name

    /// "/v1/orgs/{org}/credits"
    public var path: String { "/" + pattern.joined(separator: "/") }

    init(_ method: Method, _ path: String, _ scope: Scope?, _ name: Name) {
        self.method = method
        self.pattern = path.split(separator: "/").map(String.init)
        self.scope = scope
        self.name = name
    }

    public static let table: [Route] = [
        Route(.post, "/v1/events", .ingest, .postEvents),
        Route(.get, "/v1/events", .read, .listEvents),
        Route(.get, "/v1/events/{position}", .read, .getEvent),
        Route(.get, "/v1/events/{position}/explanation", .read, .getExplanation),
        Route(.post, "/v1/ingest/litellm", .ingest, .postLiteLLM),
        Route(.get, "/v1/parked", .read, .listParked),
        Route(.post, "/api/v1/events", .ingest, .postLagoEvent),
        Route(.post, "/api/v1/events/batch", .ingest, .postLagoBatch),
        Route(.get, "/api/v1/events/{transaction_id}", .ingest, .getLagoEvent),
        Route(.post, "/v1/authorizations", .ingest, .postAuthorization),
        Route(.delete, "/v1/authorizations/{id}", .ingest, .deleteAuthorization),
        Route(.get, "/v1/orgs/{org}/denials", .read, .listDenials),
        Route(.get, "/v1/orgs/{org}", .read, .getOrg),
        Route(.get, "/v1/orgs/{org}/credits", .read, .getOrgCredits),
        Route(.get, "/v1/users/{user}/credits", .read, .getUserCredits),
        Route(.get, "/v1/orgs/{org}/users/{user}/credits", .read, .getOrgUserCredits),
        Route(.get, "/v1/orgs/{org}/calls", .read, .getOrgCalls),
        Route(.get, "/v1/users/{user}/calls", .read, .getUserCalls),
        Route(.get, "/v1/orgs/{org}/tokens", .read, .getOrgTokens),
        Route(.get, "/v1/tokens", .read, .getTokens),
        Route(.get, "/v1/orgs/{org}/statement", .read, .getStatement),
        Route(.get, "/v1/users/{user}/statement", .read, .getUserStatement),
        Route(.get, "/v1/alerts", .read, .listAlerts),
        Route(.get, "/v1/alerts/firings", .read, .listFirings),
        Route(.get, "/v1/unpriced", .read, .listUnpriced),
        Route(.get, "/v1/lago/batches", .lago, .listLagoBatches),
        Route(.get, "/v1/lago/batches/{id}", .lago, .getLagoBatch),
        Route(.get, "/v1/lago/batches/{id}/events", .lago, .getLagoBatchEvents),
        Route(.post, "/v1/lago/batches/{id}/delivery", .lago, .postLagoDelivery),
        Route(.post, "/v1/lago/windows/close", .lago, .closeLagoWindows),
        Route(.get, "/v1/projections", .read, .projections),
        Route(.get, "/v1/log/checkpoint", .read, .getCheckpoint),
        Route(.get, "/v1/log/proofs/inclusion", .read, .proveInclusion),
        Route(.get, "/v1/log/proofs/consistency", .read, .proveConsistency),
        Route(.get, "/healthz", nil, .healthz),
        Route(.get, "/readyz", nil, .readyz),
        Route(.get, "/metrics", nil, .metrics),
        Route(.get, "/openapi.json", nil, .openapi),
        Route(.get, "/", nil, .dashboard),
    ]

    enum Match {
        case route(Route, parameters: [String])
        /// The path exists with other methods: RFC 9110 section 15.5.6 wants them in `Allow`.
        case methodNotAllowed(allow: String)
        case none
    }

    /// The routes without braces, which are most requests, told by their bytes before anything is decoded.
    private static let fixed: [(path: [UInt8], route: Route)] = table
        .filter { route in !route.pattern.contains { $0.utf8.first == 0x7B } }
        .map { (Array($0.path.utf8), $0) }

    static func match(_ head: RequestHead) -> Match {
        let method = head.method == .head ? Method.get : head.method
        let path = head.pathBytes
        for (fixedPath, route) in fixed where route.method == method && path.elementsEqual(fixedPath) {
            return .route(route, parameters: [])
        }
        return match(head.method, head.pathSegments)
    }

    /// HEAD is answered as GET without a body (RFC 9110 section 9.3.2); the server drops it.
    static func match(_ method: Method, _ segments: [String]) -> Match {
        for route in table where route.method == method || (method == .head && route.method == .get) {
            if let parameters = route.parameters(in: segments) { return .route(route, parameters: parameters) }
        }
        guard !segments.isEmpty, let allow = allow(segments) else { return .none }
        return .methodNotAllowed(allow: allow)
    }

    /// The methods of a path, as in `Allow`; without segments, those of the whole server; nil when there is no such
    /// path.
    static func allow(_ segments: [String]) -> String? {
        if segments.isEmpty { return "GET, HEAD, POST, DELETE, OPTIONS" }
        var allowed: [String] = []
        for route in table where route.parameters(in: segments) != nil {
            for name in route.method == .get ? ["GET", "HEAD"] : [route.method.name] where !allowed.contains(name) {
                allowed.append(name)
            }
        }
        return allowed.isEmpty ? nil : (allowed + ["OPTIONS"]).joined(separator: ", ")
    }

    /// The segments that stand for the pattern's braces; nil when the path is another. None of them is empty.
    private func parameters(in segments: [String]) -> [String]? {
        guard pattern.count == segments.count else { return nil }
        var parameters: [String] = []
        for (pattern, segment) in zip(pattern, segments) {
            if pattern.utf8.first == 0x7B {
                if segment.isEmpty { return nil }
                parameters.append(segment)
            } else if !pattern.utf8.elementsEqual(segment.utf8) {
                return nil
            }
        }
        return parameters
    }

    /// Whether the path speaks Lago's dialect, errors included.
    var isLagoDialect: Bool {
        switch name {
        case .postLagoEvent, .postLagoBatch, .getLagoEvent: true
        default: false
        }
    }
}
