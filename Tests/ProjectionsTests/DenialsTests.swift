import Billing
import Projections
import Records
import TestEvents
import Testing

/// Where an org's denials are in the log.
@Suite struct DenialsTests {
    private let folder = TemporaryFolder()

    @Test(arguments: [3, 4] as [UInt64])
    func `an org's denials are found by page, all of them and no other's`(seed: UInt64) async throws {
        let records = AdmittedLog.make(4000, seed: seed).records
        let source = ArraySource(records)
        let models = ReadModels(folder: folder.path, source: source, projections: [Credits.self])
        try await models.start()
        await models.wait("credits", until: source.highWater, timeoutMilliseconds: 120_000)
        for org in [Name](AdmittedLog.orgs) + ["nobody"] {
            let denied = records.filter { record in
                guard case .authorizationDenied(let denial) = record.event.fact else { return false }
                return denial.subject.org == org
            }.map(\.position)
            #expect(denied.isEmpty == (org == "nobody"), "the log has denials of every org")
            var found: [UInt64] = []
            while found.count <= denied.count {
                let page = try await models.ask(DenialsQuery(org: org, after: found.last ?? 0, limit: 7)).answer
                #expect(page.count <= 7)
                found += page
                if page.count < 7 { break }
            }
            #expect(found == denied)
        }
        await models.stop()
    }
}
