import Glibc

/// The signals of a daemon: blocked in every thread and taken by one, which says what each does, so that none ends the
/// process without a word. What most do by themselves is to kill. A fault of the process itself (SIGSEGV and its like,
/// SIGABRT) and SIGKILL stay what they are.
public struct DaemonSignals: Sendable {
    /// What is asked for.
    public enum Request: Sendable {
        /// To end in order.
        case stop
        /// To read again what can change while it runs.
        case reread
        /// Nothing that a daemon does.
        case nothing
    }

    private static let stopping: [(Int32, String)] = [
        (SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT"), (SIGXCPU, "SIGXCPU"),
    ]
    private static let ignored: [(Int32, String)] = [
        (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"), (SIGALRM, "SIGALRM"), (SIGVTALRM, "SIGVTALRM"),
        (SIGPROF, "SIGPROF"), (SIGIO, "SIGIO"), (SIGPWR, "SIGPWR"), (SIGSTKFLT, "SIGSTKFLT"),
    ]
    private static var realTime: ClosedRange<Int32> { __libc_current_sigrtmin()...__libc_current_sigrtmax() }

    private let set: sigset_t

    /// Blocks them. Before there is any other thread: each takes the mask over from the one that makes it.
    public init() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGHUP)
        for (number, _) in DaemonSignals.stopping + DaemonSignals.ignored { sigaddset(&set, number) }
        for number in DaemonSignals.realTime { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A peer that is gone is EPIPE, a file at its size limit (setrlimit(2)) a full disk, EFBIG: not the end.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        self.set = set
    }

    /// Waits for the next one. By one thread alone.
    public func next() -> (request: Request, name: String) {
        var set = set
        var number: Int32 = 0
        let code = sigwait(&set, &number)
        precondition(code == 0, "sigwait: \(code)")
        if number == SIGHUP { return (.reread, "SIGHUP") }
        if let (_, name) = DaemonSignals.stopping.first(where: { $0.0 == number }) { return (.stop, name) }
        let known = DaemonSignals.ignored.first { $0.0 == number }?.1
        return (.nothing, known ?? "SIGRTMIN+\(number - DaemonSignals.realTime.lowerBound)")
    }
}
