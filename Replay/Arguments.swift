/// The command line of a verb: `--data DIR`, `--json`, and folders by place.
struct Arguments {
    private(set) var data: String?
    private(set) var json = false
    private(set) var folders: [String] = []

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--json" {
                json = true
            } else if argument == "--data" {
                guard let value = rest.popFirst() else { throw Refusal(text: "--data needs a folder") }
                data = value
            } else if argument.hasPrefix("--data=") {
                data = String(argument.dropFirst("--data=".count))
            } else if argument.hasPrefix("--") {
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
}
