internal import Billing
internal import JSON

/// One model of a cost map, made into rules: the plain one last, before it those above a number of input tokens.
struct CostMapEntry {
    struct Loss {
        var reason: CostMapReport.Reason
        var key: String
        var value: JSONValue
    }

    /// Prices per 1,000,000 tokens.
    typealias TokenPrices = [CostMapKeys.Family: Decimal]

    let key: String
    let provider: Name?
    let model: Name
    /// The map's key is "provider/model".
    let isPrefixed: Bool
    let mode: String
    let members: [JSONValue.Member]

    private(set) var rules: [PriceRule] = []
    private(set) var losses: [Loss] = []
    /// Keys that are in a rule, or reported by hand.
    private var taken: Set<String> = []
    private var tokens = TokenPrices()
    /// In descending order of threshold.
    private var above: [(threshold: Int64, prices: TokenPrices)] = []

    /// Input is priced, and cached input has no price of its own.
    var isCacheUnpriced: Bool { tokens[.input] ?? .zero != .zero && tokens[.cacheRead] == nil }
    private var isTokenPriced: Bool { tokens.values.contains { $0 != .zero } }

    /// Nil for what is no entry.
    init?(key: String, value: JSONValue) {
        guard case .object(let members) = value else { return nil }
        let stated = value["litellm_provider"]?.string ?? ""
        let provider = CostMapKeys.provider(stated)
        var name = key.utf8[...]
        var isPrefixed = false
        for prefix in [stated, provider] where !prefix.isEmpty && name.starts(with: (prefix + "/").utf8) {
            name = name.dropFirst(prefix.utf8.count + 1)
            isPrefixed = true
            break
        }
        guard let model = Name(bytes: name), provider.isEmpty || Name(provider) != nil else { return nil }
        self.key = key
        self.provider = Name(provider)
        self.model = model
        self.isPrefixed = isPrefixed
        self.mode = value["mode"]?.string ?? ""
        self.members = members
    }

    mutating func read() {
        readTokens()
        let units = readUnits()
        makeRules(units)
        report()
    }

    // MARK: - Tokens

    private mutating func readTokens() {
        if let tiers = member("tiered_pricing") {
            taken.insert("tiered_pricing")
            let before = losses
            if readTiers(tiers) {
                // LiteLLM does not look at the model's own prices beside tiers.
                for family in CostMapKeys.Family.allCases { taken.insert(family.rawValue) }
                return
            }
            losses = before
            note(.tieredPricing, "tiered_pricing", tiers)
        }
        for family in CostMapKeys.Family.allCases { tokens[family] = tokenPrice(family.rawValue) }
        // DeepSeek's older name for the same price.
        let cacheHit = "input_cost_per_token_cache_hit"
        if let value = member(cacheHit), let price = tokenPrice(cacheHit) {
            if let known = tokens[.cacheRead], known != price { note(.alternative, cacheHit, value) }
            tokens[.cacheRead] = tokens[.cacheRead] ?? price
        }
        // Where all that comes out is an image, its tokens are the output.
        if isImageMode && tokens[.output] ?? .zero == .zero, let price = tokenPrice("output_cost_per_image_token") {
            tokens[.output] = price
        }
        for threshold in thresholds() {
            var prices = tokens
            for family in CostMapKeys.Family.allCases where family != .reasoning {
                prices[family] = tokenPrice("\(family.rawValue)_above_\(threshold.text)_tokens") ?? prices[family]
            }
            if prices != tokens { above.append((threshold.tokens, prices)) }
        }
    }

    /// Thresholds that have a price of input, as LiteLLM finds them; the highest first.
    private func thresholds() -> [(text: String, tokens: Int64)] {
        let found = members.compactMap { member -> (text: String, tokens: Int64)? in
            guard member.value != .null,
                case .above(let text, let tokens)? = CostMapKeys.suffix(of: member.name, family: .input)
            else { return nil }
            // xAI takes the higher price from the threshold on, all others above it.
            return (text, provider?.text == "xai" ? max(tokens - 1, 0) : tokens)
        }
        return found.sorted { $0.tokens > $1.tokens }
    }

    /// `tiered_pricing` by input tokens: ranges (start, end] that begin at 0 and follow each other. The last has no
    /// end.
    private mutating func readTiers(_ value: JSONValue) -> Bool {
        guard case .array(let tiers) = value, !tiers.isEmpty else { return false }
        let output = member(CostMapKeys.Family.output.rawValue).flatMap { CostMapKeys.price($0, perMillion: true) }
        var read: [(start: Int64, end: Int64, prices: TokenPrices)] = []
        for tier in tiers {
            guard case .object(let members) = tier, case .array(let range)? = tier["range"], range.count == 2,
                let start = CostMapKeys.count(range[0]), let end = CostMapKeys.count(range[1])
            else { return false }
            var prices = TokenPrices()
            prices[.output] = output?.value
            for member in members where member.name != "range" && member.value != .null {
                let key = "tiered_pricing." + member.name
                guard let family = CostMapKeys.Family(rawValue: member.name) else {
                    note(CostMapKeys.reason(of: member.name) ?? .unknown, key, member.value)
                    continue
                }
                guard let price = CostMapKeys.price(member.value, perMillion: true) else { return false }
                if price.isRounded { note(.rounded, key, member.value) }
                prices[family] = price.value
            }
            guard prices[.input] != nil else { return false }
            read.append((start, end, prices))
        }
        read.sort { $0.start < $1.start }
        guard read[0].start == 0, zip(read, read.dropFirst()).allSatisfy({ $0.end == $1.start && $0.start < $1.start })
        else { return false }
        tokens = read[0].prices
        above = read.dropFirst().reversed().map { ($0.start, $0.prices) }
        return true
    }

