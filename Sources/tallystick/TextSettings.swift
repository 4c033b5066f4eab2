import HTTP
import Hashing
import Platform
import Server

/// The settings that are more than a number, each made into what it says; a start and a SIGHUP refuse the same.
struct TextSettings {
    let folder: String
    let form: LogLine.Form
    let address: ListenAddress
    /// Nil: the log's own.
    let origin: String?
    let trustedProxies: TrustedProxies

    init(_ settings: Settings) throws(Settings.Fault) {
        func refuse(_ text: String) -> Settings.Fault { Settings.Fault(text: text) }
        folder = settings.text("data")
        guard !folder.isEmpty else { throw refuse("--data DIR is needed: where the log and its read models are kept") }
        guard let form = LogLine.Form(rawValue: settings.text("log-format")) else {
            throw refuse("--log-format is text or json, not \"\(settings.text("log-format"))\"")
        }
        self.form = form
        guard let address = ListenAddress(settings.text("listen")) else {
            throw refuse("--listen takes ADDRESS:PORT, not \"\(settings.text("listen"))\"")
        }
        self.address = address
        let origin = settings.text("log-origin")
        guard origin.isEmpty || Checkpoint.isOrigin(origin) else {
            throw refuse("--log-origin takes 1 to 256 bytes without spaces or +, not \"\(origin)\"")
        }
        self.origin = origin.isEmpty ? nil : origin
        guard 86_400 % settings.integer("lago-window-seconds") == 0 else {
            throw refuse("lago-window-seconds must divide a day (86400)")
        }
        let proxies = settings.text("trusted-proxy")
        guard let trusted = proxies.isEmpty ? TrustedProxies() : TrustedProxies(proxies) else {
            throw refuse(
                "--trusted-proxy takes addresses and networks such as 127.0.0.1,10.1.0.0/16 and unix, not "
                    + "\"\(proxies)\"")
        }
        trustedProxies = trusted
    }
}
