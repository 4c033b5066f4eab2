public import Billing
internal import Records

/// Up to where the log is known, and what an answer from it is judged at.
public struct KnownMoment: Hashable, Sendable {
    /// The last record that counts; 0: none.
    public var position: UInt64
    /// The time that was asked about; without one, when the last known record was stored.
    public var judgedAt: Timestamp
}

extension RecordSource {
    /// Where `moment` is in this log. A position after its end is its end.
    public func known(at moment: AsOf.Moment) throws -> KnownMoment {
        switch moment {
        case .time(let time): try KnownMoment(position: position(recordedBy: time), judgedAt: time)
        case .position(let position): try known(through: min(position, highWater))
        case .now: try known(through: highWater)
        }
    }

    private func known(through position: UInt64) throws -> KnownMoment {
        KnownMoment(position: position, judgedAt: try record(at: position)?.recordedAt ?? .earliest)
    }
}
