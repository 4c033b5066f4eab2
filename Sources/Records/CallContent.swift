import Billing

// The content of `llm.call` and what refers to one. Bits and order as in Schemas/RECORD.md.

/// Bits of a call's presence bitmap.
private enum CallBit {
    static let org = 0
    static let user = 1
    static let subscription = 2
    static let service = 3
    static let team = 4
    static let apiKey = 5
    static let endUser = 6
    static let requestedModel = 7
    static let usage = 8
    static let cost = 9
    static let latency = 10
    static let cacheHit = 11
    static let authorization = 12
    static let attributes = 13
    /// Ten bits, one for each member of the usage.
    static let usageFirst = 16

    static let allowed: UInt32 = 0x03FF_3FFF
    /// Bits 0...7 each stand for one name, in this order.
    static let names: UInt32 = 0xFF
    /// From the start of a call to its first name.
    static let namesAt = 7
    static let usageAllowed: UInt32 = 0x03FF_0000
}

/// Bits of the resolution section.
private enum ResolutionBit {
    static let org = 0
    static let user = 1
    static let standing = 2
    static let allowed: UInt8 = 0b111
}

extension Fact {
    /// The call that it states.
    var statedCall: Call? {
        switch self {
        case .call(let call), .usage(let call): call
        case .callAmended(let amended): amended.call
        default: nil
        }
    }

    /// Puts another call in the place of the one it states.
    mutating func state(_ call: Call) {
        switch self {
        case .call: self = .call(call)
        case .usage: self = .usage(call)
        case .callAmended(var amended):
            amended.call = call
            self = .callAmended(amended)
        default: preconditionFailure("\(type) states no call")
        }
    }
}

extension RecordWriter {
    mutating func call(_ call: Call) {
        byte(call.operation.rawValue)
        byte(call.keySource.rawValue)
        byte(call.status.rawValue)
        // An owner found behind a subscription is not what was sent: it goes into the resolution section.
        let isOwnerSent = call.subscription == nil
        var bits: UInt32 = bit(CallBit.org, isOwnerSent && call.org != nil)
        bits |= bit(CallBit.user, isOwnerSent && call.user != nil)
        bits |= bit(CallBit.subscription, call.subscription != nil)
        bits |= bit(CallBit.service, call.service != nil)
        bits |= bit(CallBit.team, call.team != nil)
        bits |= bit(CallBit.apiKey, call.apiKey != nil)
        bits |= bit(CallBit.endUser, call.endUser != nil)
        bits |= bit(CallBit.requestedModel, call.requestedModel != nil)
        bits |= bit(CallBit.usage, call.usage != nil)
        bits |= bit(CallBit.cost, call.cost != nil)
        bits |= bit(CallBit.latency, call.latencyMilliseconds != nil)
        bits |= bit(CallBit.cacheHit, call.cacheHit)
        bits |= bit(CallBit.authorization, call.authorization != nil)
        bits |= bit(CallBit.attributes, !call.attributes.isEmpty)
        if let usage = call.usage { bits |= usageBits(usage) }
        fixed(bits)
        name(call.provider)
        name(call.model)
        if isOwnerSent {
            name(call.org)
            name(call.user)
        }
        name(call.subscription)
        name(call.service)
        name(call.team)
        name(call.apiKey)
        name(call.endUser)
        name(call.requestedModel)
        if let usage = call.usage { self.usage(usage) }
        decimal(call.cost)
        if let latency = call.latencyMilliseconds { varint(UInt64(latency)) }
        name(call.authorization)
        if !call.attributes.isEmpty { attributes(call.attributes) }
    }

    private func usageBits(_ usage: Usage) -> UInt32 {
        let first = CallBit.usageFirst
        var bits: UInt32 = bit(first, usage.inputTokens != nil)
        bits |= bit(first + 1, usage.outputTokens != nil)
        bits |= bit(first + 2, usage.cacheReadTokens != nil)
        bits |= bit(first + 3, usage.cacheWriteTokens != nil)
        bits |= bit(first + 4, usage.reasoningTokens != nil)
        bits |= bit(first + 5, usage.images != nil)
        bits |= bit(first + 6, usage.audioSeconds != nil)
        bits |= bit(first + 7, usage.characters != nil)
        bits |= bit(first + 8, usage.searches != nil)
        bits |= bit(first + 9, usage.requests != nil)
        return bits
    }

    private mutating func usage(_ usage: Usage) {
        quantity(usage.inputTokens)
        quantity(usage.outputTokens)
        quantity(usage.cacheReadTokens)
        quantity(usage.cacheWriteTokens)
        quantity(usage.reasoningTokens)
        quantity(usage.images)
        decimal(usage.audioSeconds)
        quantity(usage.characters)
        quantity(usage.searches)
        quantity(usage.requests)
    }

