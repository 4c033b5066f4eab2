import Glibc
import Platform

/// What this program is, for `version`, `/metrics` and the start line.
let version = "0.1.0"

let usage = """
    tallystick: the billing engine daemon

      tallystick serve --data DIR [--listen ADDR:PORT] [--socket PATH] [--config FILE] ...
      tallystick keys add --data DIR --name NAME --scopes ingest,read,lago,admin
                          [--org ORG] [--default-org ORG] [--lago-owner org|user] [--expires TIME]
      tallystick keys list --data DIR [--json]
      tallystick keys rotate NAME --data DIR [--overlap 24h] [--expires TIME]
      tallystick keys revoke NAME|--id ID --data DIR
      tallystick import-prices FILE [--effective-at TIME] [--id ID] [--source SOURCE]
      tallystick version

    Options of serve (also as TALLYSTICK_* variables, and as members of the configuration file):

    """

func usageText() -> String {
    var text = usage
    for option in Option.serve {
        let name = "  --" + option.name
        let padding = String(repeating: " ", count: max(1, 27 - name.utf8.count))
        text += name + padding + option.help + (option.standard.isEmpty ? "" : " (\(option.standard))") + "\n"
    }
    let taken = Option.serve.filter(\.isTakenOver).map(\.member).joined(separator: ", ")
    text += "\nSIGHUP reads the keys and the configuration file again: it takes over \(taken)\n"
    text += "and names what else has changed, which holds from the next start on.\n"
    return text
}

/// Exit codes of sysexits.h: 64 usage, 70 a bug, 73 cannot create, 74 I/O error, 75 try again later, 78 configuration.
func fail(_ text: String, code: Int32 = 64) -> Never {
    Console.error("tallystick: \(text)\n")
    exit(code)
}

func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

let arguments = Array(CommandLine.arguments.dropFirst())
umask(0o077)
if arguments.contains("--help") || arguments.contains("-h") {
    Console.output(usageText())
    exit(0)
}
switch arguments.first {
case "serve":
    // Before anything else: a signal that comes while it starts waits until it runs.
    let signals = DaemonSignals()
    func settings() throws -> Settings {
        try Settings(arguments: Array(arguments.dropFirst()), environment: environment)
    }
    do {
        serve(try settings(), signals, rereading: settings)
    } catch let fault as Settings.Fault {
        fail(fault.text, code: 64)
    } catch {
        fail("\(error)", code: 78)
    }
case "keys":
    keysCommand(Array(arguments.dropFirst()))
case "import-prices":
    importPrices(Array(arguments.dropFirst()))
case "version", "--version":
    print("tallystick \(version)")
case "help":
    Console.output(usageText())
case nil:
    Console.error(usageText())
    exit(64)
case .some(let other):
    fail("unknown command \(other); see `tallystick help`")
}
