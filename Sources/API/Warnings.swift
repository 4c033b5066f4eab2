internal import Engine

/// Warnings of `/readyz`: what an operator must look at though the daemon goes on serving. The status stays 200; what
/// stops it from serving is a reason, and 503. Anyone may ask, so a warning names no key, owner, path or amount: those
/// are in the log lines and behind the routes that need a key.
extension API {
    func warnings() async -> [String] {
        var warnings = await parked.warnings(now: now())
        let writer = self.writer.statistics
        for (type, code) in writer.ownRefused.sorted(by: { $0.key < $1.key }) {
            warnings.append("an event of the daemon's own is not taken and tried again: \(type), \(code)")
        }
        if !writer.foreign.isEmpty {
            let count = writer.foreign.count
            warnings.append("\(count) records of clients have ids of the daemon's own events: see its log")
        }
        if let warning = keyWarning { warnings.append(warning) }
        return warnings
    }

    /// Which file and which of its lines is in the log.
    private var keyWarning: String? {
        switch keys.fault {
        case nil: nil
        case .unreadable where keys.count == 0: "keys.json cannot be read: no key opens"
        case .unreadable: "keys.json cannot be read: the keys read before go on opening"
        case .damaged: "keys.json has damaged lines: a key on one opens only if it was read before"
        }
    }
}
