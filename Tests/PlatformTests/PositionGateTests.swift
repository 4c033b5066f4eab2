import Platform
import Testing

@Suite struct PositionGateTests {
    @Test func `a waiter goes when its position is reached, and no earlier`() async {
        let gate = PositionGate()
        gate.reach(3)
        #expect(await gate.wait(until: 3, milliseconds: 60_000) == 3)
        async let waited = gate.wait(until: 5, milliseconds: 60_000)
        async let reached: Void = {
            gate.reach(4)
            gate.reach(5)
            gate.reach(2)
        }()
        await reached
        #expect(await waited == 5)
        #expect(gate.position == 5)
    }

    @Test func `the time is up, or the gate closes`() async {
        let gate = PositionGate()
        #expect(await gate.wait(until: 1, milliseconds: 1) == 0)
        #expect(await gate.wait(until: 1, milliseconds: 0) == 0)
        async let waited = gate.wait(until: 1, milliseconds: 60_000)
        gate.close()
        #expect(await waited == 0)
        #expect(await gate.wait(until: 1, milliseconds: 60_000) == 0)
    }
}
