internal import Billing
internal import JSON

private let units = Choices(PriceList.Unit.allCases, \.name)
private let operations = Choices(Call.Operation.allCases, \.name)

/// `data` of `prices.published`. The next value is an object.
extension NativeParser {
    mutating func prices() throws(JSONError) -> Fact? {
        var effectiveAt: Timestamp?
        var unit: PriceList.Unit?
        var rules: [PriceRule]?
        var multipliers: [PriceList.Multiplier]?
        var cacheHit: Decimal?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "effective_at": effectiveAt = try time("effective_at")
            case "unit": unit = try choice("unit", units)
            case "rules": rules = try self.rules()
            case "multipliers": multipliers = try self.multipliers()
            case "cache_hit": cacheHit = try factor("cache_hit")
            default: try unknown(key)
            }
        }
        if unit == nil { missing("unit") }
        if rules == nil { missing("rules") }
        guard let unit, let rules else { return nil }
        return .pricesPublished(
            PriceList(
                effectiveAt: effectiveAt, unit: unit, rules: rules, multipliers: multipliers ?? [], cacheHit: cacheHit))
    }

    private mutating func rules() throws(JSONError) -> [PriceRule]? {
        guard try array("rules") else { return nil }
        var rules: [PriceRule] = []
        var index = 0
        while try reader.nextElement() {
            index += 1
            guard index <= PriceList.rulesMax, fault == nil else {
                try reader.skip()
                continue
            }
            let outer = descend("rules.\(index - 1)")
            if let rule = try rule() { rules.append(rule) }
            prefix = outer
        }
        if index > PriceList.rulesMax { note("too_many", "rules", "holds more than \(PriceList.rulesMax) rules") }
        return rules
    }

    private mutating func rule() throws(JSONError) -> PriceRule? {
        guard try element() else { return nil }
        var rule = PriceRule()
        while let key = try reader.nextName() {
            switch key {
            case "provider": rule.provider = try name("provider")
            case "model": rule.model = try name("model")
            case "operation": rule.operation = try choice("operation", operations)
            case "above_input_tokens":
                rule.aboveInputTokens = try integer("above_input_tokens", in: 0...Usage.countMax)
            case "per":
                guard let per = try integer("per", in: 1000...1_000_000) else { continue }
                if per != 1000 && per != 1_000_000 { note("out_of_range", "per", "must be 1000 or 1000000") }
                rule.per = per
            case "any_token": rule.anyToken = try factor("any_token")
            case "input": rule.input = try factor("input")
            case "output": rule.output = try factor("output")
            case "cache_read": rule.cacheRead = try factor("cache_read")
            case "cache_write": rule.cacheWrite = try factor("cache_write")
            case "reasoning": rule.reasoning = try factor("reasoning")
            case "per_call": rule.perCall = try factor("per_call")
            case "per_image": rule.perImage = try factor("per_image")
            case "per_audio_second": rule.perAudioSecond = try factor("per_audio_second")
            case "per_search": rule.perSearch = try factor("per_search")
            case "reported_cost": rule.reportedCost = try factor("reported_cost")
            default: try unknown(key)
            }
        }
        checkPrices(of: rule)
        return rule
    }

    /// Which prices may stand beside each other.
    private mutating func checkPrices(of rule: PriceRule) {
        let byToken: [(field: String, price: Decimal?)] = [
            ("input", rule.input), ("output", rule.output), ("cache_read", rule.cacheRead),
            ("cache_write", rule.cacheWrite), ("reasoning", rule.reasoning),
        ]
        let others: [(field: String, price: Decimal?)] = [
            ("per_call", rule.perCall), ("per_image", rule.perImage), ("per_audio_second", rule.perAudioSecond),
            ("per_search", rule.perSearch),
        ]
        if rule.reportedCost != nil {
            let all = [("any_token", rule.anyToken)] + byToken + others
            if let other = all.first(where: { $0.price != nil }) {
                note("conflicting_prices", other.field, "cannot stand beside reported_cost")
            }
        } else if rule.anyToken != nil {
            if let other = byToken.first(where: { $0.price != nil }) {
                note("conflicting_prices", other.field, "cannot stand beside any_token")
            }
        } else if !(byToken + others).contains(where: { $0.price != nil }) {
            note("missing_price", "", "a rule has one price at least; 0 is a price")
        }
    }

    private mutating func multipliers() throws(JSONError) -> [PriceList.Multiplier]? {
        guard try array("multipliers") else { return nil }
        var multipliers: [PriceList.Multiplier] = []
        var index = 0
        while try reader.nextElement() {
            let outer = descend("multipliers.\(index)")
            if let multiplier = try multiplier() {
                if multipliers.contains(where: { $0.attribute == multiplier.attribute }) {
                    note("duplicate_attribute", "attribute", "has a multiplier before")
                }
                if multipliers.count < PriceList.multipliersMax { multipliers.append(multiplier) }
            }
            prefix = outer
            index += 1
        }
        if index > PriceList.multipliersMax {
            note("too_many", "multipliers", "holds more than \(PriceList.multipliersMax) multipliers")
        }
        return multipliers
    }

    private mutating func multiplier() throws(JSONError) -> PriceList.Multiplier? {
        guard try element() else { return nil }
        var attribute: Name?
        var values: [PriceList.Multiplier.Value]?
        while let key = try reader.nextName() {
            switch key {
            case "attribute": attribute = try name("attribute")
            case "values": values = try multiplierValues()
            default: try unknown(key)
            }
        }
        if attribute == nil { missing("attribute") }
        if values == nil { missing("values") }
        guard let attribute, let values else { return nil }
        return PriceList.Multiplier(attribute: attribute, values: values)
    }

    private mutating func multiplierValues() throws(JSONError) -> [PriceList.Multiplier.Value]? {
        guard try object("values") else { return nil }
        let outer = descend("values")
        defer { prefix = outer }
        var values: [PriceList.Multiplier.Value] = []
        while let key = try reader.nextKey() {
            let field = String(decoding: key.utf8.prefix(64), as: UTF8.self)
            check(key, field)
            guard let factor = try factor(field) else {
                note("missing_field", field, "needs a factor")
                continue
            }
            if values.count < PriceList.multiplierValuesMax {
                values.append(.init(value: key, factor: factor))
            } else {
                note("too_many", "", "holds more than \(PriceList.multiplierValuesMax) values")
            }
        }
        return values.sorted { $0.value.utf8.lexicographicallyPrecedes($1.value.utf8) }
    }
}
