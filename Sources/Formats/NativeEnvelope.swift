internal import Billing
internal import JSON
internal import Records

/// The event types by name. `Fact.type` says the same the other way round.
enum NativeType: String, CaseIterable {
    case call = "llm.call"
    case usage = "llm.usage"
    case callVoided = "llm.call.voided"
    case callAmended = "llm.call.amended"
    case creditsGranted = "credits.granted"
    case creditsVoided = "credits.voided"
    case creditsAllocated = "credits.allocated"
    case creditsAdjusted = "credits.adjusted"
    case creditsExpired = "credits.expired"
    case planDefined = "plan.defined"
    case planAssigned = "plan.assigned"
    case pricesPublished = "prices.published"
    case authorizationGranted = "authorization.granted"
    case authorizationDenied = "authorization.denied"
    case authorizationReleased = "authorization.released"
    case authorizationExpired = "authorization.expired"
    case lagoWindowClosed = "lago.window.closed"
    case lagoBatchDelivered = "lago.batch.delivered"
    case lagoBatchFailed = "lago.batch.failed"
    case alertDefined = "alert.defined"

    static let choices = Choices(allCases, \.rawValue)

    var isDaemonOwn: Bool {
        switch self {
        case .creditsExpired, .authorizationGranted, .authorizationDenied, .authorizationReleased,
            .authorizationExpired, .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed:
            true
        default: false
        }
    }
}

extension NativeParser {
    /// CloudEvents 1.0, naming conventions: an extension attribute is 1 to 20 lower-case letters and digits.
    private static let extensionBytesMax = 20

    /// One event. Throws only what makes the rest of the document unreadable.
    mutating func item() throws(JSONError) -> ParsedItem {
        fault = nil
        prefix = ""
        let kind = try reader.peek()
        guard kind == .object else {
            try reader.skip()
            let detail = "an event is an object, not \(kind.phrase)"
            return ParsedItem(id: nil, result: .failure(.init(code: "wrong_type", field: "", detail: detail)))
        }
        var idText: String?
        var id: EventID?
        var source: Name?
        var type: NativeType?
        var isTypeGiven = false
        var time: Timestamp?
        var fact: Fact?
        var isDataGiven = false
        var laterData: Range<Int>?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "id":
                idText = try string("id")
                if let idText { id = eventID(idText, "id") }
            case "source": source = try name("source")
            case "type":
                if let text = try string("type") {
                    isTypeGiven = true
                    type = self.type(text)
                }
            case "time": time = try self.time("time")
            case "data":
                isDataGiven = try reader.peek() != .null
                if let type {
                    fact = try data(type)
                } else {
                    // Its meaning depends on a type that may come later.
                    let start = reader.offset
                    try reader.skip()
                    laterData = start..<reader.offset
                }
            case "specversion":
                if let version = try string("specversion"), version != "1.0" {
                    note("unsupported_specversion", "specversion", "must be 1.0")
                }
            case "subject", "datacontenttype", "dataschema": try reader.skip()
            default: try extensionAttribute(key)
            }
        }
        if fault == nil, let type, let range = laterData, isDataGiven {
            let outer = reader
            reader = JSONReader(outer.bytes, range: range)
            fact = try data(type)
            reader = outer
        }
        if fault == nil, let id, let source, let fact {
            return ParsedItem(id: idText, result: .success(Event(source: source, id: id, time: time, fact: fact)))
        }
        prefix = ""
        if id == nil { missing("id") }
        if source == nil { missing("source") }
        if !isTypeGiven { missing("type") }
        missing("data")
        guard let fault else { preconditionFailure("an event without a fault and without a fact") }
        return ParsedItem(id: idText, result: .failure(fault))
    }

    private mutating func type(_ text: String) -> NativeType? {
        guard let type = NativeType.choices[text] else {
            note("unknown_type", "type", "is not a type of event this daemon knows")
            return nil
        }
        if type.isDaemonOwn && !options.isImport {
            note("reserved_type", "type", "is written by the daemon itself")
            return nil
        }
        return type
    }

    /// Extension attributes are taken and ignored; they are simple values, so a prompt is none.
    private mutating func extensionAttribute(_ key: JSONKey) throws(JSONError) {
        let name = key.utf8
        let isName = (1...NativeParser.extensionBytesMax).contains(name.count)
            && name.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
        switch try reader.peek() {
        case .string, .number, .bool, .null:
            if isName { try reader.skip() } else { try unknown(key) }
        case .object, .array: try unknown(key)
        }
    }

    private mutating func data(_ type: NativeType) throws(JSONError) -> Fact? {
        guard try has(.object, "data") else { return nil }
        prefix = "data"
        defer { prefix = "" }
        switch type {
        case .call: return try call().map { .call($0) }
        case .usage: return try call().map { .usage($0) }
        case .callVoided: return try callVoided()
        case .callAmended: return try callAmended()
        case .creditsGranted: return try grant()
        case .creditsVoided: return try lotVoided()
        case .creditsAllocated: return try allocation()
        case .creditsAdjusted: return try adjustment()
        case .creditsExpired: return try lotExpired()
        case .planDefined: return try plan()
        case .planAssigned: return try assignment()
        case .pricesPublished: return try prices()
        case .authorizationGranted: return try authorizationGranted()
        case .authorizationDenied: return try authorizationDenied()
        case .authorizationReleased: return try authorizationEnded().map { .authorizationReleased($0) }
        case .authorizationExpired: return try authorizationEnded().map { .authorizationExpired($0) }
        case .lagoWindowClosed: return try lagoWindow()
        case .lagoBatchDelivered: return try lagoDelivery().map { .lagoBatchDelivered($0) }
        case .lagoBatchFailed: return try lagoDelivery().map { .lagoBatchFailed($0) }
        case .alertDefined: return try alert()
        }
    }
}
