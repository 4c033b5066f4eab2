import Billing
import Platform
import Records
import Testing

@testable import Engine

struct CorrectionTests {
    private func event(_ id: Name, _ fact: Fact, time: Timestamp? = nil) -> Event {
        Event(source: "admin", id: id, time: time, fact: fact)
    }

    private func void(_ call: Name, id: Name, reason: String = "r") -> Event {
        event(id, .callVoided(CallVoided(source: "gateway", id: call, reason: reason)))
    }

    private func amend(_ name: Name, id: Name, org: Name = "acme", tokens: Int64) -> Event {
        guard case .call(let corrected) = call(name, org: org, tokens: tokens).fact else { preconditionFailure() }
        return event(id, .callAmended(CallAmended(source: "gateway", id: name, reason: "r", call: corrected)))
    }

    private func setUp(_ rig: Rig) throws {
        _ = try rig.post([
            event(
                "prices",
                .pricesPublished(
                    PriceList(
                        effectiveAt: .earliest, unit: .credits,
                        rules: [PriceRule(anyToken: Decimal(mantissa: 1, scale: 0))]))),
            event(
                "lot", .creditsGranted(Grant(owner: .org("acme"), credits: Money(nanos: 10_000_000), category: .paid))),
        ])
    }

    @Test func `a void is refused, a duplicate or a conflict by what it names and by its own key`() throws {
        let rig = try Rig()
        try setUp(rig)
        let first = try rig.post([
            call("c1"), void("c1", id: "v1"), void("c1", id: "v1"), void("c1", id: "v2"),
            void("c1", id: "v1", reason: "other"), void("nothing", id: "v3"), amend("c1", id: "a1", tokens: 5),
        ])
        #expect(
            first.map(\.summary) == [
                "stored 3", "stored 4", "duplicate 4", "rejected already_voided", "conflict 4",
                "rejected unknown_call", "rejected already_voided",
            ])
        try rig.restart()
        let second = try rig.post([
            void("c1", id: "v1"), void("c1", id: "v2"), void("v1", id: "v4"), void("lot", id: "v5"),
        ])
        #expect(
            second.map(\.summary) == [
                "duplicate 4", "rejected already_voided", "rejected unknown_call", "rejected unknown_call",
            ])
    }

    @Test func `the record of a correction holds what it unwinds, over restarts and within one group`() throws {
        let rig = try Rig()
        try setUp(rig)
        _ = try rig.post([call("c1", tokens: 995), amend("c1", id: "a1", tokens: 1995)])
        try rig.restart()
        _ = try rig.post([amend("c1", id: "a2", org: "beta", tokens: 5)])
        _ = try rig.post([void("c1", id: "v1")])
        let records = try rig.records()
        let unwound = records.compactMap(\.event.fact.unwinds)
        #expect(unwound.map(\.original) == [3, 3, 3])
        #expect(unwound.map(\.position) == [3, 4, 5])
        #expect(unwound.map(\.org) == ["acme", "acme", "beta"])
        #expect(unwound.allSatisfy { $0.occurredAt.microseconds == Rig.noon && $0.isCall })
        // 1,000 tokens cost 1 credit; the lot holds 10.
        #expect(unwound.map(\.charge.total.credits) == ["1", "2", "0.01"])
        #expect(unwound[1].charge.parts[0].slices == [Slice(lot: "lot", amount: Money(nanos: 2_000_000))])
        #expect(unwound[2].charge.parts[0].overage.credits == "0.01")
        var book = Book()
        for record in records { book.apply(record.event, position: record.position, at: record.occurredAt) }
        #expect(book.ledger.fault == nil)
        #expect(book.ledger.account(.org("acme"))?.balance.credits == "10")
        #expect(book.ledger.account(.org("beta"))?.balance.credits == "0")
    }

    @Test func `a confined key corrects its own org's calls and learns nothing of others`() throws {
        let rig = try Rig()
        _ = try rig.post([call("mine", org: "acme"), call("theirs", org: "beta")])
        let verdicts = try rig.post(
            [
                void("theirs", id: "v1"), void("nothing", id: "v2"), amend("mine", id: "a1", org: "beta", tokens: 1),
                amend("mine", id: "a2", tokens: 1), void("mine", id: "v3"), void("mine", id: "v3"),
            ], confinedTo: "acme")
        #expect(
            verdicts.map(\.summary) == [
                "rejected unknown_call", "rejected unknown_call", "rejected org_forbidden", "stored 3", "stored 4",
                "duplicate 4",
            ])
    }

    @Test func `a call that was amended to another org is that org's to correct`() throws {
        let rig = try Rig()
        _ = try rig.post([call("1", org: "acme"), amend("1", id: "a1", org: "beta", tokens: 1)])
        let acme = try rig.post([void("1", id: "v1"), amend("1", id: "a2", tokens: 2)], confinedTo: "acme")
        #expect(acme.map(\.summary) == ["rejected unknown_call", "rejected unknown_call"])
        #expect(try rig.post([void("1", id: "v2")], confinedTo: "beta").map(\.summary) == ["stored 3"])
    }

    @Test func `an amendment finds its owner behind a subscription`() throws {
        let rig = try Rig()
        _ = try rig.post([call("c1")])
        var corrected = Call(provider: "openai", model: "m", operation: .chat, status: .success)
        corrected.subscription = "sub"
        let amended = event(
            "a1", .callAmended(CallAmended(source: "gateway", id: "c1", reason: "r", call: corrected)))
        #expect(try rig.post([amended, amended]).map(\.summary) == ["stored 2", "duplicate 2"])
        guard case .callAmended(let stored)? = try rig.records().last?.event.fact else { preconditionFailure() }
        #expect(stored.call.org == "sub" && stored.unwinds?.org == "acme")
    }

    @Test func `charges are found again in memory and on disk, block by block`() throws {
        let folder = try Folder.makeTemporary(prefix: "charges-test")
        defer { try? Folder.remove(folder) }
        let store = try ChargeStore(folder: folder, blockBytes: 64)
        #expect(try Folder.list(folder).isEmpty)
        var ledger = Book()
        for number in 0..<5 {
            let grant = event(
                Name(checked: "lot\(number)"),
                .creditsGranted(Grant(owner: .org("acme"), credits: Money(nanos: 1), category: .paid)))
            ledger.apply(grant, position: UInt64(number + 1), at: Timestamp(microseconds: 0))
        }
        let stated = Call(org: "acme", user: "ann", provider: "p", model: "m", operation: .chat, status: .success)
        var charges: [UInt64: ChargeRecord] = [:]
        for number in 1...2000 as ClosedRange<UInt64> where number % 3 != 0 {
            let slices = (0..<number % 4).map {
                Slice(lot: Name(checked: "lot\(($0 + number) % 5)"), amount: Money(nanos: Int64(number * 1000 + $0 + 1)))
            }
            var parts = [ChargeRecord.Part(owner: .org("acme"), slices: slices, overage: Money(nanos: 7))]
            if number % 7 == 0 {
                parts[0].invoiced = Money(nanos: 5)
                parts.append(ChargeRecord.Part(owner: .user("ann"), slices: [Slice(lot: "lot1", amount: Money(nanos: .max))]))
            }
            let charge = ChargeRecord(parts: parts, drawn: Money(nanos: Int64(number % 2) * 3))
            charges[number * 5] = charge
            store.append(charge, position: number * 5, ledger: ledger.ledger)
        }
        for position in 0...10_010 as ClosedRange<UInt64> {
            #expect(try store.charge(at: position, of: stated, ledger: ledger.ledger) == charges[position])
        }
        #expect(store.bytesInMemory < 50_000)
    }
}
