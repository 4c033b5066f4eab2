public import Billing

/// A page for the printer: one file without anything from elsewhere, A4 with the table's head on every sheet.
public struct StatementHTML: StatementFormat {
    public static let contentType = "text/html; charset=utf-8"
    public static let fileExtension = "html"

    /// Decimals that every amount is written with.
    private let decimals: Int

    public init(_ totals: StatementTotals) {
        decimals = max(2, totals.decimals)
    }

    public func begin(_ head: StatementHead, into bytes: inout [UInt8]) {
        let totals = head.totals
        let title = "Statement of credits: \(head.owner.name), \(StatementHTML.period(head.period))"
        var html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        html += "<meta name=\"viewport\" content=\"width=device-width\">\n"
        html += "<title>\(Self.escaped(title))</title>\n<style>\(Self.style(foot: title))</style>\n</head>\n<body>\n"
        html += "<header>\n<h1>Statement of credits</h1>\n<table class=\"facts\">\n"
        let (kind, name) =
            switch head.owner {
            case .org(let name): ("Organisation", name)
            case .user(let name): ("User", name)
            }
        html += Self.fact(kind, name.text)
        html += Self.fact("Period", Self.period(head.period) + " (UTC, by the events' own times)")
        html += Self.fact("Unit", "credits; 1 credit = 0.001 USD")
        html += Self.fact("Known to", Self.known(head))
        html += "</table>\n</header>\n<table class=\"sums\">\n<thead><tr><th>Summary</th><th class=\"n\">Movements</th>"
        html += "<th class=\"n\">Credits</th><th class=\"n\">USD</th></tr></thead>\n<tbody>\n"
        html += sum("Opening balance", nil, totals.opening, isBalance: true)
        for kind in Movement.Kind.allCases where totals[kind].count > 0 {
            html += sum(Self.plural(kind), totals[kind].count, totals[kind].amount)
        }
        if totals.invoiced != .zero { html += sum("Overage taken over by invoice", nil, totals.invoiced) }
        html += sum("Closing balance", nil, totals.closing, isBalance: true)
        html += "</tbody>\n</table>\n<table class=\"lines\">\n<thead><tr><th>Time (UTC)</th><th class=\"n\">Record</th>"
        html += "<th class=\"t\">Movement</th><th>Details</th><th class=\"n\">Amount</th>"
        html += "<th class=\"n\">Balance</th></tr></thead>\n<tbody>\n"
        html += balance("Opening balance", head.period.from, totals.opening)
        bytes += html.utf8
    }

    public func line(_ entry: StatementEntry, balance: MoneySum, into bytes: inout [UInt8]) {
        let movement = entry.movement
        var html = "<tr><td class=\"t\">\(Self.time(entry.time))</td><td class=\"n\">\(entry.position)</td>"
        html += "<td class=\"t\">\(Self.single(movement.kind))</td>"
        html += "<td>\(Self.escaped(StatementWords.details(entry)))</td>"
        html += "<td class=\"n\">\(amount(MoneySum(movement.amount)))</td>"
        html += "<td class=\"n\">\(amount(balance))</td></tr>\n"
        bytes += html.utf8
    }

    public func end(_ head: StatementHead, into bytes: inout [UInt8]) {
        var html = balance("Closing balance", head.period.to, head.totals.closing)
        html += "</tbody>\n</table>\n<footer>\n<p>\(Self.grouped(head.totals.lines)) movements. Opening "
        html += "balance and movements"
        if head.totals.invoiced != .zero { html += ", overage taken over by invoice added back," }
        html += " make the closing balance. Movements stand in the order in which they were recorded.</p>\n"
        html += "<p>Drawn from the log to position \(head.position)"
        if let hash = head.recordHash { html += ", record hash <code>\(Self.escaped(hash))</code>" }
        html += ".</p>\n</footer>\n</body>\n</html>\n"
        bytes += html.utf8
    }

    // MARK: - Parts

