public import Billing
internal import Hashing
public import JSON
internal import Records

/// LiteLLM's cost map (`model_prices_and_context_window.json`: some 4,000 models, prices in dollars a unit) as one
/// price list, and a report of what the list cannot say.
///
/// How prices are picked follows LiteLLM's own calculation, so that a call costs here what LiteLLM says it cost:
/// above a number of input tokens every token of the call costs more; `tiered_pricing` by `range` is all or nothing;
/// the medium size of a search is the price of a search. What would need facts that calls do not carry (service
/// tiers, tokens by modality, resolutions, hours of the day) is reported, never guessed.
public enum LiteLLMCostMap {
    /// Why a map cannot be a price list.
    public enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
        case notAnObject
        case tooManyRules(Int)

        public var description: String {
            switch self {
            case .notAnObject: "a cost map is a JSON object of models"
            case .tooManyRules(let count):
                "the map comes to \(count) rules, and a price list holds \(PriceList.rulesMax)"
            }
        }
    }

    public struct Conversion: Hashable, Sendable {
        public var list: PriceList
        public var report: CostMapReport

        /// The list as an event without a time. Without an `id` it gets one that follows from its content: the same map
        /// posted twice is a duplicate, another one is not.
        public func event(source: Name, id: Name?) -> Event {
            var event = Event(source: source, id: source, time: nil, fact: .pricesPublished(list))
            let digits = RecordCodec.contentHash(event).hex.prefix(LiteLLMCostMap.idDigits)
            event.id = id ?? Name(checked: "litellm-cost-map-" + digits)
            return event
        }
    }

    private static let idDigits = 16

    /// Documentation among the models of the map.
    private static let specimen = "sample_spec"

    /// Prices per 1,000,000 tokens in dollars, exact from the digits as written, rounded half to even to 12 decimals.
    /// Exact model names come before names with a wildcard, each group in byte order; of one model, the rule that
    /// starts above more input tokens first. The same map always gives the same list.
    public static func convert(_ map: JSONValue, effectiveAt: Timestamp? = nil) throws(Fault) -> Conversion {
        guard case .object(let members) = map else { throw .notAnObject }
        var report = CostMapReport()
        var models: [Place: CostMapEntry] = [:]
        for member in members.sorted(by: { precedes($0.name, $1.name) }) {
            if member.name.utf8.elementsEqual(specimen.utf8) { continue }
            report.models += 1
            guard var entry = CostMapEntry(key: member.name, value: member.value) else {
                report.note(.unusable, key: "the whole entry", model: member.name, value: member.value)
                continue
            }
            entry.read()
            for loss in entry.losses { report.note(loss.reason, key: loss.key, model: member.name, value: loss.value) }
            guard !entry.rules.isEmpty else {
                report.withoutRule.append(member.name)
                continue
            }
            report.priced += 1
            let place = Place(provider: entry.provider, model: entry.model)
            guard let rival = models[place] else {
                models[place] = entry
                continue
            }
            // LiteLLM looks under "provider/model" first. The loser is said only where it would cost otherwise.
            let (winner, loser) = entry.isPrefixed && !rival.isPrefixed ? (entry, rival) : (rival, entry)
            models[place] = winner
            if winner.rules != loser.rules {
                report.note(.shadowed, key: "the whole entry", model: loser.key, value: .string("as \(winner.key)"))
            }
        }
        var rules: [PriceRule] = []
        for (_, entry) in models.sorted(by: { $0.key < $1.key }) {
            rules += entry.rules
            if entry.isCacheUnpriced { report.withoutCachePrice += 1 }
        }
        guard rules.count <= PriceList.rulesMax else { throw .tooManyRules(rules.count) }
        report.rules = rules.count
        return Conversion(list: PriceList(effectiveAt: effectiveAt, unit: .usd, rules: rules), report: report)
    }

    /// Where a model's rules stand in the list: names with a wildcard last.
    private struct Place: Hashable, Comparable {
        var provider: Name?
        var model: Name

        var isOpen: Bool { model.text.utf8.contains(UInt8(ascii: "*")) }

        static func < (left: Place, right: Place) -> Bool {
            if left.isOpen != right.isOpen { return right.isOpen }
            if left.model != right.model { return left.model < right.model }
            switch (left.provider, right.provider) {
            case (let left?, let right?): return left < right
            // A rule for any provider would hide those behind it.
            case (_?, nil): return true
            default: return false
            }
        }
    }

    private static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}
