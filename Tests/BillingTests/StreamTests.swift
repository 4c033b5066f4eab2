import Billing
import Testing

/// Long random streams of facts: what must hold after each of them, whatever came before.
@Suite struct StreamTests {
    /// One event as a row of a script.
    func row(_ number: Int, _ random: inout Seeded) -> String {
        func pick(_ choices: [String]) -> String { choices.randomElement(using: &random) ?? "" }
        let day = Int.random(in: 1...28, using: &random)
        let time = "@11-\(day < 10 ? "0" : "")\(day)"
        let owner = pick(["org:a", "org:b", "user:x", "user:y", "user:z"])
        let credits = pick(["0.000001", "3", "17.5", "100", "0.333333"])
        switch Int.random(in: 0..<28, using: &random) {
        case 24, 25:
            let org = pick(["org=a", "org=b", ""])
            let user = org.isEmpty ? "user=x" : pick(["user=x", "user=y", "user=z", ""])
            return "\(time) hold h\(number) \(org) \(user) credits=\(credits)"
        case 26:
            let end = pick(["release", "expirehold"])
            return "@11-28 \(end) h\(Int.random(in: max(0, number - 30)...number, using: &random)) \(pick(["org:a", "user:x"]))"
        case 27:
            let hold = "h\(Int.random(in: max(0, number - 30)...number, using: &random))"
            return "\(time) call org=a user=x in=\(Int.random(in: 0...5000, using: &random)) auth=\(hold)"
        case 20, 21:
            return "\(time) callvoid e\(Int.random(in: 1...number + 5, using: &random))"
        case 22, 23:
            let call = "\(pick(["org=a", "org=b"])) \(pick(["user=x", ""])) in=\(Int.random(in: 0...5000, using: &random))"
            return "\(time) amend e\(Int.random(in: 1...number + 5, using: &random)) \(call)"
        case 0...9:
            let org = pick(["org=a", "org=a", "org=b", ""])
            let user = org.isEmpty ? pick(["user=x", "user=y"]) : pick(["user=x", "user=y", "user=z", ""])
            let kind = pick(["", "", "", "byok", "failure", "hit"])
            return "\(time) call \(org) \(user) in=\(Int.random(in: 0...5000, using: &random)) \(kind)"
        case 10, 11:
            let limits = pick(["", "until=11-10", "from=11-05", "from=11-05 until=11-20", "priority=3"])
            let category = pick(["paid", "promo", "plan", "refund"])
            return "@11-01 grant g\(number) \(owner) \(credits) category=\(category) \(limits)"
        case 12: return "\(time) adjust j\(number) \(owner) \(pick(["", "-"]))\(credits)"
        case 13, 14:
            let amount = pick(["0", "1", "5", "20"])
            let period = pick(["day", "week", "month", "never"])
            return
                "alloc \(pick(["a", "b"])) \(pick(["x", "y", "z"])) \(pick(["cap", "carve_out"])) \(amount) \(period)"
        case 15: return "void g\(Int.random(in: 0...number, using: &random))"
        case 16: return "\(time) sweep"
        case 17:
            return "\(time) assign \(pick(["org:a", "org:b", "user:x"])) p\(Int.random(in: 0...2, using: &random)) "
                + "funding=\(pick(["org", "user", "org_then_user"]))"
        case 18: return "\(time) prices rule any=\(pick(["0.001", "0.333333", "1.1"]))"
        default: return "\(time) usage org=a user=x in=1000"
        }
    }

