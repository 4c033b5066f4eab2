import Glibc

/// Runs an actor's jobs on a thread of its own, one after the other: for actors that block in C (a commit, a query),
/// which must not hold a thread of the shared pool.
///
/// An actor keeps its executor in a stored property and gives it as `unownedExecutor`. The thread ends when the
/// executor is no longer referenced: queued jobs keep it alive.
///
/// `@unchecked Sendable`: all mutable state is in the mailbox, under its lock.
public final class ThreadExecutor: SerialExecutor, @unchecked Sendable {
    private struct Mailbox {
        var jobs: [UnownedJob] = []
        /// Set while there are jobs queued or running, so that an actor that dies in its last job does not take the
        /// executor from under it.
        var owner: ThreadExecutor?
        var thread: pthread_t?
        var isClosed = false
    }

    private let mailbox: Condition<Mailbox>

    /// `name`: at most 15 bytes, what `top -H` shows. `niceness`: as of `Thread`.
    public init(name: String, niceness: Int = 0) {
        let mailbox = Condition(Mailbox())
        self.mailbox = mailbox
        _ = Thread(name: name, niceness: niceness) {
            pthread_detach(pthread_self())
            mailbox.withLock { $0.thread = pthread_self() }
            ThreadExecutor.run(mailbox)
        }
    }

    deinit {
        mailbox.signal { $0.isClosed = true }
    }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        mailbox.signal { mailbox in
            mailbox.jobs.append(job)
            mailbox.owner = self
        }
    }

    public func checkIsolated() {
        precondition(isOnThread, "not on the thread of this executor")
    }

    public func isIsolatingCurrentContext() -> Bool? {
        isOnThread
    }

    private var isOnThread: Bool {
        let thread = mailbox.withLock { $0.thread }
        return thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }

    private static func run(_ mailbox: Condition<Mailbox>) {
        var batch: [UnownedJob] = []
        while true {
            let owner: ThreadExecutor?? = mailbox.wait { mailbox in
                if !mailbox.jobs.isEmpty {
                    swap(&batch, &mailbox.jobs)
                    let owner = mailbox.owner
                    mailbox.owner = nil
                    return .some(owner)
                }
                return mailbox.isClosed ? .some(nil) : nil
            }
            guard let owner = owner ?? nil else { return }
            withExtendedLifetime(owner) {
                for job in batch { job.runSynchronously(on: owner.asUnownedSerialExecutor()) }
            }
            batch.removeAll(keepingCapacity: true)
        }
    }
}
