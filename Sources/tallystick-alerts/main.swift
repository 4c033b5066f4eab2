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

// Blocked before there is any other thread, and waited for by one of ours: a firing on its way is finished.
var signals = sigset_t()
sigemptyset(&signals)
sigaddset(&signals, SIGTERM)
sigaddset(&signals, SIGINT)
pthread_sigmask(SIG_BLOCK, &signals, nil)
signal(SIGPIPE, SIG_IGN)

let stopping = Condition(false)
let waiting = signals
let waiter = Thread(name: "signals") {
    var waiting = waiting
    var number: Int32 = 0
    sigwait(&waiting, &number)
    stopping.signal { $0 = true }
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
    var courier = Courier(options, web: Web(), delivered: known ?? Delivered(), stopping: stopping)
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
    exit(try locked(options) ? 0 : 1)
} catch let fault as Options.Fault {
    fail(fault.text, code: 64)
} catch let fault as Feed.Fault {
    fail(fault.description, code: fault.isRefusal ? 69 : 75)
} catch {
    fail("\(error)", code: 74)
}
