internal import Billing
internal import Engine
internal import EventLog
internal import Formats
internal import HTTP
internal import JSON
internal import Projections
internal import Records

/// May this call run, and the credits it needs set aside (contract 5).
extension API {
    func postAuthorization(_ request: Request, key: Key, answer: @escaping Answer) {
        let order: AuthorizationOrder
        do {
            order = try AuthorizationBody.parse(request.body, key: key)
        } catch {
            answer(error.response)
            return
        }
        if let org = key.org, order.request.org != org {
            answer(Problem(403, "org_forbidden", "the key is confined to the org \(org)", field: "org").response)
            return
        }
        let now = self.now()
        do {
            try writer.authorize(order) { result in
                switch result {
                case .failure(let error): answer(API.problem(of: error).response)
                case .success(.rejected(let rejection)):
                    answer(Problem(422, rejection.code, rejection.detail, field: rejection.field).response)
                case .success(.conflict(let position)):
                    answer(
                        Problem(
                            409, "conflict",
                            "this id was asked for before, for something else, at position \(position)",
                            id: order.request.id.text, field: "id", position: position
                        ).response)
                case .success(.ended(let position)):
                    answer(
                        Problem(
                            409, "authorization_ended",
                            "it was granted at position \(position) and has ended: nothing is held under this id, "
                                + "ask with another",
                            id: order.request.id.text, field: "id", position: position
                        ).response)
                case .success(.decided(let decision, let expiresAt, let position, let highWater)):
                    answer(
                        API.response(
                            to: order, decision, expiresAt: expiresAt, position: position, highWater: highWater,
                            now: now))
                }
            }
        } catch {
            answer(API.problem(of: error).response)
        }
    }

    private static func response(
        to order: AuthorizationOrder, _ decision: AuthorizationDecision, expiresAt: Timestamp?, position: UInt64?,
        highWater: UInt64, now: Timestamp
    ) -> Response {
        let refusal = decision.refusal
        let status = refusal.map { $0.rule == .calls ? 429 : 402 } ?? 200
        var writer = JSONWriter(reservingCapacity: 512)
        writer.beginObject()
        writer.member("allowed", bool: refusal == nil)
        writer.member("id", string: order.request.id.text)
        if let refusal { write(refusal, status: status, into: &writer) }
        writer.member(refusal == nil ? "held_credits" : "requested_credits", string: decision.requested.credits)
        writer.member("available_credits", string: decision.available.credits)
        writer.key("calls")
        writer.object { writer in
            writer.key("limits")
            writer.array(decision.calls) { write($1, into: &$0) }
        }
        if let expiresAt { writer.member("expires_at", string: expiresAt.rfc3339) }
        if let position { writer.member("position", integer: position) }
        writer.endObject()
        var headers = [
            ("Content-Type", refusal == nil ? "application/json" : Problem.contentType),
            ("X-Position", String(highWater)),
        ]
        headers += rateLimitHeaders(decision, now: now)
        return Response(status: status, headers: headers, body: writer.bytes + [0x0A])
    }

    private static func write(_ refusal: Refusal, status: Int, into writer: inout JSONWriter) {
        let name = refusal.owner.name
        let detail =
            switch refusal.rule {
            case .credits:
                "\(name) has \(refusal.available.credits) credits, \(refusal.requested.credits) are needed"
            case .allocation:
                "the user's allocation leaves \(refusal.available.credits) credits, "
                    + "\(refusal.requested.credits) are needed"
            case .calls:
                refusal.calls.map { calls in
                    "\(name) has used \(calls.used) of \(calls.limit) calls per \(calls.per.name), "
                        + "\(calls.running) are running"
                } ?? "no call is left"
            }
        writer.member("type", string: "urn:tallystick:problem:" + refusal.rule.name)
        writer.member("title", string: status == 402 ? "Payment Required" : "Too Many Requests")
        writer.member("status", integer: status)
        writer.member("code", string: refusal.rule.name)
        writer.member("detail", string: detail)
        writer.member(refusal.owner.kindKey, string: name.text)
    }

