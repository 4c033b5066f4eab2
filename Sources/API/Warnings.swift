/// Warnings of `/readyz`: what an operator must look at though the daemon goes on serving. The status stays 200; what
/// stops it from serving is a reason, and 503. Anyone may ask, so a warning names no key, owner, path or amount: those
/// are in the log lines and behind the routes that need a key.
extension API {
    func warnings() async -> [String] {
        await parked.warnings(now: now())
    }
}
