public import Billing
internal import SQLite

/// Alerts in byte order of their names, a page at a time, and where each stands.
public struct AlertsQuery: Query {
    public static let model = "alerts"
    public static let limitMax = 1000

    /// Nil: in any state.
    public var state: AlertStatus.State?
    /// Nil: of every owner. Else of this org's pool.
    public var org: Name?
    /// Alerts after this name.
    public var after: Name?
    public var limit: Int
    /// Calls and spend have fired when they have in the window that this is in.
    public var now: Timestamp

    /// `limit` in 1...`limitMax`.
    public init(state: AlertStatus.State?, org: Name?, after: Name?, limit: Int, now: Timestamp) {
        precondition((1...AlertsQuery.limitMax).contains(limit), "limit \(limit)")
        self.state = state
        self.org = org
        self.after = after
        self.limit = limit
        self.now = now
    }

    public func answer(from reader: Reader) throws -> [AlertStatus] {
        var found: [AlertStatus] = []
        var after = self.after
        // The state of a window depends on now, so that it is no column to ask for.
        while found.count < limit {
            let page = try page(after: after, reader)
            for status in page where found.count < limit && (state == nil || status.state == state) {
                found.append(status)
            }
            guard page.count == limit, let last = page.last else { break }
            after = last.alert.name
        }
        return found
    }

    private func page(after: Name?, _ reader: Reader) throws -> [AlertStatus] {
        let scan = Alerts.definitions.scanSQL
        var entries: [Alerts.Entry] = []
        let place: [Value] = [.text(after?.text ?? ""), .integer(Int64(limit))]
        if let org {
            try reader.database.rows(
                """
                \(scan) WHERE owner_kind = 0 AND owner = (SELECT id FROM names WHERE text = ?) AND alert > ?
                ORDER BY alert LIMIT ?
                """, .text(org.text), place[0], place[1]
            ) { entries.append(AlertColumns.entry($0)) }
        } else {
            try reader.database.rows("\(scan) WHERE alert > ? ORDER BY alert LIMIT ?", place[0], place[1]) {
                entries.append(AlertColumns.entry($0))
            }
        }
        return try entries.map { try status(of: $0, reader) }
    }

    private func status(of entry: Alerts.Entry, _ reader: Reader) throws -> AlertStatus {
        var fired = entry.fired
        let today = Int64(now.day.number)
        let window = try reader.database.integer(
            "SELECT max(position) FROM alert_windows WHERE alert = ? AND start_day <= ? AND end_day > ?",
            .text(entry.alert.name.text), .integer(today), .integer(today))
        if let window { fired = UInt64(window) }
        let state: AlertStatus.State = !entry.alert.isEnabled ? .ended : fired == 0 ? .armed : .fired
        return AlertStatus(
            alert: entry.alert, definedAt: entry.position, state: state, firedAt: state == .fired ? fired : nil)
    }
}

/// A definition and where it stands.
public struct AlertStatus: Hashable, Sendable {
    public enum State: CaseIterable, Sendable {
        case armed, fired, ended
        public var name: String { String(describing: self) }
    }

    public var alert: Alert
    /// Position of the definition that holds.
    public var definedAt: UInt64
    public var state: State
    /// Position of the record that fired it; nil when it is not fired.
    public var firedAt: UInt64?
}

/// Firings and recoveries in their order, the newest last, a page at a time.
public struct FiringsQuery: Query {
    public static let model = "alerts"
    public static let limitMax = 1000

    /// Nil: of every owner. Else of this org's pool.
    public var org: Name?
    /// Firings after this number.
    public var after: Int64
    public var limit: Int

    /// `limit` in 1...`limitMax`.
    public init(org: Name?, after: Int64, limit: Int) {
        precondition((1...FiringsQuery.limitMax).contains(limit), "limit \(limit)")
        self.org = org
        self.after = after
        self.limit = limit
    }

    public func answer(from reader: Reader) throws -> [AlertFiring] {
        let scan = Alerts.firings.scanSQL
        var firings: [AlertFiring] = []
        if let org {
            try reader.database.rows(
                """
                \(scan) WHERE owner_kind = 0 AND owner = (SELECT id FROM names WHERE text = ?) AND number > ?
                ORDER BY number LIMIT ?
                """, .text(org.text), .integer(after), .integer(Int64(limit))
            ) { firings.append(AlertColumns.firing($0)) }
        } else {
            try reader.database.rows(
                "\(scan) WHERE number > ? ORDER BY number LIMIT ?", .integer(after), .integer(Int64(limit))
            ) { firings.append(AlertColumns.firing($0)) }
        }
        return firings
    }
}
