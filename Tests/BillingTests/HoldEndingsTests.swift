import Testing

@testable import Billing

struct HoldEndingsTests {
    private func hold(_ id: Int, _ time: Int64) -> Hold {
        Hold(
            key: HoldKey(owner: .org(Name(checked: "o")), id: Name(checked: "\(id)")), org: nil, user: nil,
            keySource: .platform, first: .zero, wallet: .zero, isAllocated: false, isWalletAlone: false,
            expiresAt: Timestamp(microseconds: time), position: 1)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `they are what a plain sorted list says, whoever comes and goes`(seed: UInt64) {
        var random = Seeded(seed)
        var endings = HoldEndings()
        var running: [Hold] = []
        for number in 0..<2000 {
            // Seldom the same time, and now and then a hold that was there before.
            switch UInt64.random(in: 0..<10, using: &random) {
            case 0..<6:
                let id = Int.random(in: 0..<400, using: &random)
                let time = Int64.random(in: 0..<40, using: &random) + Int64(number / 100)
                let next = hold(id, time)
                guard !running.contains(where: { $0.key == next.key }) else { continue }
                running.append(next)
                endings.insert(next)
            case 6..<9:
                guard !running.isEmpty else { continue }
                endings.remove(running.remove(at: Int(UInt64.random(in: 0..<UInt64(running.count), using: &random))))
            default:
                endings = HoldEndings(running)
            }
            let sorted = running.sorted { ($0.expiresAt, $0.key) < ($1.expiresAt, $1.key) }
            #expect(endings.first == sorted.first?.expiresAt)
            let time = Timestamp(microseconds: Int64(UInt64.random(in: 0..<60, using: &random)))
            #expect(endings.keys(through: time) == sorted.filter { $0.expiresAt <= time }.map(\.key))
        }
    }
}
