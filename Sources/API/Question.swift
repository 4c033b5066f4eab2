internal import Billing
internal import Glibc
internal import HTTP
internal import JSON
internal import Projections

/// The questions: which route answers what, and how their parameters are read.
extension API {
    func answerQuery(_ request: Request, _ resolved: Resolved, key: Key) async throws -> Response {
        let query = Question(request, key: key, limits: limits, now: now())
        let parameters = resolved.parameters
        switch resolved.route.name {
        case .listEvents: return try await listEvents(query)
        case .getEvent: return try await getEvent(parameters[0], query)
        case .getExplanation: return try await getExplanation(parameters[0], query)
        case .listParked: return try await listParked(query)
        case .listDenials: return try await listDenials(try query.org(parameters[0]), query)
        case .getLagoEvent: return try await getLagoEvent(parameters[0], query)
        case .getOrg: return try await getOrg(try query.org(parameters[0]), query)
        case .getOrgCredits: return try await getCredits(.org(try query.org(parameters[0])), query)
        case .getUserCredits: return try await getCredits(.user(try query.user(parameters[0])), query)
        case .getOrgUserCredits:
            return try await getCredits(
                org: try query.org(parameters[0]), user: try query.id(parameters[1], "user"), query)
        case .getOrgCalls: return try await getCalls(.org(try query.org(parameters[0])), query)
        case .getUserCalls: return try await getCalls(.user(try query.user(parameters[0])), query)
        case .getOrgTokens: return try await getTokens(org: try query.org(parameters[0]), query)
        case .getTokens: return try await getTokens(org: key.org, query)
        case .getStatement: return try await getStatement(.org(try query.org(parameters[0])), query)
        case .getUserStatement: return try await getStatement(.user(try query.user(parameters[0])), query)
        case .listAlerts: return try await listAlerts(query)
        case .listFirings: return try await listFirings(query)
        case .listUnpriced: return try await listUnpriced(query)
        case .listLagoBatches: return try await listLagoBatches(query)
        case .getLagoBatch: return try await getLagoBatch(parameters[0], query)
        case .getLagoBatchEvents: return try await getLagoBatchEvents(parameters[0], query)
        case .postLagoDelivery: return try await postLagoDelivery(parameters[0], request, query)
        case .projections: return try await projections(query)
        case .getCheckpoint: return try await getCheckpoint(query)
        case .proveInclusion: return try await proveInclusion(query)
        case .proveConsistency: return try await proveConsistency(query)
        case .postAuthorization, .deleteAuthorization, .postEvents, .postLiteLLM, .postLagoEvent, .postLagoBatch,
            .closeLagoWindows, .healthz, .readyz, .metrics, .openapi, .dashboard:
            preconditionFailure("\(resolved.route.path) is not a question")
        }
    }
}

/// The parameters of one question, read strictly: an unknown name is a mistake, and in billing a mistake is money.
struct Question {
    let key: Key
    let now: Timestamp
    private let limits: APILimits
    private let pairs: [(name: String, value: String)]
    private let minPositionHeader: String?

    init(_ request: Request, key: Key, limits: APILimits, now: Timestamp) {
        self.key = key
        self.limits = limits
        self.now = now
        pairs = request.query
        minPositionHeader = request.header("X-Min-Position")
    }

    /// Refuses names that the question does not know, and names given twice.
    func check(_ known: String...) throws(ProblemError) {
        var seen: Set<String> = []
        for (name, _) in pairs {
            guard name == "min_position" || known.contains(name) else {
                throw ProblemError(400, "unknown_parameter", "there is no parameter \(name) here", field: name)
            }
            guard seen.insert(name).inserted else {
                throw ProblemError(400, "duplicate_parameter", "\(name) is given twice", field: name)
            }
        }
    }

    subscript(name: String) -> String? {
        pairs.first { $0.name == name }?.value
    }

    func integer(_ name: String, in range: ClosedRange<UInt64>) throws(ProblemError) -> UInt64? {
        guard let text = self[name] else { return nil }
        return try Question.integer(text, name, in: range)
    }

    private static func integer(
        _ text: String, _ name: String, in range: ClosedRange<UInt64>
    ) throws(ProblemError) -> UInt64 {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text),
            range.contains(number)
        else {
            throw ProblemError(
                400, "invalid_parameter",
                "\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)", field: name)
        }
        return number
    }

    /// A position in a path. What cannot be one is not found.
    static func position(_ text: String) throws(ProblemError) -> UInt64 {
        do {
            return try integer(text, "position", in: 1...UInt64(Int64.max))
        } catch {
            throw ProblemError(404, "not_found", "positions are whole numbers from 1")
        }
    }

    /// What is asked of the past.
    struct PastAsked {
        /// Up to where the log is known.
        var moment: AsOf.Moment
        /// Facts of later times do not count.
        var effective: Timestamp?
    }

    /// `?as_of=` and `?effective=`; nil when the present is asked about.
    func past(highWater: UInt64) throws(ProblemError) -> PastAsked? {
        var effective: Timestamp?
        if let text = self["effective"] {
            guard let time = Timestamp(rfc3339: text), time <= now else {
                throw ProblemError(
                    400, "invalid_parameter", "effective is an RFC 3339 time that has been", field: "effective")
            }
            effective = time
        }
        let moment = try asOf(highWater: highWater)
        guard moment != nil || effective != nil else { return nil }
        return PastAsked(moment: moment ?? .now, effective: effective)
    }

    /// `?as_of=`: a position of the log, or an RFC 3339 time that has been.
    func asOf(highWater: UInt64) throws(ProblemError) -> AsOf.Moment? {
        guard let text = self["as_of"] else { return nil }
        if let time = Timestamp(rfc3339: text) {
            guard time <= now else {
                throw ProblemError(400, "invalid_parameter", "as_of is a time that has not come yet", field: "as_of")
            }
            return .time(time)
        }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let position = UInt64(text) else {
            throw ProblemError(
                400, "invalid_parameter", "as_of is a position or an RFC 3339 time", field: "as_of")
        }
        guard position <= highWater else {
            throw ProblemError(
                400, "invalid_parameter", "the log ends at position \(highWater)", field: "as_of")
        }
        return .position(position)
    }

    func limit() throws(ProblemError) -> Int {
        Int(try integer("limit", in: 1...UInt64(limits.pageMax)) ?? UInt64(limits.pageDefault))
    }

    /// The position that the asker must see at least: `?min_position=`, else `X-Min-Position`.
    func minPosition() throws(ProblemError) -> UInt64 {
        if let position = try integer("min_position", in: 0...UInt64(Int64.max)) { return position }
        guard let text = minPositionHeader else { return 0 }
        return try Question.integer(text, "X-Min-Position", in: 0...UInt64(Int64.max))
    }

    func id(_ text: String, _ what: String) throws(ProblemError) -> Name {
        guard let name = Name(text) else {
            throw ProblemError(404, "not_found", "there is no such \(what)")
        }
        return name
    }

    /// An org that this key may ask about. For any other the answer is as for one that does not exist.
    func org(_ text: String) throws(ProblemError) -> Name {
        let org = try id(text, "org")
        if let confined = key.org, confined != org { throw Question.unknown("org", org) }
        return org
    }

    /// Users are not of one org: a confined key may not ask about them but within its org.
    func user(_ text: String) throws(ProblemError) -> Name {
        let user = try id(text, "user")
        if key.org != nil { throw Question.unknown("user", user) }
        return user
    }

    static func unknown(_ what: String, _ name: Name) -> ProblemError {
        ProblemError(404, "not_found", "nothing is known of the \(what) \(name)")
    }
}
