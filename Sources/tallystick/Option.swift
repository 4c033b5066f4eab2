import Glibc
import JSON
import Platform

/// One setting of the daemon: its flag, its variable (TALLYSTICK_ + upper case), its member of the configuration file.
struct Option {
    enum Kind {
        case text
        /// A whole number in this range.
        case integer(ClosedRange<Int64>)
    }

    var name: String
    var kind: Kind
    var standard: String
    var help: String
    /// Whether SIGHUP takes a change of it over; else it holds from the next start on.
    var isTakenOver = false

    var variable: String { "TALLYSTICK_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined() }
    var member: String { name.map { $0 == "-" ? "_" : String($0) }.joined() }

    /// Everything `serve` takes. Flags win over variables, variables over the file.
    static let serve: [Option] = [
        Option(name: "data", kind: .text, standard: "", help: "the data folder; made when it is not there"),
        Option(name: "listen", kind: .text, standard: "127.0.0.1:8787", help: "address:port; port 0 takes a free one"),
        Option(name: "socket", kind: .text, standard: "", help: "a Unix socket to listen on besides"),
        Option(name: "config", kind: .text, standard: "", help: "a JSON file with these settings, `-` written as `_`"),
        Option(
            name: "lago-window-seconds", kind: .integer(60...86_400), standard: "3600",
            help: "length of Lago windows, a divisor of a day"),
        Option(
            name: "log-origin", kind: .text, standard: "",
            help: "what checkpoints call this log, as meter.example.com/prod; default tallystick/ and its id"),
        Option(
            name: "map-gib", kind: .integer(1...4096), standard: "64", help: "how large the log may become, in GiB"),
        Option(
            name: "connections-max", kind: .integer(1...65_536), standard: "4096", help: "open connections at once"),
        Option(
            name: "connections-per-address-max", kind: .integer(1...65_536), standard: "2048",
            help: "of them from one address (of IPv6: one /64)"),
        Option(
            name: "trusted-proxy", kind: .text, standard: "",
            help: "proxies whose X-Forwarded-For counts: addresses, networks, unix; commas between"),
        Option(
            name: "request-line-bytes-max", kind: .integer(8000...65_536), standard: "8192", help: "else 414"),
        Option(
            name: "header-bytes-max", kind: .integer(1024...1_048_576), standard: "16384",
            help: "all headers of a request; else 431"),
        Option(name: "headers-max", kind: .integer(8...10_000), standard: "100", help: "of a request; else 431"),
        Option(
            name: "pipelined-requests-max", kind: .integer(1...10_000), standard: "16",
            help: "requests of one connection before others get their turn"),
        Option(
            name: "head-seconds", kind: .integer(1...600), standard: "10",
            help: "for a request's head, and for the first byte of a connection"),
        Option(
            name: "body-stall-seconds", kind: .integer(1...600), standard: "10",
            help: "how long a body may bring nothing"),
        Option(
            name: "write-stall-seconds", kind: .integer(1...600), standard: "10",
            help: "how long a client may take nothing of its answer"),
        Option(
            name: "bytes-per-second-min", kind: .integer(1...1_000_000), standard: "1024",
            help: "the slowest that bodies may come and answers be taken"),
        Option(
            name: "idle-seconds", kind: .integer(1...86_400), standard: "60", help: "between requests of a connection"),
        Option(
            name: "events-per-request-max", kind: .integer(1...30_000), standard: "10000",
            help: "events in one POST /v1/events"),
        Option(
            name: "events-body-mib-max", kind: .integer(1...1024), standard: "32", help: "body of POST /v1/events"),
        Option(
            name: "callback-body-mib-max", kind: .integer(1...65_536), standard: "1024",
            help: "body of a LiteLLM callback, which streams"),
        Option(
            name: "small-body-kib-max", kind: .integer(16...65_536), standard: "1024", help: "body of anything else"),
        Option(
            name: "bodies-mib-max", kind: .integer(8...65_536), standard: "128",
            help: "request bodies in memory, all connections together"),
        Option(
            name: "key-requests-per-second", kind: .integer(0...1_000_000), standard: "0",
            help: "of one key, over it 429; 0 for any number", isTakenOver: true),
        Option(
            name: "key-requests-burst", kind: .integer(1...1_000_000), standard: "100",
            help: "requests that a key may make at once", isTakenOver: true),
        Option(
            name: "pending-mib-max", kind: .integer(1...4096), standard: "64",
            help: "bytes waiting for the writer before it answers 503"),
        Option(
            name: "drain-seconds", kind: .integer(0...600), standard: "10",
            help: "how long requests in flight may take after SIGTERM", isTakenOver: true),
        Option(
            name: "log-format", kind: .text, standard: "text", help: "lines of the log: text or json",
            isTakenOver: true),
    ]
}

/// A command line, the environment and a file, made into settings.
struct Settings {
    struct Fault: Error {
        var text: String
    }

    private var values: [String: String] = [:]

    init(arguments: [String], environment: (String) -> String?, options: [Option] = Option.serve) throws {
        var flags: [String: String] = [:]
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            guard argument.hasPrefix("--") else { throw Fault(text: "unexpected argument \(argument)") }
            var name = String(argument.dropFirst(2))
            var value: String?
            if let equals = name.firstIndex(of: "=") {
                value = String(name[name.index(after: equals)...])
                name = String(name[..<equals])
            }
            guard options.contains(where: { $0.name == name }) else { throw Fault(text: "unknown option --\(name)") }
            if value == nil {
                index += 1
                guard index < arguments.count else { throw Fault(text: "--\(name) needs a value") }
                value = arguments[index]
            }
            flags[name] = value
            index += 1
        }
        let file = try Settings.file(at: flags["config"] ?? environment("TALLYSTICK_CONFIG"), options: options)
        for option in options {
            let value = flags[option.name] ?? environment(option.variable) ?? file[option.name] ?? option.standard
            if case .integer(let range) = option.kind {
                guard let number = Settings.integer(value), range.contains(number) else {
                    throw Fault(
                        text: "\(option.name) must be a whole number from \(range.lowerBound) to "
                            + "\(range.upperBound), not \"\(value)\"")
                }
            }
            values[option.name] = value
        }
    }

    func text(_ name: String) -> String { values[name] ?? "" }

    func integer(_ name: String) -> Int {
        guard let number = values[name].flatMap(Settings.integer) else { preconditionFailure("no setting \(name)") }
        return Int(number)
    }

    /// Takes a value over from others.
    mutating func take(_ option: Option, from other: Settings) { values[option.name] = other.values[option.name] }

    /// Digits only: `Int("+5")` would parse.
    private static func integer(_ text: String) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text)
    }

    private static func file(at path: String?, options: [Option]) throws -> [String: String] {
        guard let path, !path.isEmpty else { return [:] }
        let document: JSONValue
        do {
            document = try JSONValue.parse(try File.read(path, bytesMax: 1 << 20))
        } catch {
            throw Fault(text: "the configuration file \(path) cannot be read: \(error)")
        }
        guard case .object(let members) = document else { throw Fault(text: "\(path) is not a JSON object") }
        var values: [String: String] = [:]
        for member in members {
            guard let option = options.first(where: { $0.member == member.name && $0.name != "config" }) else {
                throw Fault(text: "\(path): unknown setting \(member.name)")
            }
            switch member.value {
            case .string(let text), .number(let text): values[option.name] = text
            default: throw Fault(text: "\(path): \(member.name) must be a string or a number")
            }
        }
        return values
    }
}
