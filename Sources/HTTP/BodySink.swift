/// Whether more of a body is wanted.
public enum BodyDemand: Sendable {
    case more
    /// Enough for now: the socket is not read until the sink was woken and said `more`.
    case wait
}

/// Takes one body while it comes in. Used on the server's loop thread only; must not block. It may answer at any time;
/// before the end of the body that is the connection's last answer. When the connection breaks it is just let go.
public protocol BodySink: AnyObject {
    /// The next bytes of the body.
    func take(_ bytes: [UInt8]) -> BodyDemand
    /// The body is complete; from here on it is for the sink to answer.
    func end()
    /// Somebody asked for it to be woken, perhaps for the request before on this connection.
    func woken() -> BodyDemand
    /// Bytes of the body that it keeps, counted in the server's budget.
    var bytesHeld: Int { get }
}
