internal import Billing
internal import Engine
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON

/// `POST /v1/events`: one event, an array, or NDJSON (contract 4).
extension API {
    func postEvents(_ request: Request, key: Key, answer: @escaping Answer) {
        let batch: NativeFormat.Parsed
        do {
            batch = try NativeFormat.parse(
                body: request.body, eventsMax: limits.eventsPerRequestMax, defaultOrg: key.defaultOrg ?? key.org,
                isNDJSON: request.isNDJSON)
        } catch {
            answer(bodyProblem(error).response)
            return
        }
        var submission = Submission(
            door: .native, key: key.name, confinedTo: key.org, reservingEvents: batch.items.count)
        // What happened to each item: a place in the submission, or an error found before it.
        var outcomes: [ItemOutcome] = []
        outcomes.reserveCapacity(batch.items.count)
        for item in batch.items {
            switch item.result {
            case .success(let event):
                if let error = forbidden(event, for: key) {
                    outcomes.append(.refused(id: item.id, error))
                } else {
                    outcomes.append(.submitted(id: event.statedID))
                    submission.add(event)
                }
            case .failure(let error):
                outcomes.append(.refused(id: item.id, error))
            }
        }
        let form = batch.form
        let (judged, wantsReceipts, reader) = (outcomes, request.prefersRepresentation, reader)
        submit(submission) { result in
            switch result {
            case .failure(let problem):
                answer(problem.response)
            case .success(let receipt):
                // What a duplicate is of was stored earlier: its hash is looked up.
                let stored = wantsReceipts ? receipt.verdicts.compactMap(\.duplicateOf) : []
                guard !stored.isEmpty else {
                    answer(API.eventsAnswer(judged, receipt, single: form == .single, receipts: wantsReceipts))
                    return
                }
                Task {
                    do {
                        let hashes = try await reader.hashes(at: stored)
                        answer(
                            API.eventsAnswer(judged, receipt, hashes, single: form == .single, receipts: wantsReceipts))
                    } catch {
                        answer(Problem(500, "internal", "a stored event could not be read: \(error)").response)
                    }
                }
            }
        }
    }

    enum ItemOutcome: Sendable {
        case submitted(id: String)
        case refused(id: String?, FieldError)
    }

    /// Why this key may not post this event, beyond what admission judges.
    private func forbidden(_ event: Event, for key: Key) -> FieldError? {
        if !event.fact.isUsage && !key.allows(.admin) {
            return FieldError(
                code: "scope_forbidden", field: "type", detail: "\(event.fact.type) needs a key with the scope admin")
        }
        return nil
    }

    /// - Parameter hashes: of the records that were there already, by position.
    private static func eventsAnswer(
        _ outcomes: [ItemOutcome], _ receipt: Receipt, _ hashes: [UInt64: Digest] = [:], single: Bool, receipts: Bool
    ) -> Response {
        var accepted = 0
        var duplicates = 0
        var conflicts = 0
        var first: UInt64?
        var last: UInt64?
        var errors: [Problem] = []
        var lines: [ReceiptLine] = []
        var verdicts = receipt.verdicts.makeIterator()
        func note(_ line: @autoclosure () -> ReceiptLine) {
            if receipts { lines.append(line()) }
        }
        for (index, outcome) in outcomes.enumerated() {
            switch outcome {
            case .refused(let id, let error):
                errors.append(
                    Problem(
                        status(of: error.code), error.code, error.detail, index: index, id: id, field: error.field))
                note(ReceiptLine(id: id, status: "rejected"))
            case .submitted(let id):
                guard let verdict = verdicts.next() else { preconditionFailure("fewer verdicts than events") }
                switch verdict {
                case .stored(let position, let hash):
                    accepted += 1
                    first = min(first ?? position, position)
                    last = max(last ?? position, position)
                    note(ReceiptLine(id: id, status: "accepted", position: position, hash: hash.hex))
                case .duplicate(let position):
                    duplicates += 1
                    first = min(first ?? position, position)
                    last = max(last ?? position, position)
                    note(
                        ReceiptLine(id: id, status: "duplicate", position: position, hash: hashes[position]?.hex))
                case .conflict(let position):
                    conflicts += 1
                    errors.append(
                        Problem(
                            409, "conflict",
                            "this source and id were stored before with other content, at position \(position); "
                                + "nothing was changed",
                            index: index, id: id, field: "id", position: position))
                    note(ReceiptLine(id: id, status: "conflict", position: position))
                case .rejected(let rejection):
                    errors.append(
                        Problem(
                            status(of: rejection.code), rejection.code, rejection.detail, index: index, id: id,
                            field: rejection.field))
                    note(ReceiptLine(id: id, status: "rejected"))
                }
            }
        }
        if single, let error = errors.first { return error.response }
        return Answers.json(position: receipt.highWater) { writer in
            writer.beginObject()
            writer.member("accepted", integer: accepted)
            writer.member("duplicates", integer: duplicates)
            writer.member("rejected", integer: errors.count)
            writer.member("conflicts", integer: conflicts)
            if let first, let last {
                writer.member("first_position", integer: first)
                writer.member("last_position", integer: last)
            }
            writer.key("errors")
            writer.beginArray()
            for error in errors {
                writer.beginObject()
                writer.member("index", integer: error.index ?? 0)
                if let id = error.id { writer.member("id", string: id) }
                writer.member("code", string: error.code)
                writer.member("field", string: error.field ?? "")
                writer.member("detail", string: error.detail)
                if let position = error.position { writer.member("position", integer: position) }
                writer.endObject()
            }
            writer.endArray()
            if receipts {
                writer.key("results")
                writer.beginArray()
                for (index, line) in lines.enumerated() {
                    writer.beginObject()
                    writer.member("index", integer: index)
                    if let id = line.id { writer.member("id", string: id) }
                    writer.member("status", string: line.status)
                    if let position = line.position { writer.member("position", integer: position) }
                    if let hash = line.hash { writer.member("record_hash", string: hash) }
                    writer.endObject()
                }
                writer.endArray()
            }
            writer.endObject()
        }
    }

    /// What somebody may keep to prove later that the log has the event.
    private struct ReceiptLine {
        var id: String?
        var status: String
        var position: UInt64?
        var hash: String?
    }

    private static func status(of code: String) -> Int {
        switch code {
        case "scope_forbidden", "org_forbidden": 403
        case "conflict", "ambiguous_call": 409
        default: 422
        }
    }
}

extension Verdict {
    fileprivate var duplicateOf: UInt64? {
        if case .duplicate(let position) = self { position } else { nil }
    }
}