    private mutating func quantity(_ value: Int64?) {
        guard let value else { return }
        precondition((0...Usage.countMax).contains(value), "a usage count of \(value)")
        varint(UInt64(value))
    }

    private mutating func attributes(_ attributes: [Attribute]) {
        precondition(attributes.count <= Call.attributesMax, "\(attributes.count) attributes")
        byte(UInt8(attributes.count))
        for (index, attribute) in attributes.enumerated() {
            precondition(
                index == 0 || attributes[index - 1].name < attribute.name,
                "attribute \(attribute.name) is out of order or there twice")
            name(attribute.name)
            text(attribute.value)
        }
    }

    mutating func callVoided(_ voided: CallVoided) {
        name(voided.source)
        name(voided.id)
        text(voided.reason)
        name(voided.org)
    }

    mutating func callAmended(_ amended: CallAmended) {
        name(amended.source)
        name(amended.id)
        text(amended.reason)
        call(amended.call)
        name(amended.org)
    }

    /// What admission found: the owner behind `call.subscription`, and the call that a correction unwinds.
    mutating func resolution(_ call: Call?, _ standing: StandingCall?) {
        let call = call.flatMap { $0.isResolved ? $0 : nil }
        var bits: UInt8 = bit(ResolutionBit.org, call?.org != nil)
        bits |= bit(ResolutionBit.user, call?.user != nil)
        bits |= bit(ResolutionBit.standing, standing != nil)
        byte(bits)
        name(call?.org)
        name(call?.user)
        if let standing { self.standing(standing) }
    }
}

extension Call {
    /// Whether a record of this call has a resolution section.
    var isResolved: Bool { subscription != nil && (org != nil || user != nil) }
}

extension RecordReader {
    mutating func call() throws(RecordError) -> Call {
        let operation = try choice(Call.Operation.self, "operation")
        let keySource = try choice(Call.KeySource.self, "key source")
        let status = try choice(Call.Status.self, "status")
        let bits = try bitmap(allowed: CallBit.allowed)
        if bits.has(CallBit.subscription) && (bits.has(CallBit.org) || bits.has(CallBit.user)) {
            throw failure("an owner as sent beside a subscription", at: offset - 4)
        }
        if !bits.has(CallBit.usage) && bits & CallBit.usageAllowed != 0 {
            throw failure("members of a usage that is absent", at: offset - 4)
        }
        let provider = try name()
        let model = try name()
        let org = try name(if: bits.has(CallBit.org))
        let user = try name(if: bits.has(CallBit.user))
        let subscription = try name(if: bits.has(CallBit.subscription))
        let service = try name(if: bits.has(CallBit.service))
        let team = try name(if: bits.has(CallBit.team))
        let apiKey = try name(if: bits.has(CallBit.apiKey))
        let endUser = try name(if: bits.has(CallBit.endUser))
        let requestedModel = try name(if: bits.has(CallBit.requestedModel))
        var measures = Measures()
        try take(&measures, bits)
        let attributes = bits.has(CallBit.attributes) ? try attributes() : []
        return Call(
            org: org, user: user, subscription: subscription, service: service, team: team, apiKey: apiKey,
            endUser: endUser, provider: provider, model: model, requestedModel: requestedModel, operation: operation,
            keySource: keySource, status: status, usage: measures.usage, cost: measures.cost,
            latencyMilliseconds: measures.latency, cacheHit: measures.cacheHit,
            authorization: measures.authorization, attributes: attributes)
    }

    /// What differs from call to call.
    struct Measures {
        var usage: Usage?
        var cost: Decimal?
        var latency: UInt32?
        var authorization: Name?
        var cacheHit = false

        func call(_ shape: CallShape) -> Call {
            Call(
                shape: shape, usage: usage, cost: cost, latencyMilliseconds: latency, cacheHit: cacheHit,
                authorization: authorization)
        }
    }

    /// Into `measures`, which is empty.
    private mutating func take(_ measures: inout Measures, _ bits: UInt32) throws(RecordError) {
        if bits.has(CallBit.usage) { measures.usage = try usage(bits) }
        measures.cost = try decimal(if: bits.has(CallBit.cost))
        if bits.has(CallBit.latency) {
            measures.latency = UInt32(try integer(in: 0...Int64(UInt32.max), "milliseconds of latency"))
        }
        measures.authorization = try name(if: bits.has(CallBit.authorization))
        measures.cacheHit = bits.has(CallBit.cacheHit)
    }

