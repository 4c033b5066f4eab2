public import Billing
internal import JSON

/// One call as somebody else counted it: a row of a gateway's spend log or of a provider's usage export.
public struct SpendRow: Hashable, Sendable {
    public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
        public var field: String
        public var reason: String
        public var description: String { "\(field): \(reason)" }
    }

    public var id: String?
    /// When the call ended.
    public var time: Timestamp?
    public var org: String?
    public var user: String?
    /// Without the provider before it.
    public var model: String?
    public var provider: String?
    /// Inclusive; nil: not said.
    public var inputTokens: Int64?
    public var outputTokens: Int64?
    /// Dollars.
    public var cost: Decimal?
    /// The id of the event that says what the row says, where it can be told from the row: a job's.
    public var eventID: String?
    /// A row of what is no call and states neither tokens nor spend: the log keeps nothing of it.
    public var isBookkeeping = false

    public init() {}

    // MARK: - LiteLLM

    /// A row of LiteLLM's `GET /spend/logs` (SpendLogs). The rest of it is passed over: prompts and answers are read
    /// into nothing.
    public init(litellm bytes: [UInt8]) throws(Fault) {
        var item = LiteLLMItem()
        var spend = Scalar.absent
        var org = Scalar.absent
        var team = Scalar.absent
        var user = Scalar.absent
        var reader = JSONReader(bytes)
        do {
            try reader.members { (key, reader) throws(JSONError) in
                switch key {
                case "request_id": item.id = try reader.looseScalar()
                case "call_type": item.callType = try reader.looseScalar()
                case "spend": spend = try reader.looseScalar()
                case "prompt_tokens": item.promptTokens = try reader.looseScalar()
                case "completion_tokens": item.completionTokens = try reader.looseScalar()
                case "endTime": item.endTime = try reader.looseScalar()
                case "model": item.model = try reader.looseScalar()
                case "custom_llm_provider": item.provider = try reader.looseScalar()
                case "user": user = try reader.looseScalar()
                case "team_id": team = try reader.looseScalar()
                case "organization_id": org = try reader.looseScalar()
                default: _ = try reader.skipLoosely()
                }
            }
            try reader.end()
        } catch {
            throw Fault(field: "row", reason: "is not JSON: \(error)")
        }
        guard let id = item.id.written, !id.isEmpty else { throw Fault(field: "request_id", reason: "is missing") }
        self.id = id
        time = try SpendRow.time(item.endTime.written, "endTime")
        self.org = SpendRow.text(org) ?? SpendRow.text(team)
        self.user = SpendRow.text(user)
        do {
            let (provider, model) = try LiteLLMMapping.model(item)
            self.provider = provider.text
            self.model = model.text
        } catch {
            throw Fault(field: error.field, reason: error.detail)
        }
        inputTokens = try SpendRow.count(item.promptTokens.written, "prompt_tokens")
        outputTokens = try SpendRow.count(item.completionTokens.written, "completion_tokens")
        cost = try SpendRow.decimal(spend.written, "spend")
        guard let type = item.callType.written.flatMap({ LiteLLMCallType.named($0) }) else { return }
        if case .call = type.kind { return }
        isBookkeeping = [inputTokens, outputTokens].allSatisfy { ($0 ?? 0) == 0 } && (cost ?? .zero) == .zero
        if case .job(let job) = type.kind, !isBookkeeping { eventID = job.eventID(ofRow: id).text }
    }

    // MARK: - Columns

    /// What a column of a CSV file may be, and the names by which one is known without being told.
    public enum Member: String, CaseIterable, Sendable {
        case id, time, org, user, model, provider, input_tokens, output_tokens, cost_usd

        var names: [String] {
            switch self {
            case .id: ["id", "request_id", "call_id", "event_id"]
            case .time: ["time", "end_time", "endtime", "timestamp", "date", "created_at"]
            case .org: ["org", "org_id", "organization", "organization_id"]
            case .user: ["user", "user_id"]
            case .model: ["model", "model_name"]
            case .provider: ["provider", "custom_llm_provider"]
            case .input_tokens: ["input_tokens", "prompt_tokens"]
            case .output_tokens: ["output_tokens", "completion_tokens"]
            case .cost_usd: ["cost_usd", "cost", "spend", "amount_usd"]
            }
        }
    }

    /// Which column of a file says what.
    public struct Columns: Hashable, Sendable {
        private var places: [Member: Int] = [:]
        private let count: Int

        /// `named`: columns by the header's own names, for those that are not known without being told.
        public init(header: [String], named: [Member: String]) throws(Fault) {
            count = header.count
            let lowered = header.map { $0.lowercased() }
            for member in Member.allCases {
                if let name = named[member] {
                    guard let place = header.firstIndex(of: name) else {
                        throw Fault(field: name, reason: "is no column of the file")
                    }
                    places[member] = place
                } else {
                    places[member] = member.names.lazy.compactMap { lowered.firstIndex(of: $0) }.first
                }
            }
            guard places[.id] != nil || places[.time] != nil && places[.model] != nil else {
                throw Fault(
                    field: "header", reason: "has no column for id, nor for time and model: --columns id=NAME,...")
            }
        }

        public func row(_ fields: [String]) throws(Fault) -> SpendRow {
            guard fields.count == count else {
                throw Fault(field: "record", reason: "has \(fields.count) fields, the header has \(count)")
            }
            func text(_ member: Member) -> String? {
                places[member].map { fields[$0] }.flatMap { $0.isEmpty ? nil : $0 }
            }
            var row = SpendRow()
            row.id = text(.id)
            row.time = try SpendRow.time(text(.time), "time")
            row.org = text(.org)
            row.user = text(.user)
            row.model = text(.model)
            row.provider = text(.provider)
            row.inputTokens = try SpendRow.count(text(.input_tokens), "input_tokens")
            row.outputTokens = try SpendRow.count(text(.output_tokens), "output_tokens")
            row.cost = try SpendRow.decimal(text(.cost_usd), "cost_usd")
            return row
        }
    }

    // MARK: - Values

    private static func text(_ scalar: Scalar) -> String? {
        scalar.written.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// RFC 3339, a blank for the T, no zone for UTC (LiteLLM writes its database's times so), or seconds since 1970.
    static func time(_ text: String?, _ field: String) throws(Fault) -> Timestamp? {
        guard var bytes = text.map({ Array($0.utf8) }), !bytes.isEmpty else { return nil }
        if bytes.count > 10, bytes[10] == 0x20 { bytes[10] = 0x54 }
        if let time = Timestamp(rfc3339: bytes) ?? Timestamp(rfc3339: bytes + [0x5A]) { return time }
        if let time = Timestamp(unixSeconds: bytes) { return time }
        throw Fault(field: field, reason: "is no time")
    }

    static func count(_ text: String?, _ field: String) throws(Fault) -> Int64? {
        guard let value = try decimal(text, field) else { return nil }
        guard value.scale == 0, value.mantissa >= 0 else { throw Fault(field: field, reason: "is no count") }
        return value.mantissa
    }

    /// From the digits as written, at most 12 decimals, half to even: as costs are stored.
    static func decimal(_ text: String?, _ field: String) throws(Fault) -> Decimal? {
        guard let text, !text.isEmpty else { return nil }
        do {
            return try Decimal(parsing: text.utf8)
        } catch {
            throw Fault(field: field, reason: "is no decimal number")
        }
    }
}
