import Platform

/// What the command line and the environment say.
struct Options {
    struct Fault: Error {
        var text: String
    }

    static let keyVariable = "TALLYSTICK_KEY"
    static let secretVariable = "TALLYSTICK_WEBHOOK_SECRET"
    static let secretBytesMax = 4096

    var url = "http://127.0.0.1:8787"
    var key = ""
    var webhook = ""
    var secret: [UInt8] = []
    /// The file that the secret came from, when it did.
    var secretPath: String?
    var statePath = ""
    var pollSeconds = 2
    var isOnce = false
    var skipsHistory = false
    var backoff = Backoff()

    static let usage = """
        tallystick-alerts: posts what alerts say to a webhook, each firing once

          tallystick-alerts --webhook URL --state FILE [--url URL] [--key KEY] [--secret FILE] ...

          --url URL             the daemon (http://127.0.0.1:8787)
          --key KEY             a key of it with the scope read (else $\(keyVariable))
          --webhook URL         where firings are posted, http or https; redirects are not followed
          --secret FILE         the secret that bodies are signed with (else $\(secretVariable));
                                a line feed at its end does not count. Without one nothing is signed.
                                SIGHUP reads FILE again
          --state FILE          what has been delivered; one program a file, and one file a daemon
          --poll-seconds N      how often the daemon is asked for more (2)
          --first-wait-ms N     wait after the first failed try (1000)
          --skip-history        when FILE is new: begin after the last firing there is, not with the first
          --once                try what is there once and end: 0 all delivered, 1 something is left
          --help

        A firing is one POST of a JSON object, as GET /v1/alerts/firings shows it, with the headers
          X-Tallystick-Firing: its number, the same in every try
          X-Tallystick-Signature: t=SECONDS,v1=HEX
        where HEX is HMAC-SHA-256, under the secret, of the digits of SECONDS, a full stop and the body. Compare it in
        constant time and refuse an old SECONDS.

        A firing that was answered 2xx is never posted again: FILE says so before the next one goes out. (When the
        program is killed between the answer and that write, the try is repeated: X-Tallystick-Firing tells.) Firings
        of one alert go out in their order, each when the one before is done.

        No answer, 5xx, 408 and 429: tried again for ever, after 1 s, 2 s, 4 s ... at most 5 minutes, each wait
        shortened by up to a half at random; Retry-After in seconds is honoured up to 5 minutes. Any other answer
        (3xx, 4xx) says that the address or the secret is wrong: tried again after 1 min, 2 min, 4 min ... at most
        1 hour, and after \(Backoff.refusalsMax) of them in a row the firing is skipped with an error line, so that it
        does not block the rest.

        """

    init(_ arguments: [String], environment: (String) -> String?) throws {
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            var name = argument
            var inline: String?
            if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
                name = String(argument[..<equals])
                inline = String(argument[argument.index(after: equals)...])
            }
            func value() throws(Fault) -> String {
                if let inline { return inline }
                guard index < arguments.count else { throw Fault(text: "\(name) needs a value") }
                defer { index += 1 }
                return arguments[index]
            }
            func number(_ range: ClosedRange<Int>) throws(Fault) -> Int {
                let text = try value()
                guard text.utf8.count < 10, !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                    let number = Int(text), range.contains(number)
                else {
                    throw Fault(
                        text: "\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
                            + "not \"\(text)\"")
                }
                return number
            }
            switch name {
            case "--url": url = try value()
            case "--key": key = try value()
            case "--webhook": webhook = try value()
            case "--secret": secretPath = try value()
            case "--state": statePath = try value()
            case "--poll-seconds": pollSeconds = try number(1...3600)
            case "--first-wait-ms": backoff.firstMilliseconds = UInt64(try number(1...300_000))
            case "--once" where inline == nil: isOnce = true
            case "--skip-history" where inline == nil: skipsHistory = true
            default: throw Fault(text: "unknown argument \(argument); see --help")
            }
        }
        if key.isEmpty { key = environment(Options.keyVariable) ?? "" }
        guard !key.isEmpty else { throw Fault(text: "a key is needed: --key or $\(Options.keyVariable)") }
        guard !webhook.isEmpty else { throw Fault(text: "--webhook is needed") }
        guard !statePath.isEmpty else { throw Fault(text: "--state is needed") }
        while url.hasSuffix("/") { url.removeLast() }
        if let secretPath {
            secret = try Options.secret(in: secretPath)
        } else {
            secret = Array((environment(Options.secretVariable) ?? "").utf8)
        }
    }

    /// The secret that a file holds now.
    static func secret(in path: String) throws(Fault) -> [UInt8] {
        var secret: [UInt8]
        do {
            secret = try File.read(path, bytesMax: secretBytesMax)
        } catch {
            throw Fault(text: "the secret cannot be read: \(error)")
        }
        while secret.last == 0x0A || secret.last == 0x0D { secret.removeLast() }
        if secret.isEmpty { throw Fault(text: "the secret in \(path) is empty") }
        return secret
    }
}
