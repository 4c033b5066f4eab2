/// One LLM call (or, as `llm.usage`, tokens reported apart from one).
public struct Call: Hashable, Sendable {
    public enum Operation: UInt8, CaseIterable, Sendable {
        case chat, responses, embedding, image, audio, rerank, other
        public var name: String { String(describing: self) }
    }
    /// Whose provider key paid the provider.
    public enum KeySource: UInt8, CaseIterable, Sendable {
        case platform, byok
        public var name: String { String(describing: self) }
    }
    public enum Status: UInt8, CaseIterable, Sendable {
        case success, failure, aborted
        public var name: String { String(describing: self) }
    }

    /// All but what differs from call to call; shared by calls that are alike.
    public private(set) var shape: CallShape
    /// Nil: unknown, which is not zero.
    public var usage: Usage?
    /// What the gateway says it cost, in dollars, at most 12 decimals; nil: unknown.
    public var cost: Decimal?
    public var latencyMilliseconds: UInt32?
    public var cacheHit: Bool
    /// The hold to settle.
    public var authorization: Name?

    public static let attributesMax = 32
    /// What a call may be reported to have cost: a million dollars. Of new events alone (`Fact.costRefusal`); a log may
    /// hold calls that were said to cost more, and they are folded as they are.
    public static let costMax = Decimal(mantissa: 1_000_000, scale: 0)

    public init(
        shape: CallShape, usage: Usage? = nil, cost: Decimal? = nil, latencyMilliseconds: UInt32? = nil,
        cacheHit: Bool = false, authorization: Name? = nil
    ) {
        self.shape = shape
        self.usage = usage
        self.cost = cost
        self.latencyMilliseconds = latencyMilliseconds
        self.cacheHit = cacheHit
        self.authorization = authorization
    }

    public init(
        org: Name? = nil, user: Name? = nil, subscription: Name? = nil, service: Name? = nil, team: Name? = nil,
        apiKey: Name? = nil, endUser: Name? = nil, provider: Name, model: Name, requestedModel: Name? = nil,
        operation: Operation, keySource: KeySource = .platform, status: Status, usage: Usage? = nil,
        cost: Decimal? = nil, latencyMilliseconds: UInt32? = nil, cacheHit: Bool = false,
        authorization: Name? = nil, attributes: [Attribute] = []
    ) {
        let dimensions = CallShape.Dimensions(
            org: org, user: user, subscription: subscription, service: service, team: team, apiKey: apiKey,
            endUser: endUser, provider: provider, model: model, requestedModel: requestedModel, operation: operation,
            keySource: keySource, status: status, attributes: attributes)
        self.init(
            shape: CallShape(dimensions), usage: usage, cost: cost, latencyMilliseconds: latencyMilliseconds,
            cacheHit: cacheHit, authorization: authorization)
    }

    /// Its own shape from here on: others that had the same one keep theirs.
    private mutating func change(_ body: (inout CallShape.Dimensions) -> Void) {
        var dimensions = shape.dimensions
        body(&dimensions)
        shape = CallShape(dimensions)
    }

    public static func == (left: Call, right: Call) -> Bool {
        left.usage == right.usage && left.cost == right.cost && left.latencyMilliseconds == right.latencyMilliseconds
            && left.cacheHit == right.cacheHit && left.authorization == right.authorization
            && (left.shape === right.shape || left.shape.dimensions == right.shape.dimensions)
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(shape.dimensions)
        hasher.combine(usage)
        hasher.combine(cost)
        hasher.combine(latencyMilliseconds)
        hasher.combine(cacheHit)
        hasher.combine(authorization)
    }
}

// The members of the shape.
extension Call {
    public var org: Name? {
        get { shape.dimensions.org }
        set { change { $0.org = newValue } }
    }

    public var user: Name? {
        get { shape.dimensions.user }
        set { change { $0.user = newValue } }
    }

    /// A sender's subscription id (Lago's formats) that stands for the owner until admission looks it up among the
    /// assigned plans. The content hash covers it as sent; `org` or `user` is what admission found.
    public var subscription: Name? {
        get { shape.dimensions.subscription }
        set { change { $0.subscription = newValue } }
    }

    public var service: Name? {
        get { shape.dimensions.service }
        set { change { $0.service = newValue } }
    }

    public var team: Name? {
        get { shape.dimensions.team }
        set { change { $0.team = newValue } }
    }

    /// An alias or a hash, never a key.
    public var apiKey: Name? {
        get { shape.dimensions.apiKey }
        set { change { $0.apiKey = newValue } }
    }

    public var endUser: Name? {
        get { shape.dimensions.endUser }
        set { change { $0.endUser = newValue } }
    }

    public var provider: Name {
        get { shape.dimensions.provider }
        set { change { $0.provider = newValue } }
    }

    public var model: Name {
        get { shape.dimensions.model }
        set { change { $0.model = newValue } }
    }

    public var requestedModel: Name? {
        get { shape.dimensions.requestedModel }
        set { change { $0.requestedModel = newValue } }
    }

