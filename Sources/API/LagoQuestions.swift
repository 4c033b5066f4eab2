internal import Billing
internal import Engine
internal import EventLog
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON
internal import Projections
internal import Records

/// What the Lago sync worker asks and says (contract 6).
extension API {
    func getLagoEvent(_ transactionID: String, _ question: Question) async throws -> Response {
        // The sender has just posted it: wait for what is durable now.
        await models.wait("lago", until: log.highWater, timeoutMilliseconds: limits.waitMillisecondsMax)
        guard let id = EventID(transactionID) else { return API.response(.notFound) }
        let org = try question["org"].map { try question.org($0) } ?? question.key.org
        let seen = try await ask(LagoReceivedQuery(transactionID: id.key.text, org: org), question)
        var found: [(record: Record, item: LagoItem)] = []
        for position in seen.answer {
            guard let record = try await reader.record(at: position)?.record,
                org == nil || record.event.fact.org == org, let item = LagoItem(stored: record.event)
            else { continue }
            found.append((record, item))
        }
        // As a correction finds its call: an org's own, else the one among everybody's keys, else the only one.
        let own = found.first { org != nil && $0.record.space.org == org }
        guard let one = own ?? found.first(where: { $0.record.space == .common }) ?? found.first else {
            return API.response(.notFound)
        }
        let (record, item) = one
        let isAmbiguous = org == nil && record.space != .common
            && found.contains { $0.record.position != record.position && $0.record.event.source == record.event.source }
        if isAmbiguous {
            throw ProblemError(
                409, "ambiguous_call", "several orgs have an event with this transaction_id: say whose with org",
                field: "transaction_id")
        }
        return API.response(.stored(item, recordedAt: record.recordedAt), position: seen.position)
    }

