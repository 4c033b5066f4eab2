import Billing

/// The command line of a verb: `--data DIR`, `--json`, the options and flags of its own, and folders by place.
struct Arguments {
    private(set) var json = false
    private(set) var folders: [String] = []
    private var values: [String: String] = [:]
    private var flags: Set<String> = []
    private var pairs: [String: (String, String)] = [:]

    /// - Parameters:
    ///   - options: what the verb takes with a value, without the dashes: `--name VALUE` or `--name=VALUE`.
    ///   - pairs: what it takes with two: `--name ONE OTHER`.
    ///   - flags: what it takes without one.
    init(
        _ arguments: [String], options: Set<String> = [], pairs paired: Set<String> = [], flags known: Set<String> = []
    ) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                folders.append(argument)
                continue
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if parts.count == 1 && (name == "json" || known.contains(name)) {
                if name == "json" { json = true } else { flags.insert(name) }
            } else if name == "data" || options.contains(name) {
                guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                    throw Refusal(text: name == "data" ? "--data needs a folder" : "--\(name) needs a value")
                }
                guard values.updateValue(value, forKey: name) == nil else {
                    throw Refusal(text: "--\(name) is given twice")
                }
            } else if parts.count == 1 && paired.contains(name) {
                guard let one = rest.popFirst(), let other = rest.popFirst() else {
                    throw Refusal(text: "--\(name) needs two values")
                }
                guard pairs.updateValue((one, other), forKey: name) == nil else {
                    throw Refusal(text: "--\(name) is given twice")
                }
            } else {
                throw Refusal(text: "unknown option \(argument)")
            }
        }
    }

    var data: String? { values["data"] }

    /// The value of an option, as given.
    subscript(option: String) -> String? { values[option] }

    func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// Both values of an option that takes two.
    func pair(_ option: String) -> (String, String)? { pairs[option] }

    /// A whole number in `range`; nil when the option was not given.
    func integer(_ option: String, in range: ClosedRange<UInt64>) throws -> UInt64? {
        guard let text = values[option] else { return nil }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text),
            range.contains(number)
        else {
            throw Refusal(
                text: "--\(option) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
                    + "not \"\(text)\"")
        }
        return number
    }

    /// A name as events have it; nil when the option was not given.
    func name(_ option: String) throws -> Name? {
        guard let text = values[option] else { return nil }
        guard let name = Name(text) else {
            throw Refusal(text: "--\(option) must be 1 to \(Name.bytesMax) bytes without control characters")
        }
        return name
    }

    /// Nil when the option was not given.
    func time(_ option: String) throws -> Timestamp? {
        guard let text = values[option] else { return nil }
        guard let time = Timestamp(rfc3339: text) else {
            throw Refusal(text: "--\(option) must be an RFC 3339 time such as 2026-11-01T00:00:00Z, not \"\(text)\"")
        }
        return time
    }

    /// The one folder that a verb works on.
    func folder() throws -> String {
        switch (data, folders.count) {
        case (let data?, 0): return data
        case (nil, 1): return folders[0]
        case (nil, 0): throw Refusal(text: "which data folder? --data DIR")
        default: throw Refusal(text: "one data folder, please")
        }
    }
}
