/// The named limits of the HTTP surface.
public struct APILimits: Sendable {
    /// Events in one `POST /v1/events`.
    public var eventsPerRequestMax = 10_000
    /// Items of a LiteLLM callback that go to the writer together, and how long one of them may be.
    public var callbackGroupItems = 1000
    public var callbackItemBytesMax = 16 << 20
    /// How long a callback of which something is stored waits for room at the writer, and how long between two tries.
    public var callbackRetryMilliseconds = 30_000
    public var callbackPauseMilliseconds = 50
    /// CloudEvents in one batch of LiteLLM's `openmeter` callback.
    public var openMeterBatchMax = 100_000
    /// Body of `POST /v1/events`.
    public var eventsBodyBytesMax = 32 << 20
    /// Body of a LiteLLM callback: batches with full messages pass 100 MB. It is never whole in memory.
    public var callbackBodyBytesMax = 1 << 30
    /// Body of a request to the Lago paths: 100 events, or any number of CloudEvents.
    public var lagoBodyBytesMax = 8 << 20
    /// Body of everything else.
    public var smallBodyBytesMax = 1 << 20
    /// Requests that one key may make in a second, 0 for any number, and how many at once.
    public var keyRequestsPerSecond = 0
    public var keyRequestsBurst = 100
    /// How long a query waits for `min_position`.
    public var waitMillisecondsMax = 5000
    /// Rows of one page, and the default.
    public var pageMax = 1000
    public var pageDefault = 100
    /// A projector further behind than this makes `/readyz` say no.
    public var lagRecordsMax: UInt64 = 1_000_000

    public init() {}
}
