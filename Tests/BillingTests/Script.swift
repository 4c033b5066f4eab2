import Billing
import TestEvents
import Testing

/// A book driven by rows of text, one event or question a row: `@time verb arguments => what came of it`. A row without
/// a time has that of the row before it. What comes of it is compared as text, so that every verdict and number is
/// seen.
struct Script {
    var book = Book(tracksChanges: true, countsCalls: true)
    var time = Script.instant("11-01")
    var position: UInt64 = 0
    var events: [(event: Event, time: Timestamp)] = []
    var history = CallHistory()

    /// Runs every row and reports each that came out otherwise.
    @discardableResult
    static func run(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> Script {
        var script = Script()
        for row in text.split(separator: "\n") {
            let parts = row.split(separator: "=>", maxSplits: 1, omittingEmptySubsequences: false).map { trimmed($0) }
            guard let statement = parts.first, !statement.isEmpty else { continue }
            let actual = script.perform(statement)
            if parts.count == 2 {
                #expect(actual == parts[1], "row: \(statement)", sourceLocation: sourceLocation)
            } else {
                let failed = actual.hasPrefix("rejects")
                #expect(!failed, "row: \(statement): \(actual)", sourceLocation: sourceLocation)
            }
        }
        return script
    }

    mutating func perform(_ statement: String) -> String {
        var words = statement.split(separator: " ").map(String.init)
        if words[0].hasPrefix("@") { time = Script.instant(String(words.removeFirst().dropFirst())) }
        let verb = words.removeFirst()
        switch verb {
        case "balance": return book.ledger.account(Script.owner(words[0]))?.balance.credits ?? "none"
        case "available":
            let available =
                words.count == 2
                ? book.ledger.available(org: Script.name(words[0]), user: Script.name(words[1]), at: time)
                : book.ledger.summary(of: Script.owner(words[0]), at: time)?.available
            return available?.credits ?? "none"
        case "ending":
            return book.ledger.lotsEnding(through: time).map { "\($0.lot) \($0.credits.credits)" }
                .joined(separator: ", ")
        case "drawn":
            let summary = book.ledger.summary(of: .org(Script.name(words[0])), at: time)
            let status = summary?.allocations.first { $0.allocation.user.text == words[1] }
            return status.map {
                "\($0.drawn.credits) left \($0.remaining.credits) until \($0.resetsAt?.rfc3339 ?? "-")"
            }
                ?? "none"
        case "ask": return ask(words, holding: false)
        case "hold": return ask(words, holding: true)
        case "held": return book.ledger.account(Script.owner(words[0]))?.held.credits ?? "none"
        case "holds":
            return book.ledger.holdsEnding(through: time).map { "\($0.key.id) \($0.amount.credits)" }
                .joined(separator: ", ")
        case "release", "expirehold": return end(words, expires: verb == "expirehold")
        case "sweep":
            // What the daemon does when ends pass.
            return book.ledger.lotsEnding(through: time).map { take("expire", [$0.lot.text, $0.credits.credits]) }
                .joined(separator: "; ")
        default:
            return take(verb, words)
        }
    }

    /// `ID org= user= credits= | in= out=`, the words of a call, `ttl=` in seconds. A hold that is granted is applied.
    private mutating func ask(_ words: [String], holding: Bool) -> String {
        var options: [String: String] = [:]
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { options[parts[0]] = parts[1] }
        }
        let call = Script.call(options, words)
        let request = AuthorizationRequest(
            id: Script.name(words[0]), org: call.org, user: call.user, provider: call.provider, model: call.model,
            operation: call.operation, keySource: call.keySource, inputTokens: call.usage?.inputTokens,
            maxOutputTokens: call.usage?.outputTokens, credits: options["credits"].map(Script.money),
            attributes: call.attributes)
        let before = book.ledger.state
        do {
            let decision = try book.authorize(request, at: time)
            #expect(book.ledger.state == before)
            if holding {
                let ttl = Int64(options["ttl"] ?? "600") ?? 600
                let fact = decision.fact(for: request, expiresAt: time.adding(seconds: ttl))
                position += 1
                let refused = take(Script.name("e\(position)"), fact)
                if refused.hasPrefix("rejects") { return refused }
            }
            return Script.render(decision)
        } catch {
            return "rejects \(error.code) \(error.field)"
        }
    }

