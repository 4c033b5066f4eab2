internal import Synchronization

/// Takes one piece of a streamed body, once, from any thread. Dropped without one, it breaks the answer off: the
/// connection closes without the last chunk, so that the client sees that something is missing.
public final class ChunkSink: Sendable {
    public enum Piece: Sendable {
        /// Some bytes (not necessarily any), and more to come.
        case more([UInt8])
        /// The last bytes, or none.
        case last([UInt8])
        /// The body cannot be completed.
        case broken
    }

    private let take: @Sendable (Piece) -> Void
    private let isUsed = Atomic<Bool>(false)

    /// `take` is called exactly once.
    public init(_ take: @escaping @Sendable (Piece) -> Void) {
        self.take = take
    }

    deinit {
        if !isUsed.load(ordering: .acquiring) { take(.broken) }
    }

    public func send(_ piece: Piece) {
        let wasUsed = isUsed.exchange(true, ordering: .acquiringAndReleasing)
        precondition(!wasUsed, "a second piece for one call of a producer")
        take(piece)
    }
}
