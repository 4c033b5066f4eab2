import HTTP
import Testing

@Suite struct ConnectionStateTests {
    static let second: UInt64 = 1_000_000_000
    static let start: UInt64 = 50 * second

    func state() -> ConnectionState { ConnectionState(limits: .init(), now: Self.start) }

    func at(_ seconds: UInt64) -> UInt64 { Self.start + seconds * Self.second }

    @Test func `a new connection has 10 seconds for its first byte`() {
        let state = state()
        #expect(state.verdict(now: at(10) - 1) == .wait(until: at(10)))
        #expect(state.verdict(now: at(10)) == .close(.idle))
    }

    @Test func `a head has 10 seconds from its first byte, however slowly it drips`() {
        var state = state()
        state.headBegan(now: at(8))
        state.headBegan(now: at(17))
        #expect(state.verdict(now: at(18) - 1) == .wait(until: at(18)))
        #expect(state.verdict(now: at(18)) == .answerTimeout(.head))
    }

    @Test func `a body earns time with its bytes, never more than 10 seconds ahead`() {
        var state = state()
        state.headBegan(now: at(0))
        state.headEnded(now: at(1))
        #expect(state.verdict(now: at(11) - 1) == .wait(until: at(11)))
        #expect(state.verdict(now: at(11)) == .answerTimeout(.body))
        // 5 KiB are worth 5 seconds.
        state.bodyReceived(bytes: 5 * 1024, now: at(9))
        #expect(state.verdict(now: at(16)) == .answerTimeout(.body))
        // A burst is worth the whole limit and no more.
        state.bodyReceived(bytes: 100 << 20, now: at(12))
        #expect(state.verdict(now: at(22) - 1) == .wait(until: at(22)))
        #expect(state.verdict(now: at(22)) == .answerTimeout(.body))
    }

    @Test func `a drip below the slowest rate ends, a trickle above it does not`() {
        for (bytes, ends) in [(1, UInt64(11)), (300, 14), (1023, 9217), (1024, 0), (4096, 0)] {
            var state = state()
            state.headBegan(now: at(0))
            state.headEnded(now: at(0))
            var end: UInt64 = 0
            for second in UInt64(1)...20_000 {
                if case .answerTimeout = state.verdict(now: at(second)) {
                    end = second
                    break
                }
                state.bodyReceived(bytes: bytes, now: at(second))
            }
            #expect(end == ends, "\(bytes) bytes a second")
        }
    }

    @Test func `a body that we hold back has all the time`() {
        var state = state()
        state.headBegan(now: at(0))
        state.headEnded(now: at(0))
        state.bodyHeld()
        #expect(state.verdict(now: at(1000)) == .wait(until: nil))
        state.bodyResumed(now: at(1000))
        #expect(state.verdict(now: at(1009)) == .wait(until: at(1010)))
        #expect(state.verdict(now: at(1010)) == .answerTimeout(.body))
    }

    @Test func `a request that is handled has all the time, then the connection is idle for 60 seconds`() {
        var state = state()
        state.headBegan(now: at(0))
        state.headEnded(now: at(0))
        state.requestEnded()
        #expect(state.verdict(now: at(100_000)) == .wait(until: nil))
        let goesOn = state.answered(keepAlive: true, now: at(100_000))
        #expect(goesOn)
        #expect(state.verdict(now: at(100_000)) == .wait(until: at(100_060)))
        #expect(state.verdict(now: at(100_060)) == .close(.idle))
    }

    @Test func `bytes that nobody takes close the connection after 10 seconds`() {
        var state = state()
        state.requestEnded()
        state.writeWaits(bytesTaken: 0, now: at(0))
        state.writeWaits(bytesTaken: 0, now: at(8))
        #expect(state.verdict(now: at(9)) == .wait(until: at(10)))
        state.writeWaits(bytesTaken: 2048, now: at(9))
        #expect(state.verdict(now: at(10)) == .wait(until: at(12)))
        #expect(state.verdict(now: at(12)) == .close(.write))
        state.writeEnded()
        #expect(state.verdict(now: at(12)) == .wait(until: nil))
    }

    @Test func `a long answer is not cut by the idle deadline`() {
        var state = state()
        state.requestEnded()
        let goesOn = state.answered(keepAlive: true, now: at(0))
        #expect(goesOn)
        state.writeWaits(bytesTaken: 0, now: at(0))
        for second in stride(from: UInt64(8), to: 200, by: 8) {
            state.writeWaits(bytesTaken: 65536, now: at(second))
            #expect(state.verdict(now: at(second + 1)) == .wait(until: at(second + 10)))
        }
    }

    @Test func `after the last answer the client has 2 seconds to close`() {
        var state = state()
        state.requestEnded()
        let goesOn = state.answered(keepAlive: false, now: at(0))
        #expect(!goesOn)
        #expect(state.verdict(now: at(1)) == .wait(until: at(2)))
        #expect(state.verdict(now: at(2)) == .close(.closing))
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