    private mutating func end(_ words: [String], expires: Bool) -> String {
        let owner = Script.owner(words[1])
        let held = book.ledger.hold(HoldKey(owner: owner, id: Script.name(words[0])))?.amount ?? .zero
        var ended = AuthorizationEnded(id: Script.name(words[0]), org: nil, user: nil, credits: held)
        switch owner {
        case .org(let org): ended.org = org
        case .user(let user): ended.user = user
        }
        position += 1
        return take(
            Script.name("e\(position)"), expires ? .authorizationExpired(ended) : .authorizationReleased(ended))
    }

    static func render(_ decision: AuthorizationDecision) -> String {
        let amounts = "\(decision.requested.credits) of \(decision.available.credits)"
        guard let refusal = decision.refusal else {
            let calls = decision.calls.map { standing in
                " \(render(standing.owner)) \(standing.status.used)+\(standing.running)/\(standing.status.limit.limit)"
            }
            return "holds \(amounts)" + calls.joined()
        }
        var text = "\(refusal.rule.name) \(render(refusal.owner)) "
        if let calls = refusal.calls {
            text += "\(calls.used)+\(calls.running) of \(calls.limit) per \(calls.per.name)"
            if let time = calls.resetsAt { text += " until \(time.rfc3339)" }
        } else {
            text += "\(refusal.requested.credits) of \(refusal.available.credits)"
        }
        return text
    }

    private mutating func take(_ verb: String, _ words: [String]) -> String {
        position += 1
        let (id, fact) = Script.fact(verb, words, number: position)
        return take(id, fact)
    }

    private mutating func take(_ id: Name, _ fact: Fact) -> String {
        var event = Event(source: Script.name("test"), id: id, time: time, fact: fact)
        do { event = try history.resolved(event) } catch { return "rejects \(error.code) \(error.field)" }
        // The three ways in must agree.
        var other = book
        var admitted: Rejection?
        do { try other.admit(event, at: time) } catch { admitted = error }
        do {
            let outcome = try book.take(event, position: position, at: time)
            #expect(admitted == nil)
            #expect(other.apply(event, position: position, at: time) == outcome)
            #expect(other.ledger.state == book.ledger.state)
            #expect(book.ledger.fault == nil)
            history.note(event, outcome: outcome, position: position, at: time)
            events.append((event, time))
            return Script.render(outcome)
        } catch {
            #expect(admitted == error)
            #expect(other.ledger.state == book.ledger.state)
            return "rejects \(error.code) \(error.field)"
        }
    }

    static func render(_ outcome: Outcome) -> String {
        var parts: [String] = []
        if let rating = outcome.rating {
            var text = "charge \(rating.charge.credits)"
            if rating.notional != rating.charge { text += " notional \(rating.notional.credits)" }
            if let unpriced = rating.unpriced { text += " \(unpriced)" }
            parts.append(text)
        }
        for movement in outcome.movements {
            let slices = movement.slices.map { "\($0.lot) \($0.amount.credits)" }.joined(separator: ", ")
            var text =
                "\(render(movement.owner)) \(movement.amount.credits) = \(movement.balanceAfter.credits) [\(slices)]"
            if movement.overage != .zero { text += " over \(movement.overage.credits)" }
            if movement.invoiced != .zero { text += " invoiced \(movement.invoiced.credits)" }
            if outcome.rating == nil || movement.kind != .charge { text = movement.kind.name + " " + text }
            parts.append(text)
        }
        if let settlement = outcome.settlement { parts.append("\(settlement.kind) \(settlement.held.credits)") }
        return parts.joined(separator: "; ")
    }

    // MARK: - Words to values

    static func render(_ owner: Owner) -> String {
        switch owner {
        case .org(let name): "org:\(name)"
        case .user(let name): "user:\(name)"
        }
    }

    static func name(_ text: String) -> Name { Name(checked: text) }

    static func owner(_ text: String) -> Owner {
        let parts = text.split(separator: ":").map(String.init)
        return parts[0] == "org" ? .org(name(parts[1])) : .user(name(parts[1]))
    }

