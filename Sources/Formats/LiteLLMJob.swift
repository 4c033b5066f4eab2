public import Billing
internal import Hashing
internal import JSON

/// Work that a provider does by itself and LiteLLM looks at: a batch, a video, a response or an interaction in the
/// background. Each look at finished work tells its tokens and cost again, under another call id and other times; so
/// the work is known by its kind and its own id, and what it came to is one event.
public enum LiteLLMJob: String, CaseIterable, Hashable, Sendable {
    case batch = "retrieve_batch"
    case video = "video_status"
    case response = "get_responses"
    case interaction = "get"

    static let prefixOfID = "llb1:"

    /// The id of the event that says what a job came to, the same for every spelling of the job's id.
    public func eventID(of id: String) -> Name {
        let start = LiteLLMJob.prefixOfID + rawValue + ":"
        let plain = plain(id)
        return Name(start + plain) ?? Name(checked: start + SHA256.hash(Array(plain.utf8)).hex)
    }

    /// The same from the id of a row of LiteLLM's spend log, which marks the row that settles a job.
    func eventID(ofRow id: String) -> Name {
        let mark =
            switch self {
            case .batch: "_batch_cost"
            case .video: "_video_cost"
            case .response, .interaction: "_background_cost"
            }
        return eventID(of: id.hasSuffix(mark) ? String(id.dropLast(mark.count)) : id)
    }

    // MARK: - What a look says

    enum Telling: Hashable {
        /// The work goes on: what is said of it does not stand yet.
        case unfinished
        /// What the work came to.
        case settled
        /// What another call said before, when it was made.
        case repeated
        /// Nothing of the work: what is stated beside (a guardrail's cost) is the look's own.
        case apart
    }

    /// - `hasTokens`: the item states a usage that is not zero.
    /// - `hasCost`: it states a cost of the work that is not zero.
    ///
    /// The provider's answer says how far the work is; but it may have been redacted, and of a batch LiteLLM says
    /// `batch_models` only where it has added up its output. Where neither says so, tokens or a cost do.
    func telling(_ item: LiteLLMItem, hasTokens: Bool, hasCost: Bool) -> Telling {
        let answer = item.answer
        switch self {
        case .batch:
            if item.batchModels != nil { return .settled }
            guard let status = answer.status else { return hasTokens || hasCost ? .settled : .unfinished }
            switch status {
            case "failed", "cancelled", "expired": return .settled
            case "completed", "complete":
                // Completed, but its output is not there yet: LiteLLM prices it 0 until it is, or until it is known
                // that no line succeeded.
                let isPending = answer.outputFile == .absent && !answer.noneSucceeded && !hasCost
                return isPending ? .unfinished : .settled
            default: return .unfinished
            }
        case .video:
            if let status = answer.status, status != "completed" { return .apart }
            return hasTokens || hasCost ? .settled : .apart
        case .response, .interaction:
            // A response that was not made in the background was charged when it was made.
            if hasTokens, let background = answer.background, background != .bool(true) { return .repeated }
            if let status = answer.status, ["queued", "in_progress"].contains(status) { return .unfinished }
            return hasTokens || hasCost ? .settled : .apart
        }
    }

    // MARK: - Ids

    /// The proxy codes what it needs for routing into ids, and one look sends the id coded, another plain.
    private func plain(_ id: String) -> String {
        // Ids of videos of two deployments may be alike: those keep their code, with or without its padding.
        guard self != .video else { return String(id.prefix(while: { $0 != "=" })) }
        var id = id
        for _ in 0..<LiteLLMJob.codesMax {
            guard let inner = LiteLLMJob.inner(id), !inner.isEmpty else { break }
            id = inner
        }
        return id
    }

    private static let codesMax = 4
    private static let codedBytesMax = 4096

    /// `litellm:ID;model,MODEL`, or a list with a member for the id, in base64 behind the prefix of the kind.
    private static func inner(_ id: String) -> String? {
        guard id.utf8.count <= codedBytesMax else { return nil }
        let coded = ["batch_", "resp_"].first { id.hasPrefix($0) }.map { id.dropFirst($0.count) } ?? id[...]
        guard let bytes = Base64.bytes(ofAnyAlphabet: coded.utf8), let text = String(validating: bytes, as: UTF8.self),
            text.hasPrefix("litellm")
        else { return nil }
        for mark in ["llm_batch_id:", "generic_response_id:", "response_id:"] {
            guard let range = text.firstRange(of: mark) else { continue }
            return String(text[range.upperBound...].prefix { $0 != ";" && $0 != "," })
        }
        let start = "litellm:"
        guard text.hasPrefix(start), text.contains(";model,") else { return nil }
        return String(text.dropFirst(start.count).prefix { $0 != ";" })
    }
}

/// What is read of the provider's answer, where the item is a look at a job: how far it is, and nothing of its content.
struct LiteLLMAnswer {
    var status: String?
    /// Of these two: nil when the answer does not have the member, which is not null.
    var outputFile: Scalar?
    var background: Scalar?
    private var total = Scalar.absent
    private var completed = Scalar.absent

    init() {}

    init(_ reader: inout JSONReader) throws(JSONError) {
        var answer = LiteLLMAnswer()
        try reader.members { (key, reader) throws(JSONError) in
            switch key {
            case "status": answer.status = try reader.looseScalar().written
            case "output_file_id": answer.outputFile = try reader.looseScalar()
            case "background": answer.background = try reader.looseScalar()
            case "request_counts":
                try reader.members { (key, reader) throws(JSONError) in
                    switch key {
                    case "total": answer.total = try reader.looseScalar()
                    case "completed": answer.completed = try reader.looseScalar()
                    default: _ = try reader.skipLoosely()
                    }
                }
            default: _ = try reader.skipLoosely()
            }
        }
        self = answer
    }

    /// No line of the batch succeeded: there will be no output.
    var noneSucceeded: Bool {
        guard let total = total.written.flatMap({ UInt64($0) }) else { return false }
        return total > 0 && completed == .number("0")
    }
}
