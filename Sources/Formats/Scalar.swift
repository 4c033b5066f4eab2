internal import Billing
internal import JSON
internal import Records

/// A member as it was sent: formats collect these first and judge afterwards, so that an item of the wrong shape is
/// still read to its end and its neighbours are not lost.
enum Scalar: Hashable {
    /// Not there, or null.
    case absent
    case text(String)
    /// As written.
    case number(String)
    case bool(Bool)
    /// `NaN`, `Infinity` or `-Infinity`, as Python writes them.
    case notFinite
    /// An object, an array, or text that is no Unicode.
    case other

    var isAbsent: Bool { self == .absent }

    /// The text, or the number as written; nil for the rest.
    var written: String? {
        switch self {
        case .text(let text), .number(let text): text
        default: nil
        }
    }
}

extension JSONReader {
    /// The next value as a scalar, of a sender who writes more than JSON allows: an object or an array is passed over
    /// loosely, a lone surrogate spoils its own string alone.
    mutating func looseScalar() throws(JSONError) -> Scalar {
        let range = try skipLoosely()
        var value = JSONReader(bytes, range: range)
        switch bytes[range.lowerBound] {
        case 0x22:
            guard let text = try? value.string() else { return .other }
            return .text(text)
        case 0x7B, 0x5B: return .other
        default:
            let word = bytes[range]
            if word.elementsEqual("null".utf8) { return .absent }
            if word.elementsEqual("true".utf8) { return .bool(true) }
            if word.elementsEqual("false".utf8) { return .bool(false) }
            if let number = try? value.number(), number == range {
                return .number(String(decoding: word, as: UTF8.self))
            }
            if ["NaN", "Infinity", "-Infinity"].contains(where: { word.elementsEqual($0.utf8) }) { return .notFinite }
            throw JSONError(offset: range.lowerBound, reason: "neither a number nor a literal")
        }
    }

    /// Reads an object's members through `body`, which must consume the value of each; any other value is passed
    /// over loosely.
    mutating func members(_ body: (JSONKey, inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        guard beginsObject() else {
            _ = try skipLoosely()
            return
        }
        try beginObject()
        while let key = try nextName() { try body(key, &self) }
    }
}

extension JSONError {
    /// For parked items: without the member name that `reason` may quote, which may be a customer's text.
    var clause: String {
        let quote = reason.utf8.firstIndex(of: 0x22) ?? reason.endIndex
        var text = String(reason[..<quote])
        while text.hasSuffix(" ") { text.removeLast() }
        return "\(text) at byte \(offset) of the body"
    }
}

/// The rules by which scalars become parts of an event; each gives a `Parked` that names the field.
enum Take {
    /// Empty text is as good as absent: LiteLLM and others write "" for what they do not know.
    static func name(_ scalar: Scalar, _ field: String) throws(Parked) -> Name? {
        try parsed(scalar, field, bytesMax: Name.bytesMax) { Name($0) }
    }

    /// The id of an event, in the same way.
    static func eventID(_ scalar: Scalar, _ field: String) throws(Parked) -> EventID? {
        try parsed(scalar, field, bytesMax: EventID.bytesMax) { EventID($0) }
    }

    private static func parsed<ID>(
        _ scalar: Scalar, _ field: String, bytesMax: Int, _ parse: (String) -> ID?
    ) throws(Parked) -> ID? {
        switch scalar {
        case .absent, .text(""): return nil
        case .text(let text), .number(let text):
            guard let id = parse(text) else {
                throw Parked(
                    code: "invalid_name", field: field,
                    detail: "is not 1 to \(bytesMax) bytes of UTF-8 without control characters")
            }
            return id
        case .bool, .notFinite, .other:
            throw Parked(code: "wrong_type", field: field, detail: "is not a string")
        }
    }

    /// A whole number, written as one ("10", "10.0") or inside a string. Its range is `Usage.fault`'s matter.
    static func count(_ scalar: Scalar, _ field: String) throws(Parked) -> Int64? {
        guard !scalar.isAbsent else { return nil }
        guard let text = scalar.written else {
            throw Parked(code: "wrong_type", field: field, detail: "is not a number")
        }
        if let count = digits(text) { return count }
        let decimal = try Take.decimal(scalar, field)
        guard let decimal, decimal.scale == 0 else {
            throw Parked(code: "wrong_type", field: field, detail: "is not a whole number")
        }
        return decimal.mantissa
    }

