import Glibc
import Platform

/// Exit codes: 0 done, 1 something is left (`--once`), 64 usage, 69 the daemon refuses, 74 a file, 75 try again later.
func fail(_ text: String, code: Int32) -> Never {
    Console.error("tallystick-alerts: \(text)\n")
    exit(code)
}

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.contains(where: { $0 == "--help" || $0 == "-h" || $0 == "help" }) {
    Console.output(Options.usage)
    exit(0)
}
umask(0o077)

// Before there is any other thread, and waited for by one of ours: a firing on its way is finished.
let signals = DaemonSignals()
let stopping = Condition(false)
let secret = Lock<[UInt8]>([])

/// Obeys signals until one asks for the end.
@Sendable func obey(_ signals: DaemonSignals, secretPath: String?, secret: Lock<[UInt8]>, stopping: Condition<Bool>) {
    while true {
        let (request, name) = signals.next()
        switch request {
        case .nothing:
            LogLine.write(.info, "signal ignored", ["signal": name])
        case .reread:
            reread(secretPath, secret, signal: name)
        case .stop:
            LogLine.write(.info, "stopping", ["signal": name])
            stopping.signal { $0 = true }
            return
        }
    }
}

/// The secret is all that can be taken over: the rest is the command line.
func reread(_ path: String?, _ secret: Lock<[UInt8]>, signal: String) {
    guard let path else {
        LogLine.write(.info, "nothing to be read again: the secret is in no file", ["signal": signal])
        return
    }
    do throws(Options.Fault) {
        let found = try Options.secret(in: path)
        secret.withLock { $0 = found }
        LogLine.write(.info, "the secret was read again", ["signal": signal])
    } catch {
        LogLine.write(.error, "the secret is as it was", ["signal": signal, "reason": error.text])
    }
}

/// Waits for a daemon that says whether the state is of its log. False: told to stop before.
func check(_ courier: Courier, _ options: Options) throws -> Bool {
    while true {
        do throws(Feed.Fault) {
            if try courier.belongs() { return true }
            fail(
                "\(options.statePath) belongs to another log: the daemon does not know the last firing in it. "
                    + "Remove it to begin with the first firing again", code: 74)
        } catch {
            if options.isOnce || error.isRefusal { throw error }
            LogLine.write(.warning, error.description, ["url": options.url])
        }
        if stopping.wait(milliseconds: options.pollSeconds * 1000, until: { $0 ? true : nil }) ?? false { return false }
    }
}

/// True when nothing is left.
func deliver(_ options: Options) throws -> Bool {
    let known = try Delivered.read(options.statePath)
    var courier = Courier(
        options, secret: secret, web: Web(), delivered: known ?? Delivered(), stopping: stopping)
    if known == nil && options.skipsHistory { try courier.skipHistory() }
    if options.secret.isEmpty { LogLine.write(.warning, "no secret: nothing is signed") }
    guard try check(courier, options) else { return true }
    if options.isOnce { return try courier.runOnce() }
    try courier.run()
    return true
}

/// One program a state file.
func locked(_ options: Options) throws -> Bool {
    let file = options.statePath.split(separator: "/").last.map(String.init) ?? ""
    guard let lock = try FolderLock(folder: Folder.parent(of: options.statePath), name: file + ".lock") else {
        fail("\(options.statePath) is in use by another tallystick-alerts", code: 75)
    }
    defer { withExtendedLifetime(lock) {} }
    return try deliver(options)
}

do {
    let options = try Options(arguments) { name in getenv(name).map { String(cString: $0) } }
    for (name, address) in [("--url", options.url), ("--webhook", options.webhook)] where !Web.isAddress(address) {
        throw Options.Fault(text: "\(name) must be an http or https address, not \"\(address)\"")
    }
    secret.withLock { $0 = options.secret }
    let (path, waiting, held, ending) = (options.secretPath, signals, secret, stopping)
    let waiter = Thread(name: "signals") { obey(waiting, secretPath: path, secret: held, stopping: ending) }
    defer { withExtendedLifetime(waiter) {} }
    exit(try locked(options) ? 0 : 1)
} catch let fault as Options.Fault {
    fail(fault.text, code: 64)
} catch let fault as Feed.Fault {
    fail(fault.description, code: fault.isRefusal ? 69 : 75)
} catch {
    fail("\(error)", code: 74)
}