    func listLagoBatches(_ question: Question) async throws -> Response {
        try question.check("state", "after", "limit")
        try refuseConfined(question)
        var state: LagoBatch.State?
        if let text = question["state"] {
            guard let given = LagoBatch.State.allCases.first(where: { $0.name == text }) else {
                throw ProblemError(
                    400, "invalid_parameter", "state is pending, delivered or failed", field: "state")
            }
            state = given
        }
        var after: LagoBatchID?
        if let text = question["after"] {
            guard let id = LagoBatchID(text) else {
                throw ProblemError(400, "invalid_parameter", "after is the id of a batch", field: "after")
            }
            after = id
        }
        let limit = try question.limit()
        let seen = try await ask(LagoBatchesQuery(state: state, after: after, limit: limit), question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                writer.key("batches")
                writer.array(seen.answer) { writer, batch in writer.object { API.write(batch, into: &$0) } }
                if seen.answer.count == limit, let last = seen.answer.last {
                    writer.member("next", string: last.id.text)
                } else {
                    writer.member(null: "next")
                }
            }
        }
    }

    func getLagoBatch(_ text: String, _ question: Question) async throws -> Response {
        try question.check()
        let seen = try await lagoBatch(text, question)
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                API.write(seen.answer.batch, into: &writer)
                writer.key("content")
                writer.array(seen.answer.lines) { API.write($1, into: &$0) }
            }
        }
    }

    /// Exactly the body for Lago's batch endpoint; the same bytes every time.
    func getLagoBatchEvents(_ text: String, _ question: Question) async throws -> Response {
        try question.check()
        let seen = try await lagoBatch(text, question)
        return Response(
            status: 200,
            headers: [("Content-Type", "application/json"), ("X-Position", String(seen.position))],
            body: seen.answer.body)
    }

    private func lagoBatch(_ text: String, _ question: Question) async throws -> Seen<LagoBatchContent> {
        try refuseConfined(question)
        guard let id = LagoBatchID(text) else { throw ProblemError(404, "not_found", "there is no batch \(text)") }
        let seen = try await ask(LagoBatchQuery(id: id), question)
        guard let content = seen.answer else { throw ProblemError(404, "not_found", "there is no batch \(text)") }
        return Seen(position: seen.position, answer: content)
    }

    /// Batches hold lines of every org: a key confined to one may not see them.
    private func refuseConfined(_ question: Question) throws(ProblemError) {
        if question.key.org != nil {
            throw ProblemError(404, "not_found", "batches are not told to a key that is confined to an org")
        }
    }

    /// `{"outcome":"delivered"|"failed","detail"?}`: an event, once for each thing said.
    func postLagoDelivery(_ text: String, _ request: Request, _ question: Question) async throws -> Response {
        try question.check()
        let batch = try await lagoBatch(text, question).answer.batch
        let delivery = try API.delivery(in: request.body)
        switch (batch.state, delivery.isDelivered) {
        case (.delivered, true):
            // Said before: nothing to write.
            return Answers.json(position: log.highWater) { writer in
                writer.object { writer in
                    writer.member("batch", string: batch.id.text)
                    writer.member("state", string: "delivered")
                    writer.member("position", integer: log.highWater)
                }
            }
        case (.delivered, false):
            throw ProblemError(409, "already_delivered", "the batch \(text) was delivered; it cannot fail any more")
        default:
            break
        }
        guard let name = Name(batch.id.text) else { preconditionFailure("batch id \(batch.id.text)") }
        let fact = LagoDelivery(batch: name, detail: delivery.detail)
        // The key holds what was said, so that the same word twice is one event.
        let said = SHA256.hash(Array((delivery.detail ?? "").utf8)).hex.prefix(16)
        let id = Name(checked: "delivery/\(batch.id.text)/\(delivery.isDelivered ? "delivered" : "failed/\(said)")")
        var submission = Submission(door: .daemon, key: question.key.name)
        submission.add(
            Event(
                source: Name(checked: "tallystick"), id: id, time: nil,
                fact: delivery.isDelivered ? .lagoBatchDelivered(fact) : .lagoBatchFailed(fact)))
        let receipt = try await withCheckedContinuation { continuation in
            submit(submission) { continuation.resume(returning: $0) }
        }.get()
        let position: UInt64
        switch receipt.verdicts[0] {
        case .stored(let stored, _): position = stored
        // Among the daemon's own keys: the same outcome of the same batch was said there, at most in other words.
        case .duplicate(let earlier), .conflict(let earlier): position = earlier
        case .rejected(let rejection):
            throw ProblemError(422, rejection.code, rejection.detail, field: rejection.field)
        }
        return Answers.json(position: receipt.highWater) { writer in
            writer.object { writer in
                writer.member("batch", string: batch.id.text)
                writer.member("state", string: delivery.isDelivered ? "delivered" : "failed")
                writer.member("position", integer: position)
            }
        }
    }

    private static let detailBytesMax = 1024

    private static func delivery(in body: [UInt8]) throws -> (isDelivered: Bool, detail: String?) {
        let document: JSONValue
        do {
            document = try JSONValue.parse(body)
        } catch {
            throw ProblemError(problem: .notJSON(error, in: body))
        }
        guard case .object(let members) = document else {
            throw ProblemError(422, "wrong_type", "the body must be an object")
        }
        var outcome: Bool?
        var detail: String?
        for member in members {
            switch (member.name, member.value) {
            case ("outcome", .string("delivered")): outcome = true
            case ("outcome", .string("failed")): outcome = false
            case ("outcome", _):
                throw ProblemError(422, "invalid_value", "outcome is delivered or failed", field: "outcome")
            case ("detail", .string(let text)):
                guard text.utf8.count <= detailBytesMax else {
                    throw ProblemError(
                        422, "out_of_range", "detail has at most \(detailBytesMax) bytes", field: "detail")
                }
                detail = text
            case ("detail", .null): break
            case ("detail", _): throw ProblemError(422, "wrong_type", "detail is a string", field: "detail")
            default:
                throw ProblemError(
                    422, "unknown_field", "there is no member \(member.name) here", field: member.name)
            }
        }
        guard let outcome else { throw ProblemError(422, "missing_field", "outcome is needed", field: "outcome") }
        return (outcome, detail)
    }

    /// Closes every window that has ended, now instead of at the next boundary.
    func closeLagoWindows(key: Key, answer: @escaping Answer) {
        guard key.org == nil else {
            answer(Problem(404, "not_found", "windows are not told to a key that is confined to an org").response)
            return
        }
        do {
            try writer.closeLagoWindows { result in
                switch result {
                case .failure(let error):
                    answer(API.problem(of: error).response)
                case .success(let position):
                    answer(
                        Answers.json(position: position) { writer in
                            writer.object { $0.member("position", integer: position) }
                        })
                }
            }
        } catch {
            answer(API.problem(of: error).response)
        }
    }

    private static func write(_ batch: LagoBatch, into writer: inout JSONWriter) {
        writer.member("id", string: batch.id.text)
        writer.key("window")
        writer.object { writer in
            writer.member("start", string: Timestamp(microseconds: batch.windowStart * 1_000_000).rfc3339)
            let end = batch.windowStart + batch.windowSeconds
            writer.member("end", string: Timestamp(microseconds: end * 1_000_000).rfc3339)
        }
        writer.member("first_position", integer: batch.firstPosition)
        writer.member("last_position", integer: batch.lastPosition)
        writer.member("lines", integer: batch.lines)
        writer.member("events", integer: batch.events)
        writer.member("state", string: batch.state.name)
        if let detail = batch.detail { writer.member("detail", string: detail) }
    }

    private static func write(_ line: LagoLine, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("id", string: line.id)
            writer.member("external_subscription_id", string: line.key.subscription.text)
            writer.member("provider", string: line.key.provider.text)
            writer.member("model", string: line.key.model.text)
            writer.member("operation", string: line.key.operation.name)
            writer.member("calls", integer: line.sums.calls)
            writer.member("input_tokens", integer: line.sums.inputTokens)
            writer.member("output_tokens", integer: line.sums.outputTokens)
            writer.member("cache_read_tokens", integer: line.sums.cacheReadTokens)
            writer.member("cache_write_tokens", integer: line.sums.cacheWriteTokens)
            writer.member("reasoning_tokens", integer: line.sums.reasoningTokens)
            writer.member("credits", string: line.sums.charge.credits)
            writer.member("due_usd", string: line.sums.due.dollars)
            if line.sums.creditDue > .zero {
                writer.member("credit_due_usd", string: line.sums.creditDue.dollars)
            }
            writer.member("first_position", integer: line.sums.firstPosition)
            writer.member("last_position", integer: line.sums.lastPosition)
            writer.member("last_call_at", string: line.sums.lastAt.rfc3339)
        }
    }
}
