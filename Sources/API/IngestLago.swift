internal import Billing
internal import Engine
internal import Formats
internal import HTTP
internal import JSON

/// `POST /api/v1/events` and `/batch`: Lago's ingest API in Lago's own shapes, and OpenMeter's CloudEvents on the
/// same path (contract 3 and 4).
///
/// Lago's batch is all or nothing. Ours stores what is good and answers 422 for the rest: a sender that splits the
/// batch and sends again finds what was stored as `value_already_exist`, which it takes for done; nothing is lost or
/// doubled.
extension API {
    func postLago(_ request: Request, batch: Bool, key: Key, answer: @escaping Answer) {
        if OpenMeterFormat.recognizes(contentType: request.header("Content-Type"), body: request.body) {
            postCloudEvents(request, key: key, answer: answer)
            return
        }
        let items: [LagoItem]
        do {
            items = batch ? try LagoFormat.batch(body: request.body) : [try LagoFormat.event(body: request.body)]
        } catch {
            answer(API.response(error))
            return
        }
        let sound = items.filter(\.faults.isEmpty)
        ingest(
            sound.enumerated().map { index, item in
                guard let hash = item.itemHash else { preconditionFailure("an item that was not in the body") }
                return DoorItem(index: index, outcome: item.outcome, hash: hash)
            }, door: .lago, key: key
        ) { result in
            switch result {
            case .failure(let error):
                answer(error.response)
            case .success(let outcome):
                let refused = API.refusals(of: items, verdicts: outcome.receipt.verdicts)
                // The recorded time: what `GET` of the event says later.
                let time = outcome.receipt.recordedAt
                let reply: LagoAnswer =
                    if refused.isEmpty {
                        batch ? .stored(items, recordedAt: time) : .stored(items[0], recordedAt: time)
                    } else {
                        batch ? .invalid(batch: refused) : .invalid(refused[0].faults)
                    }
                answer(API.response(reply, position: outcome.receipt.highWater))
            }
        }
    }

    /// What is wrong with which item, as Lago says it. An item that was parked is not wrong: Lago takes any code.
    private static func refusals(
        of items: [LagoItem], verdicts: [Verdict]
    ) -> [(index: Int, faults: [LagoItem.Fault])] {
        var refused: [(index: Int, faults: [LagoItem.Fault])] = []
        var verdicts = verdicts.makeIterator()
        for (index, item) in items.enumerated() {
            guard item.faults.isEmpty else {
                refused.append((index, item.faults))
                continue
            }
            guard case .event = item.outcome else { continue }
            switch verdicts.next() {
            case .stored: break
            case .duplicate, .conflict: refused.append((index, [LagoAnswer.alreadyExists]))
            case .rejected(let rejection):
                let field = rejection.field == "data.cost_usd"
                    ? item.costField : API.field(rejection.field, at: .lago)
                refused.append((index, [LagoItem.Fault(field: field, code: rejection.code)]))
            case nil: preconditionFailure("fewer verdicts than events")
            }
        }
        return refused
    }

    /// OpenMeter answers 204 and nothing more. What cannot be taken is parked: its sender would drop it.
    private func postCloudEvents(_ request: Request, key: Key, answer: @escaping Answer) {
        let items: [DoorItem]
        do {
            items = try OpenMeterFormat.parse(
                body: request.body, defaultOrg: key.defaultOrg ?? key.org, itemsMax: limits.openMeterBatchMax)
        } catch {
            answer(bodyProblem(error).response)
            return
        }
        ingest(items, door: .openmeter, key: key) { result in
            switch result {
            case .failure(let error): answer(error.response)
            case .success(let outcome):
                answer(Response(status: 204, headers: [("X-Position", String(outcome.receipt.highWater))], body: []))
            }
        }
    }

    static func response(_ answer: LagoAnswer, position: UInt64? = nil) -> Response {
        var headers = [("Content-Type", "application/json")]
        if let position { headers.append(("X-Position", String(position))) }
        return Response(status: answer.status, headers: headers, body: answer.body)
    }

    func lagoError(_ status: Int) -> Response {
        API.response(status == 401 ? .unauthorized : .forbidden)
    }
}
