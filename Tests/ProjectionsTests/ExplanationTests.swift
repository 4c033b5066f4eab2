import Billing
import Records
import TestEvents
import Testing

@testable import Projections

/// Every charge of random logs taken apart: by the log alone and by the read model, to the last n$.
@Suite struct ExplanationTests {
    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func `the parts of every record add up to what was taken`(seed: UInt64) throws {
        let records = AdmittedLog.make(1500, seed: seed).records
        var book = Book()
        var charged = 0
        var refunded = 0
        for record in records {
            let catalog = book.catalog
            let outcome = book.apply(record.event, position: record.position, at: record.occurredAt)
            let explanation = try Explanation(
                of: record, by: catalog, movements: outcome.movements, settlement: outcome.settlement, corrections: [])
            #expect(explanation.fault == nil, "seed \(seed), record \(record.position)")
            #expect(explanation.charge?.rating == outcome.rating)
            // Once more, by hand: nothing of the explanation's own arithmetic.
            var taken = Money.zero
            for movement in outcome.movements where movement.kind == .charge {
                taken += movement.slices.reduce(movement.overage) { $0 + $1.amount }
            }
            #expect(taken == outcome.rating?.charge ?? .zero)
            if taken > .zero { charged += 1 }
            if outcome.movements.contains(where: { $0.kind == .refund }) { refunded += 1 }
        }
        #expect(charged > 300 && refunded > 5)
    }

    @Test func `the read model explains what the log explains`() async throws {
        let records = AdmittedLog.make(500, seed: 77).records
        let source = ArraySource(records)
        let folder = TemporaryFolder()
        let models = ReadModels(folder: folder.path, source: source, projections: [Credits.self])
        try await models.start()
        #expect(await models.wait("credits", until: 500, timeoutMilliseconds: 120_000) == 500)
        let explainer = Explainer(log: source)
        var corrected = 0
        var settled = 0
        // Forwards and backwards: rules long replaced are folded anew.
        for record in (records[0..<100] + records[300..<500].reversed()) where record.position % 3 != 0 {
            let rows = try await models.ask(ExplanationQuery(record)).answer
            let live = try #require(try await explainer.explain(record, rows))
            let refolded = try Explanation.refolded(at: record.position, in: source, known: 500)
            #expect(live == refolded, "record \(record.position)")
            if !live.corrections.isEmpty { corrected += 1 }
            if live.settlement != nil { settled += 1 }
        }
        #expect(corrected > 2 && settled > 0)
        await models.stop()
    }

    @Test func `what does not add up is said`() throws {
        let records = AdmittedLog.make(200, seed: 3).records
        let source = ArraySource(records)
        let position = try #require(
            records.first { record in
                let found = try? Explanation.refolded(at: record.position, in: source, known: 200)
                return found?.charge?.rating.charge.nanos ?? 0 > 0
            }?.position)
        let right = try #require(try Explanation.refolded(at: position, in: source, known: 200))
        #expect(right.fault == nil)
        let faults: [(inout Explanation) -> Void] = [
            { $0.movements[0].slices.removeAll(); $0.movements[0].overage -= Money(nanos: 1) },
            { $0.movements.removeAll() },
            { $0.charge?.rating.charge.nanos += 1 },
            { $0.charge?.rating.notional.nanos += 1 },
            { $0.charge?.trace?.product = "1" },
            { $0.charge?.trace?.sum = "1" },
            { $0.charge?.trace?.parts.removeLast() },
            { $0.charge?.trace?.steps.append(.cacheHit(factor: .zero)) },
            { $0.charge?.trace = nil },
        ]
        for (index, change) in faults.enumerated() {
            var wrong = right
            change(&wrong)
            #expect(wrong.fault != nil, "fault \(index)")
        }
    }

    @Test func `a position is found by the time of recording`() throws {
        let source = ArraySource(AdmittedLog.make(50, seed: 1).records)
        for time in -1...52 as ClosedRange<Int64> {
            let expected = UInt64(max(0, min(50, time)))
            #expect(try source.position(recordedBy: Timestamp(microseconds: time)) == expected)
        }
    }
}
