public import Billing

/// A question to the writer: may this call run, and with `holds`, set its credits aside.
public struct AuthorizationOrder: Sendable {
    /// What one counts against the bytes that may wait for the writer.
    static let pendingBytes = 512
    /// How long a hold may run: a day.
    public static let ttlSecondsMax: Int64 = 86_400

    public var request: AuthorizationRequest
    public var holds: Bool
    /// 1...`ttlSecondsMax`.
    public var ttlSeconds: Int64
    /// The name of the posting key.
    public var key: Name?

    public init(request: AuthorizationRequest, holds: Bool, ttlSeconds: Int64, key: Name?) {
        precondition((1...AuthorizationOrder.ttlSecondsMax).contains(ttlSeconds), "a hold of \(ttlSeconds) s")
        self.request = request
        self.holds = holds
        self.ttlSeconds = ttlSeconds
        self.key = key
    }
}

/// What the writer answers.
public enum AuthorizationAnswer: Sendable {
    /// `expiresAt` and `position` are those of the event; nil for a look. `highWater`: what a reader must have seen.
    /// Of a hold, the decision says what is available and which calls remain now that it runs.
    case decided(AuthorizationDecision, expiresAt: Timestamp?, position: UInt64?, highWater: UInt64)
    /// The id was used before for something else, at this position.
    case conflict(position: UInt64)
    /// The same was asked for and granted at this position, and has ended since: nothing is held for it.
    case ended(position: UInt64)
    case rejected(Rejection)
}

/// What became of a release.
public enum ReleaseAnswer: Sendable {
    /// Released at this position, now or before.
    case released(position: UInt64, highWater: UInt64)
    /// Nothing runs under that id, and nothing was released under it.
    case unknown
    /// The release of what runs was not taken, which is a fault of the daemon's: it runs on.
    case refused
}

public typealias AuthorizationCompletion = @Sendable (Result<AuthorizationAnswer, SubmitError>) -> Void
public typealias ReleaseCompletion = @Sendable (Result<ReleaseAnswer, SubmitError>) -> Void
