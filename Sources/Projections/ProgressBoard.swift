internal import Billing
internal import Hashing
internal import Platform

/// What a projector shows to other threads, and where they meet: its progress, who waits for it, and the call to work.
final class ProgressBoard: Sendable {
    struct Shown {
        var progress: UInt64 = 0
        var recordedAt: Timestamp?
        var digest = MultisetDigest()
        var state = ProjectorStatus.State.catchingUp
        var flushes: UInt64 = 0
        /// Counts the files that the projector has opened; 0: none yet. A reader of an older one opens anew.
        var generation: UInt64 = 0
    }

    private struct Waiter {
        var position: UInt64
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var shown = Shown()
        var waiters: [UInt64: Waiter] = [:]
        var waiterNext: UInt64 = 0
        /// Work may have come since the projector last looked.
        var isCalled = false
        /// Not even one that paces itself may go on sleeping.
        var isUrgent = false
        var isPacing = false
        var isStopping = false
        var sleeper: CheckedContinuation<Void, Never>?
    }

    /// Readers waiting at one projector; past it a wait gives up at once.
    static let waitersMax = 10_000

    private let state = Lock(State())

    var shown: Shown { state.withLock { $0.shown } }
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Whether a reader waits for something past the progress.
    var isAwaited: Bool { state.withLock { !$0.waiters.isEmpty } }

    /// Changes what is shown, and resumes the readers that waited for it.
    func show(_ change: (inout Shown) -> Void) {
        let resumed = state.withLock { state in
            change(&state.shown)
            return Self.takeWaiters(of: &state)
        }
        for continuation in resumed { continuation.resume() }
    }

    private static func takeWaiters(of state: inout State) -> [CheckedContinuation<Void, Never>] {
        if state.waiters.isEmpty { return [] }
        // Nobody should wait for one that does not move.
        let isStopped = state.isStopping || state.shown.state.isStopped
        var taken: [CheckedContinuation<Void, Never>] = []
        for (id, waiter) in state.waiters where isStopped || waiter.position <= state.shown.progress {
            taken.append(waiter.continuation)
            state.waiters[id] = nil
        }
        return taken
    }

    /// Returns when the progress is at least `position`, the time is up, or the projector has stopped; gives the
    /// progress.
    func wait(until position: UInt64, milliseconds: Int) async -> UInt64 {
        if milliseconds > 0, shown.progress < position {
            let id = state.withLock { state in
                state.waiterNext += 1
                return state.waiterNext
            }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let (resumed, sleeper) = state.withLock { state in
                    guard state.waiters.count < Self.waitersMax else {
                        return ([continuation], nil as CheckedContinuation<Void, Never>?)
                    }
                    state.waiters[id] = Waiter(position: position, continuation: continuation)
                    let resumed = Self.takeWaiters(of: &state)
                    // A projector that paces its flushes flushes now.
                    return (resumed, Self.call(&state, isUrgent: true))
                }
                sleeper?.resume()
                for continuation in resumed { continuation.resume() }
                if resumed.isEmpty {
                    Task { [weak self] in
                        try? await Task.sleep(for: .milliseconds(milliseconds))
                        self?.giveUp(id)
                    }
                }
            }
        }
        return shown.progress
    }

    private func giveUp(_ id: UInt64) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
        waiter?.continuation.resume()
    }

    /// Sets the call, and gives the sleeper if it is to wake up for it.
    private static func call(_ state: inout State, isUrgent: Bool) -> CheckedContinuation<Void, Never>? {
        state.isCalled = true
        state.isUrgent = state.isUrgent || isUrgent
        guard isUrgent || !state.isPacing else { return nil }
        let sleeper = state.sleeper
        state.sleeper = nil
        return sleeper
    }

    /// Says that there may be work. One that paces itself is not woken.
    func call(isUrgent: Bool = false) {
        let sleeper = state.withLock { Self.call(&$0, isUrgent: isUrgent) }
        sleeper?.resume()
    }

    func stop() {
        let (sleeper, resumed) = state.withLock { state in
            state.isStopping = true
            return (Self.call(&state, isUrgent: true), Self.takeWaiters(of: &state))
        }
        sleeper?.resume()
        for continuation in resumed { continuation.resume() }
    }

    /// For the projector alone: returns at the next call, or at once when there was one since it last returned.
    func sleep() async {
        await sleep(isPacing: false)
    }

    /// For the projector alone: returns after that time, or when a reader begins to wait, or at the end.
    func pause(nanoseconds: UInt64) async {
        let timer = Task { [weak self] in
            try? await Task.sleep(for: .nanoseconds(Int64(clamping: nanoseconds)))
            if !Task.isCancelled { self?.call(isUrgent: true) }
        }
        await sleep(isPacing: true)
        timer.cancel()
    }

    private func sleep(isPacing: Bool) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isCalled = state.withLock { state in
                precondition(state.sleeper == nil, "two sleepers at one board")
                if isPacing ? state.isUrgent : state.isCalled { return true }
                state.isPacing = isPacing
                state.sleeper = continuation
                return false
            }
            if isCalled { continuation.resume() }
        }
        state.withLock { state in
            state.isCalled = false
            state.isUrgent = false
            state.isPacing = false
        }
    }
}
