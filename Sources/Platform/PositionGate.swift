/// Where asynchronous readers wait until a position is reached.
public final class PositionGate: Sendable {
    /// Readers waiting at once; past it a wait gives up immediately.
    public static let waitersMax = 10_000

    private struct State {
        var position: UInt64 = 0
        var isClosed = false
        var waiterNext: UInt64 = 0
        var waiters: [UInt64: (position: UInt64, continuation: CheckedContinuation<Void, Never>)] = [:]
    }

    private let state = Lock(State())

    public init() {}

    /// The furthest position that was reached.
    public var position: UInt64 { state.withLock { $0.position } }

    /// Lets those go who waited for this position or an earlier one.
    public func reach(_ position: UInt64) {
        release { state in
            state.position = max(state.position, position)
            return { [reached = state.position] in $0 <= reached }
        }
    }

    /// Lets everyone go, now and later: nothing more will be reached.
    public func close() {
        release { state in
            state.isClosed = true
            return { _ in true }
        }
    }

    private func release(_ change: (inout State) -> (UInt64) -> Bool) {
        let released = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            let goes = change(&state)
            guard !state.waiters.isEmpty else { return [] }
            let gone = state.waiters.filter { goes($0.value.position) }
            for id in gone.keys { state.waiters[id] = nil }
            return gone.values.map(\.continuation)
        }
        for continuation in released { continuation.resume() }
    }

    /// Returns when `position` is reached, the gate is closed or the time is up; gives the position reached.
    public func wait(until position: UInt64, milliseconds: Int) async -> UInt64 {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let id = state.withLock { state -> UInt64? in
                guard !state.isClosed && state.position < position && milliseconds > 0
                    && state.waiters.count < PositionGate.waitersMax
                else { return nil }
                state.waiterNext += 1
                state.waiters[state.waiterNext] = (position, continuation)
                return state.waiterNext
            }
            guard let id else {
                continuation.resume()
                return
            }
            Task { [weak self] in
                try? await Task.sleep(for: .milliseconds(milliseconds))
                self?.state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume()
            }
        }
        return self.position
    }
}
