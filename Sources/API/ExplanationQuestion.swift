internal import Billing
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON
internal import Projections
internal import Records

/// Why a record did what it did to money (contract 4).
extension API {
    func getExplanation(_ text: String, _ question: Question) async throws -> Response {
        try question.check()
        let position = try Question.position(text)
        guard let stored = try await reader.record(at: position),
            question.key.org == nil || stored.record.event.fact.org == question.key.org
        else { throw ProblemError(404, "not_found", "there is no event at position \(position)") }
        let seen = try await ask(ExplanationQuery(stored.record), question, from: position)
        guard let explanation = try await explainer.explain(stored.record, seen.answer) else {
            throw ProblemError(
                problem: Problem(
                    503, "overloaded", "more than \(Explainer.pendingMax) ask for explanations already",
                    headers: [("Retry-After", "1")]))
        }
        return Answers.json(position: seen.position) { writer in
            writer.object { writer in
                ExplanationFormat.writeMembers(of: explanation, for: question.key.org, into: &writer)
                writer.member("record_hash", string: stored.hash.hex)
            }
        }
    }
}
