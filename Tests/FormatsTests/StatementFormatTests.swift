import Billing
import Formats
import JSON
import TestEvents
import Testing

/// Statements as files: every name escaped, every amount to the digit.
@Suite struct StatementFormatTests {
    private let evil: Name = "<script>alert(\"1\")</script>&'=é"

    private func write(_ format: some StatementFormat, _ head: StatementHead, _ entries: [StatementEntry]) -> String {
        var format = format
        var bytes: [UInt8] = []
        var balance = head.totals.opening
        format.begin(head, into: &bytes)
        for entry in entries {
            balance += entry.movement.effect
            format.line(entry, balance: balance, into: &bytes)
        }
        format.end(head, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func sample(_ owner: Owner) -> (head: StatementHead, entries: [StatementEntry]) {
        let from = Timestamp(rfc3339: "2025-11-01T00:00:00Z")!
        let period = StatementPeriod(from: from, to: Timestamp(rfc3339: "2025-12-01T00:00:00Z"))
        var totals = StatementTotals()
        var entries: [StatementEntry] = []
        func add(
            _ kind: Movement.Kind, _ nanos: Int64, invoiced: Int64 = 0, day: Int64, _ user: Name?, _ model: Name?
        ) {
            let time = from.adding(seconds: day * 86_400 + 3_661)
            let money = Money(nanos: nanos)
            let taken = Money(nanos: invoiced)
            totals.add(kind, amount: money, invoiced: taken, at: time, in: period)
            guard period.contains(time) else { return }
            entries.append(
                StatementEntry(
                    position: UInt64(entries.count + 7), sequence: 0, time: time, model: model,
                    movement: Movement(
                        kind: kind, owner: owner, user: user, amount: money, balanceAfter: .zero,
                        slices: [Slice(lot: "lot \"1\"", amount: -money)], overage: taken, invoiced: taken)))
        }
        add(.grant, 1_234_567_000_000, day: -1, nil, nil)
        add(.charge, -9_000, day: 1, evil, "gpt-4o")
        add(.charge, -2_500_000, invoiced: 2_500_000, day: 2, "ann", evil)
        add(.grant, 1_000_000_000, day: 3, nil, nil)
        return (
            StatementHead(
                owner: owner, period: period, position: 99, recordedAt: from, recordHash: "abc", totals: totals),
            entries
        )
    }

    @Test func `the page escapes every name and writes all amounts with the same decimals`() {
        let (head, entries) = sample(.org(evil))
        let page = write(StatementHTML(head.totals), head, entries)
        #expect(!page.contains("<script"))
        #expect(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;=é"))
        for piece in [
            "<td class=\"n\">1,234,567.000</td><td class=\"n\">1,234.567000</td>", "\u{2212}0.009", "1,234,566.991",
            "1,235,566.991", "2025-11-01 to 2025-11-30", "2025-11-02 01:01:01", "position 99", "abc", "@page",
            "table-header-group", "Overage taken over by invoice",
        ] { #expect(page.contains(piece), "\(piece)") }
        // Nothing comes from elsewhere.
        #expect(!page.contains("http") && !page.contains("url(") && !page.contains("src="))
        #expect(head.totals.addsUp && head.totals.decimals == 3)
    }

    @Test func `the file for spreadsheets begins and ends with the balances`() {
        let (head, entries) = sample(.org("acme"))
        let lines = write(StatementCSV(), head, entries).split(separator: "\r\n")
        #expect(lines.count == 6)
        #expect(lines[1] == ",2025-11-01T00:00:00Z,opening,,1234567,,,,,,,")
        #expect(lines[2].hasPrefix("7,2025-11-02T01:01:01Z,charge,-0.009,1234566.991,\"<script>alert(\"\"1\"\")"))
        #expect(lines[3].hasSuffix("\",2.5,2.5,,,"))
        #expect(lines[5] == ",2025-12-01T00:00:00Z,closing,,1235566.991,,,,,,,")
    }

    @Test func `the JSON is one object, read back to the digit`() throws {
        let (head, entries) = sample(.user(evil))
        let document = try JSONValue.parse(Array(write(StatementJSON(), head, entries).utf8))
        #expect(document["user"] == .string(evil.text))
        #expect(document["opening_credits"] == .string("1234567"))
        #expect(document["closing_credits"] == .string("1235566.991"))
        let member: JSONValue? = document["lines"]
        guard case .array(let lines)? = member else {
            Issue.record("no lines")
            return
        }
        #expect(lines.count == 3 && lines[2]["balance_credits"] == .string("1235566.991"))
        #expect(lines[1]["invoiced_credits"] == .string("2.5"))
    }

    @Test func `a file's name is plain whatever the owner is called`() {
        let (head, _) = sample(.org(evil))
        let name = StatementCSV.fileName(head)
        #expect(name.hasPrefix("statement--script-alert") && name.hasSuffix("-2025-11-01.csv"))
        let plain = Set("abcdefghijklmnopqrstuvwxyz0123456789-.".utf8)
        #expect(Set(name.utf8).isSubset(of: plain))
    }

    @Test func `text has its columns`() {
        let (head, entries) = sample(.org("acme"))
        let lines = write(StatementText(), head, entries).split(separator: "\n")
        #expect(lines[0].hasPrefix("org acme, credits, from 2025-11-01T00:00:00Z"))
        #expect(lines.count == 1 + 1 + 3 + 2 + 1 + 1)
    }
}
