import Glibc
import Platform

/// A progress bar with what is left, on standard error, when that is a terminal.
struct Meter {
    private let title: String
    private let total: UInt64
    private let started = SteadyClock.nanoseconds()
    private var drawn: UInt64 = 0
    private let isTerminal = Console.errorIsTerminal
    private static let redrawNanoseconds: UInt64 = 100_000_000

    init(_ title: String, total: UInt64) {
        self.title = title
        self.total = total
    }

    mutating func reach(_ done: UInt64) {
        guard isTerminal, total > 0 else { return }
        let now = SteadyClock.nanoseconds()
        guard now - drawn >= Meter.redrawNanoseconds else { return }
        drawn = now
        let cells = Int(done * 30 / total)
        let bar = String(repeating: "#", count: cells) + String(repeating: ".", count: 30 - cells)
        let elapsed = now - started
        let left = done > 0 ? UInt64(Double(elapsed) * Double(total - done) / Double(done)) / 1_000_000_000 : 0
        Console.error("\r\(title) [\(bar)] \(done * 100 / total) %, \(left) s left   ")
    }

    /// Erases the bar; gives the seconds it took, in thousandths.
    func end() -> UInt64 {
        if isTerminal && drawn > 0 { Console.error("\r\u{1B}[K") }
        return (SteadyClock.nanoseconds() - started) / 1_000_000
    }
}
