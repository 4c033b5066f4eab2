import Billing
import Projections
import TestEvents
import Testing

/// The list of calls that were charged 0 for want of a price.
@Suite struct UnpricedTests {
    private let folder = TemporaryFolder()
    private let start = Timestamp(microseconds: 1_700_000_000_000_000)

    private func call(_ org: Name?, _ model: Name, usage: Usage? = Usage(inputTokens: 1)) -> Call {
        Call(
            org: org, user: "u", provider: "p", model: model, operation: .embedding, status: .success, usage: usage)
    }

    private func prices(_ models: Name...) -> Fact {
        let rules = models.map { PriceRule(model: $0, anyToken: .one) }
        let byCost = PriceRule(model: "by cost", reportedCost: .one)
        return .pricesPublished(PriceList(unit: .credits, rules: rules + [byCost]))
    }

    private func positions(_ models: ReadModels) async throws -> [UInt64] {
        try await models.ask(UnpricedQuery()).answer.calls.map(\.position)
    }

    private func withModels(_ source: ArraySource, _ body: (ReadModels) async throws -> Void) async throws {
        let models = ReadModels(folder: folder.path, source: source, projections: [Tokens.self])
        try await models.start()
        await models.wait("tokens", until: source.highWater, timeoutMilliseconds: 120_000)
        do {
            try await body(models)
        } catch {
            await models.stop()
            throw error
        }
        await models.stop()
    }

    @Test func `every call without a price is listed with its reason, and no other`() async throws {
        let source = ArraySource()
        source.append(.call(call("a", "m")), at: start)
        source.append(prices("m"), at: start)
        source.append(.call(call("a", "m")), at: start)
        source.append(.call(call("b", "x")), at: start)
        source.append(.call(call("a", "m", usage: nil)), at: start)
        source.append(.usage(call(nil, "by cost")), at: start)
        var byok = call("a", "x")
        byok.keySource = .byok
        source.append(.call(byok), at: start)
        var failed = call("a", "x", usage: nil)
        failed.status = .failure
        source.append(.call(failed), at: start)
        try await withModels(source) { models in
            let page = try await models.ask(UnpricedQuery()).answer
            #expect(page.calls.map(\.position) == [1, 4, 5, 6])
            #expect(page.calls.map(\.reason) == [.noList, .noRule, .noUsage, .noCost])
            #expect(page.calls.map(\.reason.name) == ["no_list", "no_rule", "no_usage", "no_cost"])
            #expect(page.next == nil)
            let first = try #require(page.calls.first)
            #expect(first.time == start && first.org == "a" && first.user == "u" && first.provider == "p")
            #expect(first.model == "m" && first.operation == .embedding)
            #expect(page.calls.last?.org == nil)

            #expect(try await models.ask(UnpricedQuery(org: "a")).answer.calls.map(\.position) == [1, 5])
            #expect(try await models.ask(UnpricedQuery(org: "nobody")).answer.calls.isEmpty)
            let two = try await models.ask(UnpricedQuery(limit: 2)).answer
            #expect(two.calls.map(\.position) == [1, 4] && two.next == 4)
            let rest = try await models.ask(UnpricedQuery(after: 4, limit: 2)).answer
            #expect(rest.calls.map(\.position) == [5, 6] && rest.next == nil)
            let totals = try await models.ask(TokensQuery()).answer.totals
            #expect(totals.unpricedCalls == 4)
        }
    }

    @Test func `a voided or amended call leaves the list, and comes again while it has no price`() async throws {
        let source = ArraySource()
        for id in ["voided", "amended", "twice", "stays"] as [Name] {
            source.append(.call(call("a", "x")), at: start, id: id)
        }
        func amend(_ id: Name) {
            source.append(
                .callAmended(CallAmended(source: "test", id: id, reason: "r", call: call("a", "x"))), at: start)
        }
        try await withModels(source) { models in
            let all = try await positions(models)
            #expect(all == [1, 2, 3, 4])
            // In one batch or in several, rows written or not yet: the same.
            source.append(.callVoided(CallVoided(source: "test", id: "voided", reason: "r")), at: start)
            amend("twice")
            await models.wait("tokens", until: 6, timeoutMilliseconds: 120_000)
            let some = try await positions(models)
            #expect(some == [2, 4, 6])
            source.append(prices("x"), at: start)
            amend("amended")
            amend("twice")
            await models.wait("tokens", until: source.highWater, timeoutMilliseconds: 120_000)
            let last = try await positions(models)
            #expect(last == [4])
        }
        let stored = try #require(try Tokens.stored(in: folder.path))
        #expect(stored.digest == stored.digestOfRows)
        let refolded = try Tokens.refold(source, through: source.highWater)
        #expect(stored.digest == refolded)
    }
}
