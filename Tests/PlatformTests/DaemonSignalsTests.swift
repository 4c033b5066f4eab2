import Glibc
import Platform
import Testing

struct DaemonSignalsTests {
    @Test func `every signal that would end the process is taken, and says what it asks for`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let signals = DaemonSignals()
            let rows: [(Int32, DaemonSignals.Request, String)] = [
                (SIGHUP, .reread, "SIGHUP"), (SIGTERM, .stop, "SIGTERM"), (SIGINT, .stop, "SIGINT"),
                (SIGQUIT, .stop, "SIGQUIT"), (SIGXCPU, .stop, "SIGXCPU"), (SIGUSR1, .nothing, "SIGUSR1"),
                (SIGUSR2, .nothing, "SIGUSR2"), (SIGALRM, .nothing, "SIGALRM"), (SIGVTALRM, .nothing, "SIGVTALRM"),
                (SIGPROF, .nothing, "SIGPROF"), (SIGIO, .nothing, "SIGIO"), (SIGPWR, .nothing, "SIGPWR"),
                (SIGSTKFLT, .nothing, "SIGSTKFLT"), (34, .nothing, "SIGRTMIN+0"), (64, .nothing, "SIGRTMIN+30"),
            ]
            for (number, request, name) in rows {
                pthread_kill(pthread_self(), number)
                let next = signals.next()
                guard next.request == request, next.name == name else { _exit(8) }
            }
            // Nothing waits for these; they end nothing.
            for number in [SIGPIPE, SIGXFSZ, SIGURG, SIGCHLD] { pthread_kill(pthread_self(), number) }
            _exit(7)
        }
    }
}
