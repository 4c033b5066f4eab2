/// Seals every open line whose window ends at or before `through` (contract 6).
public struct LagoWindowClosed: Hashable, Sendable {
    /// Length of the windows that lines are cut into, in seconds: 60...86,400, a divisor of a day.
    public var windowSeconds: Int64
    public var through: Timestamp

    public init(windowSeconds: Int64, through: Timestamp) {
        self.windowSeconds = windowSeconds
        self.through = through
    }
}

/// What became of a batch that the sync worker took.
public struct LagoDelivery: Hashable, Sendable {
    public var batch: Name
    public var detail: String?

    public init(batch: Name, detail: String? = nil) {
        self.batch = batch
        self.detail = detail
    }
}
