import Billing

// The content of `prices.published`. Bits and order as in Schemas/RECORD.md.

private let perThousand: Int64 = 1_000
private let perMillion: Int64 = 1_000_000

extension RecordWriter {
    mutating func prices(_ list: PriceList) {
        byte(list.unit.rawValue)
        let bits: UInt8 = bit(0, list.effectiveAt != nil) | bit(1, list.cacheHit != nil)
        byte(bits)
        time(list.effectiveAt)
        decimal(list.cacheHit)
        count(list.rules.count, max: PriceList.rulesMax, of: "price rules")
        for rule in list.rules { self.rule(rule) }
        count(list.multipliers.count, max: PriceList.multipliersMax, of: "multipliers")
        for multiplier in list.multipliers { self.multiplier(multiplier) }
    }

    private mutating func rule(_ rule: PriceRule) {
        precondition(rule.per == perThousand || rule.per == perMillion, "a price per \(rule.per)")
        var bits: UInt16 = bit(0, rule.provider != nil)
        bits |= bit(1, rule.model != nil)
        bits |= bit(2, rule.operation != nil)
        bits |= bit(3, rule.per == perMillion)
        bits |= bit(4, rule.anyToken != nil)
        bits |= bit(5, rule.input != nil)
        bits |= bit(6, rule.output != nil)
        bits |= bit(7, rule.cacheRead != nil)
        bits |= bit(8, rule.cacheWrite != nil)
        bits |= bit(9, rule.reasoning != nil)
        bits |= bit(10, rule.perCall != nil)
        bits |= bit(11, rule.perImage != nil)
        bits |= bit(12, rule.perAudioSecond != nil)
        bits |= bit(13, rule.perSearch != nil)
        bits |= bit(14, rule.reportedCost != nil)
        bits |= bit(15, rule.aboveInputTokens != nil)
        fixed(bits)
        name(rule.provider)
        name(rule.model)
        if let operation = rule.operation { byte(operation.rawValue) }
        decimal(rule.anyToken)
        decimal(rule.input)
        decimal(rule.output)
        decimal(rule.cacheRead)
        decimal(rule.cacheWrite)
        decimal(rule.reasoning)
        decimal(rule.perCall)
        decimal(rule.perImage)
        decimal(rule.perAudioSecond)
        decimal(rule.perSearch)
        decimal(rule.reportedCost)
        if let tokens = rule.aboveInputTokens {
            count(Int(tokens), max: Int(Usage.countMax), of: "input tokens to be above")
        }
    }

    private mutating func multiplier(_ multiplier: PriceList.Multiplier) {
        name(multiplier.attribute)
        count(multiplier.values.count, max: PriceList.multiplierValuesMax, of: "multiplier values")
        for (index, value) in multiplier.values.enumerated() {
            precondition(
                index == 0 || precedes(multiplier.values[index - 1].value, value.value),
                "multiplier value \(value.value) is out of order or there twice")
            text(value.value)
            decimal(value.factor)
        }
    }
}

extension RecordReader {
    mutating func prices() throws(RecordError) -> PriceList {
        let unit = try choice(PriceList.Unit.self, "unit")
        let bits = try bitmap(allowed: 0b11 as UInt8)
        var list = PriceList(unit: unit, rules: [])
        list.effectiveAt = try time(if: bits.has(0))
        list.cacheHit = try decimal(if: bits.has(1))
        let rules = Int(try integer(in: 0...Int64(PriceList.rulesMax), "price rules"))
        // A rule takes two bytes at least: a count alone cannot make us reserve more than the record is worth.
        list.rules.reserveCapacity(min(rules, (end - offset) / 2))
        for _ in 0..<rules { list.rules.append(try rule()) }
        let multipliers = try integer(in: 0...Int64(PriceList.multipliersMax), "multipliers")
        for _ in 0..<multipliers { list.multipliers.append(try multiplier()) }
        return list
    }

    private mutating func rule() throws(RecordError) -> PriceRule {
        let bits = try bitmap(allowed: 0xFFFF as UInt16)
        var rule = PriceRule(per: bits.has(3) ? perMillion : perThousand)
        rule.provider = try name(if: bits.has(0))
        rule.model = try name(if: bits.has(1))
        if bits.has(2) { rule.operation = try choice(Call.Operation.self, "operation") }
        rule.anyToken = try decimal(if: bits.has(4))
        rule.input = try decimal(if: bits.has(5))
        rule.output = try decimal(if: bits.has(6))
        rule.cacheRead = try decimal(if: bits.has(7))
        rule.cacheWrite = try decimal(if: bits.has(8))
        rule.reasoning = try decimal(if: bits.has(9))
        rule.perCall = try decimal(if: bits.has(10))
        rule.perImage = try decimal(if: bits.has(11))
        rule.perAudioSecond = try decimal(if: bits.has(12))
        rule.perSearch = try decimal(if: bits.has(13))
        rule.reportedCost = try decimal(if: bits.has(14))
        if bits.has(15) { rule.aboveInputTokens = try integer(in: 0...Usage.countMax, "above_input_tokens") }
        return rule
    }

    private mutating func multiplier() throws(RecordError) -> PriceList.Multiplier {
        var multiplier = PriceList.Multiplier(attribute: try name(), values: [])
        let count = try integer(in: 0...Int64(PriceList.multiplierValuesMax), "multiplier values")
        for _ in 0..<count {
            let start = offset
            let value = PriceList.Multiplier.Value(value: try text(), factor: try decimal())
            if let last = multiplier.values.last, !precedes(last.value, value.value) {
                throw failure("multiplier values out of order", at: start)
            }
            multiplier.values.append(value)
        }
        return multiplier
    }
}

/// By bytes: `String <` would merge canonically equivalent spellings.
private func precedes(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
}
