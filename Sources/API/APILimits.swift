/// The named limits of the HTTP surface.
public struct APILimits: Sendable {
    /// Events in one `POST /v1/events`.
    public var eventsPerRequestMax = 10_000
    /// Items in one callback of LiteLLM (its queue holds 512; its race sends some more).
    public var itemsPerCallbackMax = 100_000
    /// Body of `POST /v1/events`.
    public var eventsBodyBytesMax = 32 << 20
    /// Body of a LiteLLM callback: batches with full messages pass 100 MB.
    public var callbackBodyBytesMax = 256 << 20
    /// Body of a request to the Lago paths: 100 events, or any number of CloudEvents.
    public var lagoBodyBytesMax = 8 << 20
    /// Body of everything else.
    public var smallBodyBytesMax = 1 << 20
    /// How long a query waits for `min_position`.
    public var waitMillisecondsMax = 5000
    /// Rows of one page, and the default.
    public var pageMax = 1000
    public var pageDefault = 100
    /// A projector further behind than this makes `/readyz` say no.
    public var lagRecordsMax: UInt64 = 1_000_000

    public init() {}
}