    // MARK: - Units

    private struct Units {
        var call: Decimal?
        var image: Decimal?
        var audioSecond: Decimal?
        var search: Decimal?
    }

    private var isImageMode: Bool { mode == "image_generation" || mode == "image_edit" }

    private mutating func readUnits() -> Units {
        var units = Units()
        units.call = price("input_cost_per_request")
        if mode == "rerank" || mode == "search", let value = member("input_cost_per_query") {
            if units.call == nil, let query = price("input_cost_per_query") {
                units.call = query
                if query != .zero { note(.onceACall, "input_cost_per_query", value) }
            }
        }
        if isImageMode {
            units.image = price("output_cost_per_image")
            // LiteLLM's older name for it.
            if units.image == nil { units.image = price("input_cost_per_image") }
        }
        if mode == "audio_transcription" {
            // LiteLLM takes the input's; both sides the same is one price, not two.
            for name in ["input_cost_per_second", "output_cost_per_second"] {
                guard let value = member(name), let second = price(name) else { continue }
                if isTokenPriced || units.audioSecond ?? second != second {
                    if second != .zero { note(.alternative, name, value) }
                } else {
                    units.audioSecond = second
                }
            }
        }
        units.search = readSearch()
        return units
    }

    /// LiteLLM takes the medium size unless the request names one, which calls do not carry.
    private mutating func readSearch() -> Decimal? {
        let name = "search_context_cost_per_query"
        guard case .object(let sizes)? = member(name) else { return nil }
        let medium = "search_context_size_medium"
        guard let value = sizes.first(where: { $0.name == medium })?.value,
            let search = CostMapKeys.price(value, perMillion: false)
        else { return nil }
        taken.insert(name)
        if search.isRounded { note(.rounded, "\(name).\(medium)", value) }
        for size in sizes where size.value != value { note(.size, "\(name).\(size.name)", size.value) }
        return search.value
    }

    // MARK: - Rules

    private mutating func makeRules(_ units: Units) {
        var plain = PriceRule(provider: provider, model: model, per: 1_000_000)
        plain.perCall = units.call
        plain.perAudioSecond = units.audioSecond
        plain.perSearch = units.search
        var made: [PriceRule] = []
        if let image = units.image {
            if isTokenPriced && image != .zero {
                // By image where an image is asked for, by token elsewhere, never both.
                var rule = plain
                rule.operation = .image
                rule.perImage = image
                made.append(rule)
            } else {
                plain.perImage = image
            }
        }
        for (threshold, prices) in above {
            var rule = plain
            rule.aboveInputTokens = threshold
            set(prices, in: &rule)
            made.append(rule)
        }
        set(tokens, in: &plain)
        made.append(plain)
        // A price that is not one must not leave the rest standing as if all were said.
        let isBroken = losses.contains { $0.reason == .notAPrice }
        rules = isBroken ? [] : made.filter { rule in CostMapEntry.prices(of: rule).contains { $0 != nil } }
    }

    private func set(_ prices: TokenPrices, in rule: inout PriceRule) {
        rule.input = prices[.input]
        rule.output = prices[.output]
        rule.cacheRead = prices[.cacheRead]
        rule.cacheWrite = prices[.cacheWrite]
        rule.reasoning = prices[.reasoning]
    }

    private static func prices(of rule: PriceRule) -> [Decimal?] {
        [
            rule.input, rule.output, rule.cacheRead, rule.cacheWrite, rule.reasoning, rule.perCall, rule.perImage,
            rule.perAudioSecond, rule.perSearch,
        ]
    }

    /// Every member that is a price and in no rule. Where nothing at all costs anything, nothing is lost.
    private mutating func report() {
        var left: [Loss] = []
        for member in members where !taken.contains(member.name) && member.value != .null {
            if let reason = CostMapKeys.reason(of: member.name) {
                left.append(Loss(reason: reason, key: member.name, value: member.value))
            } else if CostMapKeys.isUnknown(member) {
                left.append(Loss(reason: .unknown, key: member.name, value: member.value))
            }
        }
        let isLost = left.contains { !CostMapKeys.isZero($0.value) }
        let costs = rules.contains { rule in CostMapEntry.prices(of: rule).contains { $0 ?? .zero != .zero } }
        // Rules that charge nothing, beside a price that they leave out, would make the model free without a word.
        if !costs && isLost { rules = [] }
        if costs || isLost { losses += left }
    }

    // MARK: - Members

    private func member(_ name: String) -> JSONValue? {
        let value = members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
        return value == .null ? nil : value
    }

    /// A price a token, made one per 1,000,000.
    private mutating func tokenPrice(_ name: String) -> Decimal? { price(name, perMillion: true) }

    private mutating func price(_ name: String, perMillion: Bool = false) -> Decimal? {
        guard let value = member(name) else { return nil }
        taken.insert(name)
        guard let price = CostMapKeys.price(value, perMillion: perMillion) else {
            note(.notAPrice, name, value)
            return nil
        }
        if price.isRounded { note(.rounded, name, value) }
        return price.value
    }

    private mutating func note(_ reason: CostMapReport.Reason, _ key: String, _ value: JSONValue) {
        losses.append(Loss(reason: reason, key: key, value: value))
    }
}