    private static func write(_ standing: CallsStanding, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member(standing.owner.kindKey, string: standing.owner.name.text)
            writer.member("per", string: standing.status.limit.per.name)
            writer.member("limit", integer: standing.status.limit.limit)
            writer.member("enforce", string: standing.status.limit.enforce.name)
            writer.member("used", integer: standing.status.used)
            writer.member("running", integer: standing.running)
            writer.member("remaining", integer: standing.status.remaining)
            if let time = standing.status.resetsAt {
                writer.member("resets_at", string: time.rfc3339)
            } else {
                writer.member(null: "resets_at")
            }
        }
    }

    /// Of the tightest limit: `X-RateLimit-*` and the `RateLimit` field of the IETF's draft. `Retry-After` where time
    /// alone makes room.
    private static func rateLimitHeaders(
        _ decision: AuthorizationDecision, now: Timestamp
    ) -> [(String, String)] {
        func seconds(until time: Timestamp) -> Int64 {
            max(0, (time.microseconds - now.microseconds + 999_999) / 1_000_000)
        }
        var headers: [(String, String)] = []
        if let status = decision.tightest?.status {
            headers.append(("X-RateLimit-Limit", String(status.limit.limit)))
            headers.append(("X-RateLimit-Remaining", String(status.remaining)))
            var field = "\"calls-per-\(status.limit.per.name)\";r=\(status.remaining)"
            if let resetsAt = status.resetsAt {
                headers.append(("X-RateLimit-Reset", String(resetsAt.microseconds / 1_000_000)))
                field += ";t=\(seconds(until: resetsAt))"
            }
            headers.append(("RateLimit", field))
        }
        if let retryAt = decision.retryAt { headers.append(("Retry-After", String(seconds(until: retryAt)))) }
        return headers
    }

    /// `DELETE /v1/authorizations/{id}?org=|user=`: what was held is free again. Saying it twice is saying it once.
    func deleteAuthorization(_ text: String, _ request: Request, key: Key, answer: @escaping Answer) {
        let question = Question(request, key: key, limits: limits, now: now())
        let hold: HoldKey
        do {
            try question.check("org", "user")
            let id = try question.id(text, "authorization")
            let org = try question["org"].map { try question.org($0) } ?? key.org
            let user = try question["user"].map { try question.id($0, "user") }
            guard let named = HoldKey(org: org ?? (user == nil ? key.defaultOrg : nil), user: user, id: id) else {
                throw ProblemError(
                    400, "missing_parameter", "whose authorization? org=... or user=...", field: "org")
            }
            hold = named
        } catch let error as ProblemError {
            answer(error.response)
            return
        } catch {
            preconditionFailure("\(error)")
        }
        do {
            try writer.release(hold, by: key.name) { result in
                switch result {
                case .failure(let error): answer(API.problem(of: error).response)
                case .success(.unknown):
                    answer(
                        Problem(
                            404, "unknown_authorization", "no authorization \(hold.id) is running",
                            id: hold.id.text
                        ).response)
                case .success(.refused):
                    answer(
                        Problem(
                            500, "release_refused",
                            "the release was not taken, which is a fault of the daemon's; the authorization runs on",
                            id: hold.id.text
                        ).response)
                case .success(.released(let position, let highWater)):
                    answer(
                        Answers.json(position: highWater) { writer in
                            writer.object { writer in
                                writer.member("id", string: hold.id.text)
                                writer.member("released", bool: true)
                                writer.member("position", integer: position)
                            }
                        })
                }
            }
        } catch {
            answer(API.problem(of: error).response)
        }
    }

    /// Denials of an org, oldest first: the log's own events, with the rule and the numbers that were seen.
    func listDenials(_ org: Name, _ question: Question) async throws -> Response {
        try question.check("after", "limit")
        let after = try question.integer("after", in: 0...UInt64(Int64.max)) ?? 0
        let limit = try question.limit()
        // The read model says where they are; the log itself tells of what it has not come to yet.
        let known = try await ask(DenialsQuery(org: org, after: after, limit: limit), question)
        let page = try await reader.page(
            of: known.answer, after: max(after, known.position), limit: limit, org: org, type: "authorization.denied",
            for: question.key.org)
        return page.response
    }
}

/// The body of `POST /v1/authorizations`.
enum AuthorizationBody {
    private static let ttlSecondsDefault: Int64 = 600

