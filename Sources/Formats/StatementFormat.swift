public import Billing
public import JSON

/// A statement in one of its forms, written in pieces: a head, a line for each movement, an end. All forms say the
/// same.
public protocol StatementFormat: Sendable {
    /// "text/csv; charset=utf-8"
    static var contentType: String { get }
    /// Of a file that it is saved as.
    static var fileExtension: String { get }

    func begin(_ head: StatementHead, into bytes: inout [UInt8])
    /// - Parameter balance: after the movement: the opening balance and all lines to this one.
    mutating func line(_ entry: StatementEntry, balance: MoneySum, into bytes: inout [UInt8])
    func end(_ head: StatementHead, into bytes: inout [UInt8])
}

extension StatementFormat {
    /// "statement-acme-2025-11-01.csv": letters, digits and dashes only, whatever the owner is called.
    public static func fileName(_ head: StatementHead) -> String {
        var name = "statement-"
        for byte in head.owner.name.text.utf8.prefix(64) {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            name.unicodeScalars.append(isPlain ? Unicode.Scalar(byte) : "-")
        }
        if let from = head.period.from { name += "-" + from.day.text }
        return name + "." + fileExtension
    }
}

/// RFC 4180. The first line names the columns; the first and last rows are the balances.
public struct StatementCSV: StatementFormat {
    public static let contentType = "text/csv; charset=utf-8"
    public static let fileExtension = "csv"

    public init() {}

    public static let columns =
        "position,time,what,amount_credits,balance_credits,user,model,overage_credits,invoiced_credits,"
        + "authorization,settlement,held_credits"

    public func begin(_ head: StatementHead, into bytes: inout [UInt8]) {
        bytes += StatementCSV.columns.utf8
        bytes += "\r\n".utf8
        balance("opening", head.totals.opening, at: head.period.from, into: &bytes)
    }

    public func line(_ entry: StatementEntry, balance: MoneySum, into bytes: inout [UInt8]) {
        let movement = entry.movement
        let cells = [
            String(entry.position), entry.time.rfc3339, movement.kind.name, movement.amount.credits, balance.credits,
            StatementCSV.cell(movement.user), StatementCSV.cell(entry.model), movement.overage.credits,
            movement.invoiced.credits, StatementCSV.cell(entry.settlement?.authorization),
            entry.settlement?.kind.name ?? "", entry.settlement?.held.credits ?? "",
        ]
        bytes += cells.joined(separator: ",").utf8
        bytes += "\r\n".utf8
    }

    public func end(_ head: StatementHead, into bytes: inout [UInt8]) {
        balance("closing", head.totals.closing, at: head.period.to, into: &bytes)
    }

    private func balance(_ what: String, _ balance: MoneySum, at time: Timestamp?, into bytes: inout [UInt8]) {
        bytes += ",\(time?.rfc3339 ?? ""),\(what),,\(balance.credits),,,,,,,\r\n".utf8
    }

    /// Quoted always: a name may hold anything but control characters. A leading sign or "=" gets an apostrophe, so
    /// that no spreadsheet takes a customer's name for a formula.
    public static func cell(_ name: Name?) -> String {
        guard let name else { return "" }
        var text = name.text
        if let first = text.utf8.first, [0x3D, 0x2B, 0x2D, 0x40].contains(first) { text = "'" + text }
        var quoted = "\""
        for character in text.unicodeScalars {
            if character == "\"" { quoted += "\"" }
            quoted.unicodeScalars.append(character)
        }
        return quoted + "\""
    }
}

/// One JSON object.
public struct StatementJSON: StatementFormat {
    public static let contentType = "application/json"
    public static let fileExtension = "json"

    private var isFirst = true

    public init() {}

    public func begin(_ head: StatementHead, into bytes: inout [UInt8]) {
        var json = JSONWriter()
        json.object { json in
            json.owner(head.owner)
            StatementJSON.writeMembers(of: head, into: &json)
        }
        // The object goes on with its lines.
        bytes += json.bytes.dropLast()
        bytes += ",\"lines\":[".utf8
    }

    public mutating func line(_ entry: StatementEntry, balance: MoneySum, into bytes: inout [UInt8]) {
        if !isFirst { bytes += ",\n".utf8 }
        isFirst = false
        var json = JSONWriter()
        StatementJSON.write(entry, balance: balance, into: &json)
        bytes += json.bytes
    }

    public func end(_ head: StatementHead, into bytes: inout [UInt8]) {
        bytes += "]}\n".utf8
    }