    /// Looks at the call at `offset`, from there to the end of the record, and leaves `offset` as it is: reads its
    /// measures and only measures out its shape. Nil for bytes that cannot be a call; it is one if the bytes of the key
    /// are those of a call that was read strictly.
    func sightCall(isResolved: Bool, _ measures: inout Measures) -> ShapeKey? {
        var reader = self
        guard reader.end - reader.offset >= CallBit.namesAt else { return nil }
        let choices = UInt64(bytes[offset]) | UInt64(bytes[offset + 1]) << 8 | UInt64(bytes[offset + 2]) << 16
        let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 3, as: UInt32.self))
        guard bits & ~CallBit.allowed == 0, bits.has(CallBit.usage) || bits & CallBit.usageAllowed == 0 else {
            return nil
        }
        reader.offset += CallBit.namesAt
        let names = reader.offset
        // Provider, model, and those of the bitmap.
        for _ in 0..<2 + (bits & CallBit.names).nonzeroBitCount {
            guard reader.skipName() else { return nil }
        }
        let namesEnd = reader.offset
        guard (try? reader.take(&measures, bits)) != nil else { return nil }
        let attributes = reader.offset
        if bits.has(CallBit.attributes) {
            guard reader.offset < reader.end else { return nil }
            let count = Int(bytes[reader.offset])
            reader.offset += 1
            for _ in 0..<count {
                guard reader.skipName(), reader.skipText() else { return nil }
            }
        }
        guard reader.offset == reader.end, isResolved || reader.end == bytes.count else { return nil }
        let shapeBits = bits & (CallBit.names | 1 << UInt32(CallBit.attributes))
        return ShapeKey(
            head: choices | UInt64(shapeBits) << 24 | (isResolved ? 1 << 63 : 0), names: names..<namesEnd,
            attributes: attributes..<reader.end, resolution: reader.end..<bytes.count)
    }

    private mutating func skipName() -> Bool {
        guard offset < end, Int(bytes[offset]) + 2 <= end - offset else { return false }
        offset += Int(bytes[offset]) + 2
        return true
    }

    private mutating func skipText() -> Bool {
        guard end - offset >= 2 else { return false }
        let count = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        guard count <= end - offset - 2 else { return false }
        offset += count + 2
        return true
    }

    private mutating func usage(_ bits: UInt32) throws(RecordError) -> Usage {
        let first = CallBit.usageFirst
        var usage = Usage()
        usage.inputTokens = try quantity(if: bits.has(first))
        usage.outputTokens = try quantity(if: bits.has(first + 1))
        usage.cacheReadTokens = try quantity(if: bits.has(first + 2))
        usage.cacheWriteTokens = try quantity(if: bits.has(first + 3))
        usage.reasoningTokens = try quantity(if: bits.has(first + 4))
        usage.images = try quantity(if: bits.has(first + 5))
        usage.audioSeconds = try decimal(if: bits.has(first + 6))
        usage.characters = try quantity(if: bits.has(first + 7))
        usage.searches = try quantity(if: bits.has(first + 8))
        usage.requests = try quantity(if: bits.has(first + 9))
        return usage
    }

    private mutating func quantity(if isPresent: Bool) throws(RecordError) -> Int64? {
        isPresent ? try integer(in: 0...Usage.countMax, "as a usage count") : nil
    }

    private mutating func attributes() throws(RecordError) -> [Attribute] {
        let count = Int(try byte())
        guard (1...Call.attributesMax).contains(count) else { throw failure("\(count) attributes", at: offset - 1) }
        var attributes: [Attribute] = []
        attributes.reserveCapacity(count)
        for _ in 0..<count {
            let start = offset
            let attribute = Attribute(name: try name(), value: try text())
            if let last = attributes.last, !(last.name < attribute.name) {
                throw failure("attributes out of order", at: start)
            }
            attributes.append(attribute)
        }
        return attributes
    }

    mutating func callVoided() throws(RecordError) -> CallVoided {
        var voided = CallVoided(source: try name(), id: try name(), reason: try text())
        voided.org = try name(if: offset < end)
        return voided
    }

    mutating func callAmended() throws(RecordError) -> CallAmended {
        var amended = CallAmended(source: try name(), id: try name(), reason: try text(), call: try call())
        amended.org = try name(if: offset < end)
        return amended
    }

    /// Fills in what admission found.
    mutating func resolution(of fact: inout Fact) throws(RecordError) {
        let start = offset
        let bits = try bitmap(allowed: ResolutionBit.allowed)
        guard bits != 0 else { throw failure("a resolution of nothing", at: start) }
        let org = try name(if: bits.has(ResolutionBit.org))
        let user = try name(if: bits.has(ResolutionBit.user))
        if org != nil || user != nil {
            guard var call = fact.statedCall, call.subscription != nil else {
                throw failure("a resolution without a subscription", at: start)
            }
            (call.org, call.user) = (org, user)
            fact.state(call)
        }
        if bits.has(ResolutionBit.standing) {
            guard fact.corrects != nil else { throw failure("unwinds, and corrects no call", at: start) }
            fact.unwinds = try standing()
        }
    }
}