    private func sum(_ what: String, _ count: Int64?, _ sum: MoneySum, isBalance: Bool = false) -> String {
        let count = count.map { Self.grouped($0) } ?? ""
        return "<tr\(isBalance ? " class=\"b\"" : "")><td>\(what)</td><td class=\"n\">\(count)</td>"
            + "<td class=\"n\">\(amount(sum))</td><td class=\"n\">\(dollars(sum))</td></tr>\n"
    }

    private func balance(_ what: String, _ time: Timestamp?, _ balance: MoneySum) -> String {
        let time = time.map { Self.time($0) } ?? ""
        return "<tr class=\"b\"><td class=\"t\">\(time)</td><td></td><td colspan=\"3\">\(what)</td>"
            + "<td class=\"n\">\(amount(balance))</td></tr>\n"
    }

    private static func fact(_ name: String, _ text: String) -> String {
        "<tr><th>\(name)</th><td>\(escaped(text))</td></tr>\n"
    }

    /// "-1,234.50" with a real minus sign, all amounts of the page with as many decimals.
    private func amount(_ money: MoneySum) -> String { Self.fixed(money.nanos, scale: 6, decimals: decimals) }

    private func dollars(_ money: MoneySum) -> String {
        Self.fixed(money.nanos, scale: 9, decimals: decimals + 3)
    }

    /// nanos x 10^-scale; `decimals` must hold all that is not zero.
    private static func fixed(_ nanos: Int128, scale: Int, decimals: Int) -> String {
        var unit: UInt128 = 1
        for _ in 0..<scale { unit *= 10 }
        let (whole, fraction) = nanos.magnitude.quotientAndRemainder(dividingBy: unit)
        let digits = String(fraction)
        let padded = String(repeating: "0", count: scale - digits.utf8.count) + digits
        return (nanos < 0 ? "\u{2212}" : "") + grouped(whole) + "." + padded.prefix(decimals)
    }

    private static func grouped(_ number: some BinaryInteger) -> String {
        let digits = String(number)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// "2025-11-03 09:15:00", with a fraction only when there is one.
    private static func time(_ time: Timestamp) -> String {
        var text = time.rfc3339
        text.removeLast()
        return text.replacing("T", with: " ")
    }

    /// Whole days are said as days, the last one included.
    private static func period(_ period: StatementPeriod) -> String {
        func said(_ time: Timestamp) -> String { time == time.day.start ? time.day.text : Self.time(time) }
        switch (period.from, period.to) {
        case (nil, nil): return "from the first movement to the last"
        case (let from?, nil): return "from \(said(from))"
        case (nil, let to?): return "to \(said(to)), exclusive"
        case (let from?, let to?):
            guard from == from.day.start, to == to.day.start else { return "\(said(from)) to \(said(to)), exclusive" }
            let last = Day(number: to.day.number - 1)
            return last == from.day ? from.day.text : "\(from.day.text) to \(last.text)"
        }
    }

    private static func known(_ head: StatementHead) -> String {
        guard let time = head.recordedAt else { return "position \(head.position)" }
        return "position \(head.position) of the log, recorded \(Self.time(time))"
    }

    private static func single(_ kind: Movement.Kind) -> String {
        switch kind {
        case .charge: "Charge"
        case .grant: "Grant"
        case .adjustment: "Adjustment"
        case .expiry: "Expiry"
        case .lotVoid: "Void"
        case .refund: "Refund"
        }
    }

    private static func plural(_ kind: Movement.Kind) -> String {
        switch kind {
        case .charge: "Charges"
        case .grant: "Grants"
        case .adjustment: "Adjustments"
        case .expiry: "Expired"
        case .lotVoid: "Voided"
        case .refund: "Refunds"
        }
    }

    /// Text between tags or quotes.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// A string of CSS: all but letters, digits and spaces as escapes (CSS Syntax section 4.3.7), so that no name ends
    /// it.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", " ": quoted.unicodeScalars.append(scalar)
            default: quoted += "\\" + String(scalar.value, radix: 16) + " "
            }
        }
        return quoted + "\""
    }

    private static func style(foot: String) -> String {
        """

        @page { size: A4; margin: 16mm 14mm 18mm;
          @bottom-left { content: \(quoted(foot)); font: 8pt sans-serif; color: #555; }
          @bottom-right { content: "Page " counter(page) " of " counter(pages); font: 8pt sans-serif; color: #555; } }
        * { box-sizing: border-box; }
        body { font: 9pt/1.35 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; color: #111;
          max-width: 182mm; margin: 8mm auto; padding: 0 4mm; }
        h1 { font-size: 16pt; font-weight: 600; margin: 0 0 4mm; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th { text-align: left; font-weight: 600; }
        td, th { padding: 0.8mm 1.5mm; vertical-align: top; overflow-wrap: anywhere; }
        .n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
        .t { white-space: nowrap; overflow-wrap: normal; }
        .facts { width: auto; margin-bottom: 5mm; }
        .facts th, .facts td { padding: 0.4mm 4mm 0.4mm 0; }
        .facts th { color: #555; font-weight: 400; }
        .sums { width: 70%; margin-bottom: 6mm; break-inside: avoid; }
        .sums th, .lines th { border-bottom: 0.4mm solid #111; }
        .sums td, .lines td { border-bottom: 0.1mm solid #ccc; }
        .b td { font-weight: 600; background: #f3f3f3; }
        .lines { font-size: 8pt; }
        .lines thead { display: table-header-group; }
        .lines tr { break-inside: avoid; }
        footer { margin-top: 5mm; font-size: 7.5pt; color: #555; break-inside: avoid; }
        footer p { margin: 0 0 1mm; }
        code { font-size: 7pt; overflow-wrap: anywhere; }
        @media print { body { margin: 0; padding: 0; max-width: none; }
          .b td { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }

        """
    }
}