    static func parse(_ body: [UInt8], key: Key) throws(ProblemError) -> AuthorizationOrder {
        let document: JSONValue
        do {
            document = try JSONValue.parse(body)
        } catch {
            throw ProblemError(problem: .notJSON(error, in: body))
        }
        guard case .object(let members) = document else {
            throw ProblemError(422, "wrong_type", "the body must be an object")
        }
        let known: Set<String> = [
            "id", "org", "user", "provider", "model", "operation", "key_source", "input_tokens", "max_output_tokens",
            "credits", "attributes", "hold", "ttl_seconds",
        ]
        for member in members where !known.contains(member.name) {
            throw ProblemError(422, "unknown_field", "there is no member \(member.name) here", field: member.name)
        }
        guard let id = try name("id", document), let provider = try name("provider", document),
            let model = try name("model", document)
        else { throw ProblemError(422, "missing_field", "id, provider and model are needed", field: "id") }
        var org = try name("org", document)
        let user = try name("user", document)
        if org == nil && (user == nil || key.org != nil) { org = key.org ?? key.defaultOrg }
        let credits = try credits(document)
        let request = AuthorizationRequest(
            id: id, org: org, user: user, provider: provider, model: model,
            operation: try choice("operation", document, Call.Operation.allCases, \.name) ?? .chat,
            keySource: try choice("key_source", document, Call.KeySource.allCases, \.name) ?? .platform,
            inputTokens: try count("input_tokens", document, Usage.countMax),
            maxOutputTokens: try count("max_output_tokens", document, Usage.countMax), credits: credits,
            attributes: try attributes(document))
        let ttl = try count("ttl_seconds", document, AuthorizationOrder.ttlSecondsMax) ?? ttlSecondsDefault
        guard ttl >= 1 else { throw ProblemError(422, "out_of_range", "must be over 0", field: "ttl_seconds") }
        var holds = true
        switch document["hold"] {
        case nil, .null?: break
        case .bool(let flag)?: holds = flag
        default: throw ProblemError(422, "wrong_type", "is true or false", field: "hold")
        }
        return AuthorizationOrder(request: request, holds: holds, ttlSeconds: ttl, key: key.name)
    }

    private static func text(_ member: String, _ document: JSONValue) throws(ProblemError) -> String? {
        switch document[member] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        default: throw ProblemError(422, "wrong_type", "is a string", field: member)
        }
    }

    private static func name(_ member: String, _ document: JSONValue) throws(ProblemError) -> Name? {
        guard let text = try text(member, document) else { return nil }
        guard let name = Name(text) else {
            throw ProblemError(
                422, "invalid_id", "has 1 to 256 bytes of UTF-8 without control characters", field: member)
        }
        return name
    }

    private static func choice<Choice>(
        _ member: String, _ document: JSONValue, _ choices: [Choice], _ name: KeyPath<Choice, String>
    ) throws(ProblemError) -> Choice? {
        guard let text = try text(member, document) else { return nil }
        guard let choice = choices.first(where: { $0[keyPath: name] == text }) else {
            let names = choices.map { $0[keyPath: name] }.joined(separator: ", ")
            throw ProblemError(422, "invalid_value", "is one of \(names)", field: member)
        }
        return choice
    }

    private static func count(
        _ member: String, _ document: JSONValue, _ most: Int64
    ) throws(ProblemError) -> Int64? {
        switch document[member] {
        case nil, .null?: return nil
        case .number(let digits)?:
            guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                throw ProblemError(422, "wrong_type", "is a whole number without sign", field: member)
            }
            guard let number = Int64(digits), number <= most else {
                throw ProblemError(422, "out_of_range", "is at most \(most)", field: member)
            }
            return number
        default: throw ProblemError(422, "wrong_type", "is a number", field: member)
        }
    }

    private static func credits(_ document: JSONValue) throws(ProblemError) -> Money? {
        let digits: String
        switch document["credits"] {
        case nil, .null?: return nil
        case .number(let text)?, .string(let text)?: digits = text
        default: throw ProblemError(422, "wrong_type", "is an amount", field: "credits")
        }
        guard let decimal = try? Decimal(parsing: Array(digits.utf8), decimalsMax: 9),
            let credits = Money(credits: decimal), credits >= .zero
        else { throw ProblemError(422, "invalid_amount", "is an amount of credits, 0 or more", field: "credits") }
        return credits
    }

    private static func attributes(_ document: JSONValue) throws(ProblemError) -> [Attribute] {
        switch document["attributes"] {
        case nil, .null?: return []
        case .object(let members)?:
            guard members.count <= Call.attributesMax else {
                throw ProblemError(422, "too_many", "has at most \(Call.attributesMax) pairs", field: "attributes")
            }
            var attributes: [Attribute] = []
            for member in members {
                guard let name = Name(member.name), case .string(let value) = member.value,
                    value.utf8.count <= Attribute.valueBytesMax
                else {
                    throw ProblemError(
                        422, "invalid_value", "is an object of string pairs", field: "attributes.\(member.name)")
                }
                attributes.append(Attribute(name: name, value: value))
            }
            return attributes.sorted { $0.name < $1.name }
        default: throw ProblemError(422, "wrong_type", "is an object of string pairs", field: "attributes")
        }
    }
}
