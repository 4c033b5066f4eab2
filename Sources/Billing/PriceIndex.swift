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
    private let open: [Int32]

    init(_ list: PriceList, position: UInt64, effective: Timestamp) {
        self.list = list
        self.position = position
        self.effective = effective
        var exact: [Name: [Int32]] = [:]
        var open: [Int32] = []
        for (index, rule) in list.rules.enumerated() {
            if let model = rule.model, !model.text.utf8.contains(Wildcard.star) {
                exact[model, default: []].append(Int32(index))
            } else {
                open.append(Int32(index))
            }
        }
        self.exact = exact
        self.open = open
    }

    /// The index of the first rule that matches; nil when none does.
    func rule(for call: Call) -> Int? {
        let byName = exact[call.model]?.first { matches(Int($0), call) }
        for index in open {
            if let byName, byName < index { break }
            if matches(Int(index), call) { return Int(index) }
        }
        return byName.map(Int.init)
    }

    private func matches(_ index: Int, _ call: Call) -> Bool {
        let rule = list.rules[index]
        if let operation = rule.operation, operation != call.operation { return false }
        if let provider = rule.provider, provider != call.provider { return false }
        guard let model = rule.model else { return true }
        return Wildcard.matches(model.text, call.model.text)
    }
}

/// Patterns in which `*` stands for any run of bytes, none included. Compared as bytes.
enum Wildcard {
    static let star: UInt8 = 0x2A

    /// Goes back to the last star only, so the time is at most the product of both lengths.
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let (pattern, text) = (Array(pattern.utf8), Array(text.utf8))
        var (at, seen) = (0, 0)
        var retry: (at: Int, seen: Int)?
        while seen < text.count {
            if at < pattern.count && pattern[at] == star {
                retry = (at + 1, seen)
                at += 1
            } else if at < pattern.count && pattern[at] == text[seen] {
                at += 1
                seen += 1
            } else if let last = retry {
                retry = (last.at, last.seen + 1)
                (at, seen) = (last.at, last.seen + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == star }
    }
}