    func start() -> Script {
        Script.run("plan p0\nplan p1 markup=0.6\nplan p2 markup=0.4 overage=invoice\nprices from=10-01 rule any=0.01")
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func `credits are conserved, balances are the sum of movements, and changes are complete`(seed: UInt64) {
        var random = Seeded(seed)
        var script = start()
        var balances: [Owner: Money] = [:]
        var drawnOfLots: [Name: Money] = [:]
        var shadow = LedgerShadow()
        for number in 0..<400 {
            let row = row(number, &random)
            let before = script.events.count
            var other = script.book
            _ = script.perform(row)
            for (event, time) in script.events[before...] {
                for movement in other.apply(event, position: script.position, at: time).movements {
                    let balance = (balances[movement.owner] ?? .zero) + movement.amount + movement.invoiced
                    #expect(movement.balanceAfter == balance, "seed \(seed), row \(number): \(row)")
                    balances[movement.owner] = balance
                    for slice in movement.slices { drawnOfLots[slice.lot, default: .zero] += slice.amount }
                    let sliced = movement.slices.reduce(Money.zero) { $0 + $1.amount }
                    #expect(-movement.amount == sliced + movement.overage)
                }
            }
            shadow.merge(script.book.ledger.takeChanges())
        }
        let state = script.book.ledger.state
        for account in state.accounts {
            #expect(account.isConserved)
            #expect(account.balance == balances[account.owner] ?? .zero)
            let left = state.lots.filter { $0.owner == account.owner }.reduce(Money.zero) { $0 + $1.left }
            #expect(left == account.left)
        }
        for lot in state.lots {
            #expect(lot.isConserved)
            #expect(drawnOfLots[lot.id] == -lot.left)
        }
        #expect(state.lots.count > 10 && state.drawn.count > 5)
        #expect(shadow.state == state)
        #expect(script.events.contains { if case .authorizationGranted = $0.event.fact { true } else { false } })
        #expect(script.events.contains { $0.event.fact.unwinds?.charge.parts.isEmpty == false })
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `a restored book goes on as the one it was`(seed: UInt64) {
        var random = Seeded(seed &+ 100)
        var script = start()
        for number in 0..<150 { _ = script.perform(row(number, &random)) }
        var restored = script
        restored.book.ledger = Ledger(restoring: script.book.ledger.state, tracksChanges: true)
        _ = script.book.ledger.takeChanges()
        #expect(restored.book.ledger.takeChanges() == LedgerState())
        for number in 150..<300 {
            let row = row(number, &random)
            #expect(restored.perform(row) == script.perform(row), "seed \(seed), row \(number): \(row)")
        }
        #expect(restored.book.ledger.state == script.book.ledger.state)
        let end = Script.instant("11-28")
        #expect(restored.book.ledger.lotsEnding(through: end) == script.book.ledger.lotsEnding(through: end))
        for owner in script.book.ledger.state.accounts.map(\.owner) {
            #expect(restored.book.ledger.summary(of: owner, at: end) == script.book.ledger.summary(of: owner, at: end))
        }
    }

    @Test func `the same facts give the same book, admitted one by one or replayed`() {
        var random = Seeded(42)
        var script = start()
        for number in 0..<300 { _ = script.perform(row(number, &random)) }
        var replayed = Book()
        for (event, time) in Script.run("").events + script.events {
            replayed.apply(event, position: 1, at: time)
        }
        // Lots remember their position, which the replay above does not know.
        #expect(replayed.ledger.state.accounts == script.book.ledger.state.accounts)
        #expect(replayed.ledger.state.drawn == script.book.ledger.state.drawn)
        #expect(replayed.ledger.state.lots.map(\.left) == script.book.ledger.state.lots.map(\.left))
    }
}

/// Rows as a projection would keep them: only changes are merged in.
private struct LedgerShadow {
    var accounts: [Owner: Account] = [:]
    var lots: [Name: Lot] = [:]
    var allocations: [[Name]: UserAllocation] = [:]
    var drawn: [[String]: Drawn] = [:]
    var holds: [HoldKey: Hold] = [:]

    mutating func merge(_ changes: LedgerState) {
        for account in changes.accounts { accounts[account.owner] = account }
        for lot in changes.lots { lots[lot.id] = lot }
        for item in changes.allocations { allocations[[item.allocation.org, item.allocation.user]] = item }
        for hold in changes.holds { holds[hold.key] = hold }
        for key in changes.endedHolds { holds[key] = nil }
        for item in changes.drawn { drawn[[item.org.text, item.user.text, item.day.text]] = item }
    }

    var state: LedgerState {
        LedgerState(
            accounts: accounts.values.sorted { $0.owner < $1.owner }, lots: lots.values.sorted { $0.id < $1.id },
            allocations: allocations.values.sorted {
                ($0.allocation.org, $0.allocation.user) < ($1.allocation.org, $1.allocation.user)
            },
            drawn: drawn.values.sorted { ($0.org, $0.user, $0.day) < ($1.org, $1.user, $1.day) },
            holds: holds.values.sorted { $0.key < $1.key })
    }
}
