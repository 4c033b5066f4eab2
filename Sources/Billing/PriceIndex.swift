/// A published price list, ready to be asked: rules of one exact model found by its name, the others tried in order.
/// A class that never changes, so that a book is copied without copying 20,000 rules.
final class PriceIndex: Sendable {
    let list: PriceList
    /// Of its `prices.published` record.
    let position: UInt64
    let effective: Timestamp
    /// Rules whose model has no wildcard, by model; indexes ascend.
    private let exact: [Name: [Int32]]
    /// Rules for any model and rules with a wildcard; indexes ascend.
    private let open: [OpenRule]
    /// Every number of input tokens that some rule starts above, ascending.
    private let thresholds: [Int64]

    private struct OpenRule: Sendable {
        var index: Int32
        /// Nil: any model.
        var pattern: [UInt8]?
    }

    init(_ list: PriceList, position: UInt64, effective: Timestamp) {
        self.list = list
        self.position = position
        self.effective = effective
        var exact: [Name: [Int32]] = [:]
        var open: [OpenRule] = []
        for (index, rule) in list.rules.enumerated() {
            if let model = rule.model, !model.text.utf8.contains(Wildcard.star) {
                exact[model, default: []].append(Int32(index))
            } else {
                open.append(OpenRule(index: Int32(index), pattern: rule.model.map { Array($0.text.utf8) }))
            }
        }
        self.exact = exact
        self.open = open
        thresholds = Set(list.rules.compactMap(\.aboveInputTokens)).sorted()
    }

    /// Whether what a call costs may depend on how much it used beyond the sums of it.
    var hasBands: Bool { !thresholds.isEmpty }

    /// Which of the list's thresholds a call is above: two calls of one provider, model, operation and band match the
    /// same rule.
    func band(of call: Call) -> Int32 {
        if thresholds.isEmpty { return 0 }
        guard let input = call.usage?.inputTokens else { return 0 }
        return Int32(thresholds.prefix { input > $0 }.count)
    }

    /// The index of the first rule that matches; nil when none does.
    func rule(for call: Call) -> Int? {
        let byName = exact[call.model]?.first { matches(Int($0), call) }
        var model = call.model.text
        let found = model.withUTF8 { model in
            open.prefix { $0.index < byName ?? .max }.first { rule in
                if let pattern = rule.pattern, !Wildcard.matches(pattern, model) { return false }
                return matches(Int(rule.index), call)
            }
        }
        return (found?.index ?? byName).map(Int.init)
    }

    /// Whether a rule matches, its model aside.
    private func matches(_ index: Int, _ call: Call) -> Bool {
        let rule = list.rules[index]
        if let operation = rule.operation, operation != call.operation { return false }
        if let provider = rule.provider, provider != call.provider { return false }
        if let above = rule.aboveInputTokens {
            guard let input = call.usage?.inputTokens, input > above else { return false }
        }
        return true
    }
}

/// Patterns in which `*` stands for any run of bytes, none included. Compared as bytes.
enum Wildcard {
    static let star: UInt8 = 0x2A

    /// Goes back to the last star only, so the time is at most the product of both lengths.
    static func matches(_ pattern: [UInt8], _ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var (at, seen) = (0, 0)
        // Where to go on after the last star; -1 before the first.
        var (retryAt, retrySeen) = (-1, 0)
        while seen < text.count {
            if at < pattern.count && pattern[at] == star {
                at += 1
                (retryAt, retrySeen) = (at, seen)
            } else if at < pattern.count && pattern[at] == text[seen] {
                at += 1
                seen += 1
            } else if retryAt >= 0 {
                retrySeen += 1
                (at, seen) = (retryAt, retrySeen)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == star }
    }
}
