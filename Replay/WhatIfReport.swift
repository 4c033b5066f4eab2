import Billing
import JSON

/// What a what-if found, for people and for programs.
struct WhatIfReport {
    private struct Line {
        var owner: String
        var row: WhatIf.Row
        var balanceThen: Int128
        var balanceNow: Int128
    }

    private let lines: [Line]
    private let totals: Line
    private let question: Question
    private let records: UInt64
    private let milliseconds: UInt64

    /// `org`: only its line.
    init(_ whatIf: WhatIf, question: Question, org: Name?, records: UInt64, milliseconds: UInt64) {
        self.question = question
        self.records = records
        self.milliseconds = milliseconds
        var rows: [Owner: WhatIf.Row] = [:]
        for row in whatIf.rows { rows[row.owner] = row }
        // An owner whose calls are another's still has a balance that may differ: a wallet behind a pool.
        let accounts = whatIf.actual.ledger.owners.union(whatIf.alternative.ledger.owners)
        for owner in accounts where rows[owner] == nil { rows[owner] = WhatIf.Row(owner: owner) }
        var lines: [Line] = []
        for (owner, row) in rows.sorted(by: { $0.key < $1.key }) {
            if let org, owner != .org(org) { continue }
            let then = whatIf.actual.ledger.account(owner)?.balance ?? .zero
            let now = whatIf.alternative.ledger.account(owner)?.balance ?? .zero
            if row == WhatIf.Row(owner: owner) && then == now { continue }
            let name = if case .user(let user) = owner { "\(user) (user)" } else { owner.name.text }
            lines.append(
                Line(owner: name, row: row, balanceThen: Int128(then.nanos), balanceNow: Int128(now.nanos)))
        }
        self.lines = lines
        var totals = Line(
            owner: "total", row: WhatIf.Row(owner: .org(Name(checked: "total"))), balanceThen: 0, balanceNow: 0)
        for line in lines {
            totals.row.add(line.row)
            totals.balanceThen += line.balanceThen
            totals.balanceNow += line.balanceNow
        }
        self.totals = totals
    }

    var json: String {
        var writer = JSONWriter()
        writer.beginObject()
        if let set = question.reverts { writer.member("reverts", string: set) }
        writer.member("from", string: question.substitution.from?.rfc3339)
        writer.member("to", string: question.substitution.until?.rfc3339)
        writer.member("records", integer: records)
        writer.member("milliseconds", integer: milliseconds)
        writer.key("rows")
        writer.beginArray()
        for line in lines {
            writer.beginObject()
            switch line.row.owner {
            case .org(let org): writer.member("org", string: org.text)
            case .user(let user): writer.member("user", string: user.text)
            }
            write(line, into: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.key("totals")
        writer.beginObject()
        write(totals, into: &writer)
        writer.endObject()
        writer.endObject()
        return writer.text
    }

    private func write(_ line: Line, into writer: inout JSONWriter) {
        let row = line.row
        writer.member("calls", integer: row.calls)
        writer.member("charge_then_credits", string: Amount.text(row.chargedThen))
        writer.member("charge_now_credits", string: Amount.text(row.chargedNow))
        writer.member("charge_difference_credits", string: Amount.text(row.chargedNow - row.chargedThen))
        writer.member("balance_then_credits", string: Amount.text(line.balanceThen))
        writer.member("balance_now_credits", string: Amount.text(line.balanceNow))
        writer.member("differing", integer: row.differing)
        writer.member("denied_then", integer: row.deniedThen)
        writer.member("denied_now", integer: row.deniedNow)
        writer.member("unpriced_then", integer: row.unpricedThen)
        writer.member("unpriced_now", integer: row.unpricedNow)
    }

    /// In credits; what the columns mean is in Schemas/RULES.md.
    var table: String {
        var table = TextTable([
            .init("owner", isText: true), .init("calls"), .init("charge then"), .init("charge now"),
            .init("difference"), .init("credits then"), .init("credits now"), .init("denied then"),
            .init("denied now"), .init("unpriced then"), .init("unpriced now"),
        ])
        for line in lines { table.add(cells(line)) }
        table.add(cells(totals), isTotal: true)
        let differing = totals.row.differing
        return table.text
            + "\(Amount.grouped(String(differing))) call\(differing == 1 ? "" : "s") cost otherwise; "
            + "\(Amount.grouped(String(records))) records in \(milliseconds) ms\n"
    }

    private func cells(_ line: Line) -> [String] {
        let row = line.row
        let amounts = [
            row.chargedThen, row.chargedNow, row.chargedNow - row.chargedThen, line.balanceThen, line.balanceNow,
        ]
        let counts = [row.deniedThen, row.deniedNow, row.unpricedThen, row.unpricedNow]
        return [line.owner, Amount.grouped(String(row.calls))] + amounts.map { Amount.grouped(Amount.text($0)) }
            + counts.map { Amount.grouped(String($0)) }
    }
}

/// Sums that may be larger than any balance.
enum Amount {
    /// n$ as credits, every digit, as in answers of the daemon.
    static func text(_ nanos: Int128) -> String { text(nanos, decimals: 6) }

    /// `value` / 10^`decimals`, without trailing zeros.
    static func text(_ value: Int128, decimals: Int) -> String {
        var digits = Array(String(value.magnitude))
        while digits.count <= decimals { digits.insert("0", at: 0) }
        var fraction = digits.suffix(decimals)
        while fraction.last == "0" { fraction.removeLast() }
        let whole = String(digits.dropLast(decimals))
        return (value < 0 ? "-" : "") + whole + (fraction.isEmpty ? "" : "." + String(fraction))
    }

    /// "1234567.5" as "1,234,567.5".
    static func grouped(_ number: String) -> String {
        let sign = number.hasPrefix("-") ? "-" : ""
        let parts = number.dropFirst(sign.count).split(separator: ".", omittingEmptySubsequences: false)
        var whole = ""
        for (index, digit) in parts[0].enumerated() {
            if index > 0 && (parts[0].count - index) % 3 == 0 { whole += "," }
            whole.append(digit)
        }
        return sign + whole + parts.dropFirst().map { "." + $0 }.joined()
    }
}