    /// Up to 18 plain digits, which is all that senders write in practice.
    private static func digits(_ text: String) -> Int64? {
        guard (1...18).contains(text.utf8.count) else { return nil }
        var value: Int64 = 0
        for byte in text.utf8 {
            guard byte &- 0x30 < 10 else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        return value
    }

    /// A decimal, from the digits as written, at most 12 decimals after rounding.
    static func decimal(_ scalar: Scalar, _ field: String) throws(Parked) -> Decimal? {
        guard !scalar.isAbsent else { return nil }
        guard let text = scalar.written else {
            throw Parked(code: "wrong_type", field: field, detail: "is not a number")
        }
        do {
            return try Decimal(parsing: Array(text.utf8))
        } catch {
            switch error {
            case .notANumber: throw Parked(code: "wrong_type", field: field, detail: "is not a number")
            case .tooLarge: throw Parked(code: "out_of_range", field: field, detail: "has too many digits")
            }
        }
    }

    /// Dollars, not negative. `NaN` and infinities say as little as null.
    static func cost(_ scalar: Scalar, _ field: String) throws(Parked) -> Decimal? {
        if scalar == .notFinite { return nil }
        let cost = try decimal(scalar, field)
        if let cost, cost.mantissa < 0 {
            throw Parked(code: "out_of_range", field: field, detail: "is negative")
        }
        return cost
    }

    /// Unix seconds as a number or in a string, or RFC 3339.
    static func time(_ scalar: Scalar, _ field: String) throws(Parked) -> Timestamp? {
        guard !scalar.isAbsent else { return nil }
        if let text = scalar.written {
            if let micros = microseconds(text) { return Timestamp(microseconds: micros) }
            let bytes = Array(text.utf8)
            if let time = Timestamp(unixSeconds: bytes) ?? Timestamp(rfc3339: bytes) { return time }
        }
        throw Parked(code: "invalid_time", field: field, detail: "is neither unix seconds nor an RFC 3339 time")
    }

    /// Plain unix seconds, at most ten digits and six decimals: what LiteLLM writes, twice an item, without the cost of
    /// the general parser.
    private static func microseconds(_ text: String) -> Int64? {
        var value: Int64 = 0
        var whole = 0
        var decimals: Int?
        for byte in text.utf8 {
            if byte == 0x2E {
                guard decimals == nil else { return nil }
                decimals = 0
                continue
            }
            guard byte &- 0x30 < 10 else { return nil }
            if let count = decimals {
                guard count < 6 else { return nil }
                decimals = count + 1
            } else {
                guard whole < 10 else { return nil }
                whole += 1
            }
            value = value * 10 + Int64(byte - 0x30)
        }
        // "05", "5." and ".5" are for the general parser to refuse.
        guard whole > 0, decimals != 0, whole == 1 || text.utf8.first != 0x30 else { return nil }
        for _ in (decimals ?? 0)..<6 { value *= 10 }
        return value
    }

    /// The usage, when it keeps the rules; `prefix` is where the sender has it.
    static func valid(_ usage: Usage, _ prefix: String) throws(Parked) -> Usage {
        guard let (field, reason) = usage.fault else { return usage }
        let isRange = reason.hasPrefix("is negative") || reason.hasPrefix("is over")
        throw Parked(
            code: isRange ? "out_of_range" : "subset_exceeds_total", field: prefix + field, detail: reason)
    }

    /// Whether an attribute's value can be kept: at most `Attribute.valueBytesMax` bytes, no control characters.
    static func isAttributeValue(_ text: String) -> Bool {
        guard text.utf8.count <= Attribute.valueBytesMax else { return false }
        return !text.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
    }
}

extension Scalar {
    init(_ value: JSONValue?) {
        switch value {
        case nil, .null: self = .absent
        case .string(let text): self = .text(text)
        case .number(let text): self = .number(text)
        case .bool(let flag): self = .bool(flag)
        case .object, .array: self = .other
        }
    }
}
