import Billing

/// The command line of a verb: `--data DIR`, `--json`, folders by place, and the verb's own options.
struct Arguments {
    private(set) var data: String?
    private(set) var json = false
    private(set) var folders: [String] = []
    private var values: [String: [String]] = [:]

    /// - Parameter options: the verb's own, by name ("--known"), and how many values each takes.
    init(_ arguments: [String], options: [String: Int] = [:]) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            var name = argument
            var given: [String] = []
            if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
                name = String(argument[..<equals])
                given.append(String(argument[argument.index(after: equals)...]))
            }
            if name == "--json" && given.isEmpty {
                json = true
            } else if name == "--data" || options[name] != nil {
                let count = options[name] ?? 1
                while given.count < count, let value = rest.popFirst() { given.append(value) }
                guard given.count == count else {
                    throw Refusal(text: name == "--data" ? "--data needs a folder" : "\(name) takes \(count) value(s)")
                }
                if name == "--data" {
                    data = given[0]
                } else if values.updateValue(given, forKey: name) != nil {
                    throw Refusal(text: "\(name) is given twice")
                }
            } else if name.hasPrefix("--") {
                throw Refusal(text: "unknown option \(argument)")
            } else {
                folders.append(argument)
            }
        }
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

    // MARK: - The verb's own

    /// Whether an option was given: one that takes no value, say.
    func has(_ name: String) -> Bool { values[name] != nil }

    subscript(name: String) -> String? { values[name]?.first }

    /// All values of an option.
    func all(_ name: String) -> [String]? { values[name] }

    func name(_ option: String) throws -> Name? {
        guard let text = self[option] else { return nil }
        guard let name = Name(text) else { throw Refusal(text: "\(option): not a name of 1 to 256 bytes") }
        return name
    }

    /// `--org X` or `--user X`; nil when neither is given.
    func owner() throws -> Owner? {
        switch (try name("--org"), try name("--user")) {
        case (let org?, nil): return .org(org)
        case (nil, let user?): return .user(user)
        case (nil, nil): return nil
        default: throw Refusal(text: "--org or --user, not both")
        }
    }

    func neededOwner() throws -> Owner {
        guard let owner = try owner() else { throw Refusal(text: "whose? --org ORG or --user USER") }
        return owner
    }

    func position(_ option: String) throws -> UInt64? {
        guard let text = self[option] else { return nil }
        guard let position = Arguments.position(text) else {
            throw Refusal(text: "\(option): a position is a whole number from 1")
        }
        return position
    }

    func time(_ option: String) throws -> Timestamp? {
        guard let text = self[option] else { return nil }
        guard let time = Timestamp(rfc3339: text) else {
            throw Refusal(text: "\(option): an RFC 3339 time, such as 2025-11-03T00:00:00Z")
        }
        return time
    }

    /// Digits alone, and not 0.
    static func position(_ text: String) -> UInt64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(text).flatMap { $0 > 0 ? $0 : nil }
    }
}
