internal import Billing
internal import JSON

/// What of a cost map is in the price list, and what is not, by key of the map.
public struct CostMapReport: Hashable, Sendable {
    /// Why a price is not in the list, or not quite as it is in the map.
    public enum Reason: UInt8, CaseIterable, Sendable, Comparable {
        case tier, modality, cacheHours, threshold, tieredPricing, hours, factor, allowance, size, unit, alternative
        case onceACall, rounded, notAPrice, unusable, shadowed, unknown

        public var text: String {
            switch self {
            case .tier: "a service tier, which calls do not state: they cost the standard price"
            case .modality: "tokens of audio, images or video, which count as tokens of their total"
            case .cacheHours: "a cache write kept for hours costs as any other"
            case .threshold: "a threshold without input_cost_per_token at the same number of tokens"
            case .tieredPricing: "tiers that are not by input tokens from 0 on without a gap"
            case .hours: "hours of the day: the standard price holds all day"
            case .factor: "a factor or an extra of a region, an endpoint or a mode"
            case .allowance: "a free allowance: all of it costs"
            case .size: "a size or resolution, which calls do not state"
            case .unit: "a unit that no rule can price"
            case .alternative: "the model is priced in another unit already"
            case .onceACall: "carried over as a price per call, however many units a call used"
            case .rounded: "carried over, rounded to 12 decimals"
            case .notAPrice: "not a number from 0 to below 1,000,000"
            case .unusable: "not an object, or the model's name is longer than 256 bytes"
            case .shadowed: "another entry for the same provider and model is used"
            case .unknown: "not known to this version"
            }
        }

        public static func < (left: Reason, right: Reason) -> Bool { left.rawValue < right.rawValue }
    }

    /// One key of the map and how often it was met for one reason.
    public struct Loss: Hashable, Sendable {
        public var reason: Reason
        public var key: String
        public var count: Int
        /// The first ones, "model value".
        public var examples: [String]
    }

    public static let examplesMax = 2

    /// Entries of the map.
    public var models = 0
    /// Entries with a rule at least.
    public var priced = 0
    public var rules = 0
    /// Keys of entries that the list has no rule for: their calls are charged 0 and listed as unpriced.
    public var withoutRule: [String] = []
    /// Models with token prices and none for cached input, which then costs as other input.
    public var withoutCachePrice = 0
    private var found: [Reason: [String: Loss]] = [:]

    public init() {}

    /// In order of reason, then of how often, then of key.
    public var losses: [Loss] {
        found.values.flatMap(\.values).sorted { left, right in
            if left.reason != right.reason { return left.reason < right.reason }
            if left.count != right.count { return left.count > right.count }
            return left.key.utf8.lexicographicallyPrecedes(right.key.utf8)
        }
    }

    mutating func note(_ reason: Reason, key: String, model: String, value: JSONValue) {
        var loss = found[reason]?[key] ?? Loss(reason: reason, key: key, count: 0, examples: [])
        loss.count += 1
        if loss.examples.count < CostMapReport.examplesMax {
            let shown: String? =
                switch value {
                case .number(let text), .string(let text): text
                case .bool(let flag): String(flag)
                default: nil
                }
            loss.examples.append(shown.map { "\(model) \($0)" } ?? model)
        }
        found[reason, default: [:]][key] = loss
    }

    /// For a person, without line ends.
    public var lines: [String] {
        var lines = ["\(models) models read: \(priced) with prices, in \(rules) rules"]
        if withoutCachePrice > 0 {
            lines.append("\(withoutCachePrice) models have no price for cached input: it costs there as other input")
        }
        if !withoutRule.isEmpty {
            let some = withoutRule.prefix(CostMapReport.examplesMax).joined(separator: ", ")
            let more = withoutRule.count > CostMapReport.examplesMax ? ", ..." : ""
            lines.append("\(withoutRule.count) models have no rule, their calls will be unpriced: \(some)\(more)")
        }
        var last: Reason?
        for loss in losses {
            if loss.reason != last { lines.append("Not as in the map: \(loss.reason.text)") }
            last = loss.reason
            let more = loss.count > loss.examples.count ? ", ..." : ""
            lines.append("  \(loss.count) x \(loss.key): \(loss.examples.joined(separator: ", "))\(more)")
        }
        return lines
    }
}
