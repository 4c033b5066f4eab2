import HTTP
import Testing

@Suite struct ConnectionStateTests {
    static let second: UInt64 = 1_000_000_000
    static let start: UInt64 = 50 * second

    func state() -> ConnectionState { ConnectionState(limits: .init(), now: Self.start) }

    func at(_ seconds: UInt64) -> UInt64 { Self.start + seconds * Self.second }

    @Test func `an idle connection closes silently after 75 seconds`() {
        let state = state()
        #expect(state.verdict(now: at(75) - 1) == .wait(until: at(75)))
        #expect(state.verdict(now: at(75)) == .close)
    }

    @Test func `a head has 10 seconds from its first byte, however slowly it drips`() {
        var state = state()
        state.headBegan(now: at(60))
        state.headBegan(now: at(69))
        #expect(state.verdict(now: at(70) - 1) == .wait(until: at(70)))
        #expect(state.verdict(now: at(70)) == .answerTimeout)
    }

    @Test func `a body earns time with its bytes`() {
        var state = state()
        state.headBegan(now: at(0))
        state.headEnded(now: at(1))
        #expect(state.verdict(now: at(11) - 1) == .wait(until: at(11)))
        #expect(state.verdict(now: at(11)) == .answerTimeout)
        state.bodyReceived(bytes: 5 * 1024)
        #expect(state.verdict(now: at(16) - 1) == .wait(until: at(16)))
        #expect(state.verdict(now: at(16)) == .answerTimeout)
    }

    @Test func `a request that is handled has all the time`() {
        var state = state()
        state.headBegan(now: at(0))
        state.headEnded(now: at(0))
        state.requestEnded()
        #expect(state.verdict(now: at(100_000)) == .wait(until: nil))
        let goesOn = state.answered(keepAlive: true, now: at(100_000))
        #expect(goesOn)
        #expect(state.verdict(now: at(100_000)) == .wait(until: at(100_075)))
    }

    @Test func `bytes that nobody takes close the connection`() {
        var state = state()
        state.requestEnded()
        state.writeBlocked(now: at(0))
        state.writeBlocked(now: at(20))
        #expect(state.verdict(now: at(29)) == .wait(until: at(30)))
        state.writeProgressed(now: at(29))
        #expect(state.verdict(now: at(30)) == .wait(until: at(59)))
        #expect(state.verdict(now: at(59)) == .close)
        state.writeEnded()
        #expect(state.verdict(now: at(59)) == .wait(until: nil))
    }

    @Test func `a long answer is not cut by the idle deadline`() {
        var state = state()
        state.requestEnded()
        let goesOn = state.answered(keepAlive: true, now: at(0))
        #expect(goesOn)
        state.writeBlocked(now: at(0))
        for second in stride(from: UInt64(20), to: 200, by: 20) {
            state.writeProgressed(now: at(second))
            #expect(state.verdict(now: at(second + 1)) == .wait(until: at(second + 30)))
        }
    }

    @Test func `after the last answer the client has 2 seconds to close`() {
        var state = state()
        state.requestEnded()
        let goesOn = state.answered(keepAlive: false, now: at(0))
        #expect(!goesOn)
        #expect(state.verdict(now: at(1)) == .wait(until: at(2)))
        #expect(state.verdict(now: at(2)) == .close)
    }

    @Test func `draining closes idle connections and those under way after their answer`() {
        var idle = state()
        let idleCloses = idle.drain()
        #expect(idleCloses)
        var busy = state()
        busy.headBegan(now: at(0))
        let busyCloses = busy.drain()
        #expect(!busyCloses)
        busy.headEnded(now: at(0))
        busy.requestEnded()
        let goesOn = busy.answered(keepAlive: true, now: at(1))
        #expect(!goesOn)
    }
}
