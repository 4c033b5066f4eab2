import Testing

@testable import Server

@Suite struct RefusalLogTests {
    @Test func `refusals are told with the first, then once a second with their number`() {
        var log = RefusalLog()
        let second = RefusalLog.nanosecondsBetween
        #expect(log.note(now: 5) == 1)
        for _ in 0..<10 { #expect(log.note(now: 6) == nil) }
        #expect(log.note(now: 4 + second) == nil)
        #expect(log.note(now: 5 + second) == 12)
        #expect(log.note(now: 6 + second) == nil)
        #expect(log.note(now: 10 * second) == 2)
    }
}