    public var operation: Operation {
        get { shape.dimensions.operation }
        set { change { $0.operation = newValue } }
    }

    public var keySource: KeySource {
        get { shape.dimensions.keySource }
        set { change { $0.keySource = newValue } }
    }

    public var status: Status {
        get { shape.dimensions.status }
        set { change { $0.status = newValue } }
    }

    /// Free-form facts, at most 32, in byte order of their names.
    public var attributes: [Attribute] {
        get { shape.dimensions.attributes }
        set { change { $0.attributes = newValue } }
    }
}

/// One of `data.attributes`: name 1...256 bytes, value 0...1024 bytes, neither with control characters.
public struct Attribute: Hashable, Sendable {
    public static let valueBytesMax = 1024
    public var name: Name
    public var value: String

    public init(name: Name, value: String) {
        self.name = name
        self.value = value
    }
}

/// What a call used. Totals are inclusive, subsets beside them (contract 2). Nil is "not said", which is not zero.
public struct Usage: Hashable, Sendable {
    /// A count over this is refused: 10^12, so that no product of a rating can pass 128 bits.
    public static let countMax: Int64 = 1_000_000_000_000

    public var inputTokens: Int64?
    public var outputTokens: Int64?
    /// Subsets of `inputTokens`.
    public var cacheReadTokens: Int64?
    public var cacheWriteTokens: Int64?
    /// Subset of `outputTokens`.
    public var reasoningTokens: Int64?
    public var images: Int64?
    /// May have decimals (a transcription of 12.5 s): at most 6.
    public var audioSeconds: Decimal?
    public var characters: Int64?
    public var searches: Int64?
    public var requests: Int64?

    public init(
        inputTokens: Int64? = nil, outputTokens: Int64? = nil, cacheReadTokens: Int64? = nil,
        cacheWriteTokens: Int64? = nil, reasoningTokens: Int64? = nil, images: Int64? = nil,
        audioSeconds: Decimal? = nil, characters: Int64? = nil, searches: Int64? = nil, requests: Int64? = nil
    ) {
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
        self.cacheReadTokens = cacheReadTokens
        self.cacheWriteTokens = cacheWriteTokens
        self.reasoningTokens = reasoningTokens
        self.images = images
        self.audioSeconds = audioSeconds
        self.characters = characters
        self.searches = searches
        self.requests = requests
    }

    /// The name of the first member that breaks a rule (negative, over `countMax`, or a subset larger than its total),
    /// with the reason; nil when all hold. A subset whose total is not said is larger than its total.
    public var fault: (field: String, reason: String)? {
        let counts: [(String, Int64?)] = [
            ("input_tokens", inputTokens), ("output_tokens", outputTokens), ("cache_read_tokens", cacheReadTokens),
            ("cache_write_tokens", cacheWriteTokens), ("reasoning_tokens", reasoningTokens), ("images", images),
            ("characters", characters), ("searches", searches), ("requests", requests),
        ]
        for (field, value) in counts {
            guard let value else { continue }
            if value < 0 { return (field, "is negative") }
            if value > Usage.countMax { return (field, "is over \(Usage.countMax)") }
        }
        if let seconds = audioSeconds {
            if seconds.mantissa < 0 { return ("audio_seconds", "is negative") }
            guard let micros = seconds.rescaled(to: 6), micros <= Usage.countMax else {
                return ("audio_seconds", "is over 1000000")
            }
        }
        let input = inputTokens ?? 0
        if (cacheReadTokens ?? 0) > input { return ("cache_read_tokens", "is larger than input_tokens, its total") }
        if (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0) > input {
            return ("cache_write_tokens", "with cache_read_tokens is larger than input_tokens, their total")
        }
        if (reasoningTokens ?? 0) > (outputTokens ?? 0) {
            return ("reasoning_tokens", "is larger than output_tokens, its total")
        }
        return nil
    }
}

/// Unwinds a call's count, tokens and recorded charge slices.
public struct CallVoided: Hashable, Sendable {
    public var source: Name
    public var id: Name
    /// Org whose call is meant, where several have one with this source and id; nil when it was not said.
    public var org: Name?
    public var reason: String
    /// Nil as sent; found by admission.
    public var unwinds: StandingCall?

    public init(source: Name, id: Name, org: Name? = nil, reason: String, unwinds: StandingCall? = nil) {
        self.source = source
        self.id = id
        self.org = org
        self.reason = reason
        self.unwinds = unwinds
    }
}

/// Voids a call and charges it again from the corrected data.
public struct CallAmended: Hashable, Sendable {
    public var source: Name
    public var id: Name
    /// Org whose call is meant, where several have one with this source and id; nil when it was not said.
    public var org: Name?
    public var reason: String
    public var call: Call
    /// Nil as sent; found by admission.
    public var unwinds: StandingCall?

    public init(
        source: Name, id: Name, org: Name? = nil, reason: String, call: Call, unwinds: StandingCall? = nil
    ) {
        self.source = source
        self.id = id
        self.org = org
        self.reason = reason
        self.call = call
        self.unwinds = unwinds
    }
}
