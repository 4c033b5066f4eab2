import Billing
import Testing

@Suite struct QuotaTests {
    private func limit(_ limit: Int64, _ per: Plan.CallLimit.Per, _ enforce: Plan.CallLimit.Enforce = .hard)
        -> Plan.CallLimit
    {
        Plan.CallLimit(limit: limit, per: per, enforce: enforce)
    }

    @Test func `10,000 a month with 9,876 used leaves 124; call 10,000 may run and 10,001 may not`() {
        let time = Script.instant("11-22")
        let monthly = limit(10_000, .month)
        #expect(Quota.status(monthly, used: 9_876, at: time, anchorDay: 1).remaining == 124)
        #expect(Quota.status(monthly, used: 9_999, at: time, anchorDay: 1).allowsOneMore)
        #expect(!Quota.status(monthly, used: 10_000, at: time, anchorDay: 1).allowsOneMore)
        #expect(Quota.status(monthly, used: 10_003, at: time, anchorDay: 1).remaining == 0)
        #expect(Quota.status(limit(10, .month, .soft), used: 11, at: time, anchorDay: 1).allowsOneMore)
        #expect(!Quota.status(limit(0, .ever), used: 0, at: time, anchorDay: 1).allowsOneMore)
    }

    @Test func `windows start on the day, the anchor or never`() {
        let rows: [(per: Plan.CallLimit.Per, anchor: Int, at: String, resets: String?)] = [
            (.day, 1, "11-22", "2026-11-23T00:00:00Z"), (.month, 1, "11-22", "2026-12-01T00:00:00Z"),
            (.month, 15, "11-14", "2026-11-15T00:00:00Z"), (.month, 15, "11-15", "2026-12-15T00:00:00Z"),
            (.month, 28, "12-31", "2027-01-28T00:00:00Z"), (.ever, 1, "11-22", nil),
        ]
        for row in rows {
            let status = Quota.status(limit(5, row.per), used: 0, at: Script.instant(row.at), anchorDay: row.anchor)
            #expect(status.resetsAt?.rfc3339 == row.resets)
        }
    }

    @Test func `a call counts when it succeeded or used something`() {
        let plan = Plan(name: Script.name("p"), calls: [], markup: .zero, byokCountsCalls: false)
        let rows: [(words: [String], options: [String: String], counts: Bool, countsUnderPlan: Bool)] = [
            ([], [:], true, true), (["failure"], [:], false, false), (["failure"], ["in": "0"], false, false),
            (["failure"], ["in": "1"], true, true), (["failure"], ["seconds": "0.5"], true, true),
            (["aborted"], [:], false, false), (["aborted"], ["out": "3"], true, true), (["byok"], [:], true, false),
        ]
        for row in rows {
            let call = Script.call(row.options.merging(["user": "ann"]) { $1 }, row.words)
            #expect(Quota.uses(call, plan: nil) == row.counts, "\(row)")
            #expect(Quota.uses(call, plan: plan) == row.countsUnderPlan, "\(row)")
        }
    }
}
