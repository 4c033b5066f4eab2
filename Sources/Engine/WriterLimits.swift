/// The writer's named limits (I9: memory is bounded by them).
public struct WriterLimits: Sendable {
    /// Encoded bytes waiting for the writer; over it a submission is refused before it is queued.
    public var pendingBytesMax = 64 << 20
    public var pendingSubmissionsMax = 16_384
    /// What one commit takes: a group that is larger goes on in the next frame. Within the log's own frame limits.
    public var groupRecordsMax = 32_768
    public var groupBytesMax = 16 << 20
    /// How far an event's time may be ahead of the daemon's clock (contract 2).
    public var futureSecondsMax: Int64 = 300
    /// Length of Lago windows, in seconds: a divisor of a day.
    public var lagoWindowSeconds: Int64 = 3600
    /// How often the writer looks for what time alone brings: lots that end, windows that close.
    public var tickMilliseconds = 500
    /// How long the log must have stayed full before room is looked for again.
    public var fullRetryMilliseconds = 1000

    public init() {}

    func check() {
        precondition(groupBytesMax <= 64 << 20 && groupRecordsMax <= 65_536, "a group must fit in a frame")
        precondition(lagoWindowSeconds >= 60 && 86_400 % lagoWindowSeconds == 0, "lagoWindowSeconds must divide a day")
        precondition(futureSecondsMax >= 0)
    }
}