    /// "11-05" is noon of that day of 2026, "11-05T10:00" the minute, "11-05T10:00:01.5" exact.
    static func instant(_ text: String) -> Timestamp {
        let full =
            switch text.utf8.count {
            case 5: "2026-\(text)T12:00:00Z"
            case 11: "2026-\(text):00Z"
            default: "2026-\(text)Z"
            }
        guard let time = Timestamp(rfc3339: full) else { preconditionFailure("not a time: \(text)") }
        return time
    }

    static func decimal(_ text: String) -> Decimal {
        guard let decimal = try? Decimal(parsing: text.utf8) else { preconditionFailure("not a number: \(text)") }
        return decimal
    }

    static func money(_ text: String) -> Money {
        guard let money = Money(credits: decimal(text)) else { preconditionFailure("not an amount: \(text)") }
        return money
    }

    static func fact(_ verb: String, _ words: [String], number: UInt64) -> (Name, Fact) {
        let plain = words.filter { !$0.contains("=") }
        var options: [String: String] = [:]
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { options[parts[0]] = parts[1] }
        }
        let id = name("e\(number)")
        switch verb {
        case "plan":
            let overage = Plan.OveragePolicy.allCases.first { $0.name == options["overage"] ?? "allow" }
            // "10/month/hard", several with commas.
            let limits = (options["calls"] ?? "").split(separator: ",").map { text in
                let parts = text.split(separator: "/").map(String.init)
                return Plan.CallLimit(
                    limit: Int64(parts[0]) ?? 0,
                    per: Plan.CallLimit.Per.allCases.first { $0.name == parts[1] } ?? .ever,
                    enforce: parts.count > 2 && parts[2] == "soft" ? .soft : .hard)
            }
            let plan = Plan(
                name: name(plain[0]), calls: limits, markup: decimal(options["markup"] ?? "0"),
                byokCountsCalls: options["byok"] != "free", overage: overage ?? .allow,
                overageLimit: options["limit"].map(money))
            return (id, .planDefined(plan))
        case "assign":
            let funding = [Assignment.Funding.org, .user, .orgThenUser].first { $0.name == options["funding"] ?? "org" }
            let lago = options["lago"].map {
                Assignment.Lago(externalCustomerID: name("c-" + $0), externalSubscriptionID: name($0))
            }
            let assignment = Assignment(
                owner: owner(plain[0]), plan: name(plain[1]), effectiveAt: options["from"].map(instant),
                anchorDay: options["anchor"].flatMap { Int($0) } ?? 1, funding: funding ?? .org, lago: lago)
            return (id, .planAssigned(assignment))
        case "prices": return (id, .pricesPublished(priceList(words)))
        case "grant":
            let category = Grant.Category.allCases.first { $0.name == options["category"] ?? "paid" }
            let grant = Grant(
                owner: owner(plain[1]), credits: money(plain[2]), category: category ?? .paid,
                priority: options["priority"].flatMap { UInt8($0) } ?? Grant.priorityDefault,
                effectiveAt: options["from"].map(instant), expiresAt: options["until"].map(instant))
            return (name(plain[0]), .creditsGranted(grant))
        case "adjust":
            let credits = money(plain[2])
            return (
                name(plain[0]), .creditsAdjusted(Adjustment(owner: owner(plain[1]), credits: credits, reason: "test"))
            )
        case "alloc":
            let allocation = Allocation(
                org: name(plain[0]), user: name(plain[1]), mode: plain[2] == "cap" ? .cap : .carveOut,
                credits: money(plain[3]), period: Period.allCases.first { $0.name == plain[4] } ?? .never)
            return (id, .creditsAllocated(allocation))
        case "void": return (id, .creditsVoided(LotVoided(lot: name(plain[0]), reason: "test")))
        case "expire": return (id, .creditsExpired(LotExpired(lot: name(plain[0]), credits: money(plain[1]))))
        case "callvoid": return (id, .callVoided(CallVoided(source: name("test"), id: name(plain[0]), reason: "test")))
        case "amend":
            let fact = CallAmended(
                source: name("test"), id: name(plain[0]), reason: "test", call: call(options, plain))
            return (id, .callAmended(fact))
        case "close":
            return (id, .lagoWindowClosed(LagoWindowClosed(windowSeconds: 3600, through: instant(plain[0]))))
        case "call": return (options["id"].map(name) ?? id, .call(call(options, plain)))
        case "usage": return (options["id"].map(name) ?? id, .usage(call(options, plain)))
        default: preconditionFailure("no such verb: \(verb)")
        }
    }

    /// `org=`, `user=`, `in=`, `out=`, `cr=`, `cw=`, `re=`, `images=`, `seconds=`, `searches=`, `cost=`, attributes by
    /// `attr.NAME=VALUE`; the words `byok`, `failure`, `aborted`, `hit`. No count at all: usage unknown.
    static func call(_ options: [String: String], _ words: [String]) -> Call {
        func count(_ key: String) -> Int64? { options[key].flatMap { Int64($0) } }
        let usage = Usage(
            inputTokens: count("in"), outputTokens: count("out"), cacheReadTokens: count("cr"),
            cacheWriteTokens: count("cw"), reasoningTokens: count("re"), images: count("images"),
            audioSeconds: options["seconds"].map { decimal($0) }, searches: count("searches"))
        #expect(usage.fault == nil)
        let attributes = options.filter { $0.key.hasPrefix("attr.") }
            .map { Attribute(name: name(String($0.key.dropFirst(5))), value: $0.value) }.sorted { $0.name < $1.name }
        return Call(
            org: options["org"].map(name), user: options["user"].map(name),
            provider: name(options["provider"] ?? "openai"), model: name(options["model"] ?? "gpt-4o"),
            operation: Call.Operation.allCases.first { $0.name == options["op"] ?? "chat" } ?? .chat,
            keySource: words.contains("byok") ? .byok : .platform,
            status: words.contains("failure") ? .failure : words.contains("aborted") ? .aborted : .success,
            usage: usage == Usage() ? nil : usage, cost: options["cost"].map { decimal($0) },
            cacheHit: words.contains("hit"), authorization: options["auth"].map(name), attributes: attributes)
    }

    /// `unit=`, `from=`, `cache_hit=`, then sections that each begin with the word `rule` or `mult NAME`.
    static func priceList(_ words: [String]) -> PriceList {
        var list = PriceList(unit: .credits, rules: [])
        var rule: [String: String]?
        var values: [PriceList.Multiplier.Value]?
        var attribute = ""
        func close() {
            if let rule { list.rules.append(priceRule(rule)) }
            if let values {
                list.multipliers.append(PriceList.Multiplier(attribute: name(attribute), values: values))
            }
            rule = nil
            values = nil
        }
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            if word == "rule" {
                close()
                rule = [:]
            } else if word == "mult" {
                close()
                values = []
            } else if parts.count == 1 {
                attribute = word
            } else if rule != nil {
                rule?[parts[0]] = parts[1]
            } else if values != nil {
                values?.append(PriceList.Multiplier.Value(value: parts[0], factor: decimal(parts[1])))
            } else if parts[0] == "unit" {
                list.unit = parts[1] == "usd" ? .usd : .credits
            } else if parts[0] == "from" {
                list.effectiveAt = instant(parts[1])
            } else {
                list.cacheHit = decimal(parts[1])
            }
        }
        close()
        return list
    }

    private static func priceRule(_ rule: [String: String]) -> PriceRule {
        func price(_ key: String) -> Decimal? { rule[key].map { decimal($0) } }
        return PriceRule(
            provider: rule["provider"].map(name), model: rule["model"].map(name),
            operation: rule["op"].flatMap { text in Call.Operation.allCases.first { $0.name == text } },
            aboveInputTokens: rule["above"].flatMap { Int64($0) }, per: rule["per"].flatMap { Int64($0) } ?? 1000, anyToken: price("any"), input: price("in"),
            output: price("out"), cacheRead: price("cr"), cacheWrite: price("cw"), reasoning: price("re"),
            perCall: price("call"), perImage: price("image"), perAudioSecond: price("second"),
            perSearch: price("search"), reportedCost: price("cost"))
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
