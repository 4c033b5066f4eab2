import Glibc
import Platform

/// Standard output in pieces: what is printed as it is found, however much it is.
final class Output {
    private var pending: [UInt8] = []
    private static let pendingMax = 64 << 10

    func write(_ text: String) { write(text.utf8) }

    func write(_ bytes: some Collection<UInt8>) {
        pending += bytes
        if pending.count >= Output.pendingMax { flush() }
    }

    /// To be called at the end. Ends the program when nobody reads any more.
    func flush() {
        guard Console.write(pending, to: STDOUT_FILENO) else { exit(ExitCode.couldNotRun) }
        pending.removeAll(keepingCapacity: true)
    }
}
