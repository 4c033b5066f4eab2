internal import Billing
internal import JSON

/// What the keys and values of a cost map's entries mean.
enum CostMapKeys {
    /// Prices a token that a rule can say, by their key.
    enum Family: String, CaseIterable {
        case input = "input_cost_per_token"
        case output = "output_cost_per_token"
        case cacheRead = "cache_read_input_token_cost"
        case cacheWrite = "cache_creation_input_token_cost"
        case reasoning = "output_cost_per_reasoning_token"
    }

    /// What stands behind a family's key.
    enum Suffix {
        /// "_above_200k_tokens": the number as written, and as a number.
        case above(String, tokens: Int64)
        /// "_above_1hr", "_above_12hr", whatever follows.
        case hours
        case other
    }

    /// Nil when the key is not the family's, or has no suffix.
    static func suffix(of key: String, family: Family) -> Suffix? {
        guard begins(key, family.rawValue + "_") else { return nil }
        let rest = String(decoding: key.utf8.dropFirst(family.rawValue.utf8.count), as: UTF8.self)
        let (prefix, end) = ("_above_", "_tokens")
        let hours = rest.utf8.dropFirst(prefix.utf8.count).drop { (0x30...0x39).contains($0) }
        if begins(rest, prefix), hours.starts(with: "hr".utf8) { return .hours }
        guard begins(rest, prefix), rest.utf8.count > prefix.utf8.count + end.utf8.count,
            rest.utf8.suffix(end.utf8.count).elementsEqual(end.utf8)
        else { return .other }
        let text = rest.utf8.dropFirst(prefix.utf8.count).dropLast(end.utf8.count)
        let isThousands = text.last == UInt8(ascii: "k")
        let digits = isThousands ? text.dropLast() : text
        guard (1...9).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(String(decoding: digits, as: UTF8.self))
        else { return .other }
        return .above(String(decoding: text, as: UTF8.self), tokens: isThousands ? number * 1000 : number)
    }

    /// The provider as calls name it: as LiteLLM does, the families of these three under one name.
    static func provider(_ stated: String) -> String {
        for family in ["vertex_ai", "fireworks_ai"] where begins(stated, family + "-") { return family }
        return begins(stated, "bedrock") ? "bedrock" : stated
    }

    /// A price in a rule: 0 up to below 1,000,000, at most 12 decimals, from the digits as written. Nil for anything
    /// else. LiteLLM takes numbers in strings too.
    static func price(_ value: JSONValue, perMillion: Bool) -> (value: Decimal, isRounded: Bool)? {
        guard var text = value.number ?? value.string else { return nil }
        if perMillion { text = million(text) }
        guard let price = try? Decimal(parsing: text.utf8), price.mantissa >= 0,
            let scaled = price.rescaled(to: 12), scaled < 1_000_000_000_000_000_000
        else { return nil }
        let exact = try? Decimal(parsing: text.utf8, decimalsMax: Decimal.scaleMax)
        return (price, exact != price)
    }

    /// The same digits with an exponent six higher.
    private static func million(_ text: String) -> String {
        let utf8 = text.utf8
        guard let mark = utf8.firstIndex(where: { $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "E") }) else {
            return text + "e6"
        }
        // An exponent that is none stays so, and is refused by the parser.
        let digits = String(decoding: utf8[utf8.index(after: mark)...], as: UTF8.self)
        guard digits.utf8.count < 10, let exponent = Int(digits) else { return text }
        return String(decoding: utf8[..<mark], as: UTF8.self) + "e\(exponent + 6)"
    }

    /// A whole number of tokens.
    static func count(_ value: JSONValue) -> Int64? {
        guard let text = value.number, let number = try? Decimal(parsing: text.utf8), number.scale == 0,
            (0...Usage.countMax).contains(number.mantissa)
        else { return nil }
        return number.mantissa
    }

    /// Why a price under this key is in no rule; nil for keys that are no prices.
    static func reason(of key: String) -> CostMapReport.Reason? {
        for family in Family.allCases {
            switch suffix(of: key, family: family) {
            case .above: return .threshold
            case .hours: return .cacheHours
            case .other: return .tier
            case nil: continue
            }
        }
        if key.contains("off_peak") { return .hours }
        if key.contains("multiplier") || key == "provider_specific_entry" { return .factor }
        if key.contains("free_requests") { return .allowance }
        if ["audio_token", "image_token", "video_token"].contains(where: key.contains) { return .modality }
        let sized = ["output_cost_per_image_", "input_cost_per_image_", "output_cost_per_second_"]
        if sized.contains(where: { begins(key, $0) }) && !key.contains("_above_") { return .size }
        return ["cost", "pric", "billing"].contains(where: key.contains) ? .unit : nil
    }

    /// Facts about a model that are not about money.
    private static let facts: Set<String> = [
        "litellm_provider", "metadata", "mode", "output_vector_size", "prompt_cache_min_tokens", "rpd", "rpm", "tpd",
        "tpm", "tool_use_system_prompt_tokens",
    ]

    /// Whether a member that is no known price might be one: numbers and what can hold them.
    static func isUnknown(_ member: JSONValue.Member) -> Bool {
        if facts.contains(member.name) { return false }
        if ["supports_", "supported_", "max_"].contains(where: { begins(member.name, $0) }) { return false }
        switch member.value {
        case .number, .object, .array: return true
        case .string, .bool, .null: return false
        }
    }

    /// Whether nothing in it is a number other than 0.
    static func isZero(_ value: JSONValue) -> Bool {
        switch value {
        case .number(let text): (try? Decimal(parsing: text.utf8, decimalsMax: Decimal.scaleMax)) == .zero
        case .string(let text): (try? Decimal(parsing: text.utf8, decimalsMax: Decimal.scaleMax)) == .zero
        case .object(let members): members.allSatisfy { isZero($0.value) }
        case .array(let values): values.allSatisfy(isZero)
        case .bool, .null: true
        }
    }

    private static func begins(_ text: String, _ prefix: String) -> Bool {
        text.utf8.starts(with: prefix.utf8)
    }
}