    /// `from`, `to`, the balances, and what is between them.
    public static func writeMembers(of head: StatementHead, into json: inout JSONWriter) {
        json.member("from", string: head.period.from?.rfc3339)
        json.member("to", string: head.period.to?.rfc3339)
        json.member("position", integer: head.position)
        json.member("opening_credits", string: head.totals.opening.credits)
        json.key("movements")
        json.object { json in
            for kind in Movement.Kind.allCases {
                json.key(kind.name)
                json.object { json in
                    json.member("count", integer: head.totals[kind].count)
                    json.member("credits", string: head.totals[kind].amount.credits)
                }
            }
        }
        json.member("invoiced_credits", string: head.totals.invoiced.credits)
        json.member("closing_credits", string: head.totals.closing.credits)
    }

    /// A line as an object.
    public static func write(_ entry: StatementEntry, balance: MoneySum, into json: inout JSONWriter) {
        let movement = entry.movement
        json.object { json in
            json.member("position", integer: entry.position)
            json.member("time", string: entry.time.rfc3339)
            json.member("what", string: movement.kind.name)
            json.member("amount_credits", string: movement.amount.credits)
            json.member("balance_credits", string: balance.credits)
            json.member("user", string: movement.user?.text)
            json.member("model", string: entry.model?.text)
            if movement.overage != .zero { json.member("overage_credits", string: movement.overage.credits) }
            if movement.invoiced != .zero { json.member("invoiced_credits", string: movement.invoiced.credits) }
            if let settlement = entry.settlement {
                json.member("authorization", string: settlement.authorization.text)
                json.member("settlement", string: settlement.kind.name)
                json.member("held_credits", string: settlement.held.credits)
            }
            json.key("slices")
            json.slices(movement.slices)
        }
    }
}

/// Columns for a terminal.
public struct StatementText: StatementFormat {
    public static let contentType = "text/plain; charset=utf-8"
    public static let fileExtension = "txt"

    public init() {}

    public func begin(_ head: StatementHead, into bytes: inout [UInt8]) {
        let from = head.period.from?.rfc3339 ?? "the first record"
        let to = head.period.to?.rfc3339 ?? "the last"
        bytes += "\(StatementWords.owner(head.owner)), credits, from \(from) to \(to), known to position ".utf8
        bytes += "\(head.position)\n".utf8
        row("opening", "", head.totals.opening, into: &bytes)
    }

    public func line(_ entry: StatementEntry, balance: MoneySum, into bytes: inout [UInt8]) {
        let movement = entry.movement
        bytes += StatementText.right(String(entry.position), 9).utf8
        bytes += "  \(entry.time.rfc3339)  ".utf8
        bytes += StatementText.left(movement.kind.name, 10).utf8
        bytes += StatementText.right(movement.amount.credits, 18).utf8
        bytes += StatementText.right(balance.credits, 20).utf8
        bytes += "  \(StatementWords.details(entry))\n".utf8
    }

    public func end(_ head: StatementHead, into bytes: inout [UInt8]) {
        for kind in Movement.Kind.allCases where head.totals[kind].count > 0 {
            let sum = head.totals[kind]
            row(kind.name, "\(sum.count) x", sum.amount, into: &bytes)
        }
        if head.totals.invoiced != .zero { row("invoiced", "", head.totals.invoiced, into: &bytes) }
        row("closing", "", head.totals.closing, into: &bytes)
    }

    private func row(_ what: String, _ count: String, _ amount: MoneySum, into bytes: inout [UInt8]) {
        bytes += StatementText.left("", 11).utf8
        bytes += StatementText.left(what, 22).utf8
        bytes += StatementText.right(count, 18).utf8
        bytes += StatementText.right(amount.credits, 30).utf8
        bytes += "\n".utf8
    }

    private static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

/// What statements say in words.
enum StatementWords {
    static func owner(_ owner: Owner) -> String {
        switch owner {
        case .org(let name): "org \(name)"
        case .user(let name): "user \(name)"
        }
    }

    /// Who and what, and what no lot paid.
    static func details(_ entry: StatementEntry) -> String {
        let movement = entry.movement
        var parts: [String] = []
        if case .org = movement.owner, let user = movement.user { parts.append("user \(user)") }
        if let model = entry.model { parts.append(model.text) }
        if movement.kind != .charge, movement.kind != .refund, let lot = movement.slices.first?.lot {
            parts.append(movement.slices.count == 1 ? "lot \(lot)" : "\(movement.slices.count) lots")
        }
        if movement.overage != .zero { parts.append("overage \(movement.overage.credits)") }
        if movement.invoiced != .zero { parts.append("of it invoiced \(movement.invoiced.credits)") }
        return parts.joined(separator: ", ")
    }
}
