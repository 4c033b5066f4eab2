import Billing
import EventLog
import Platform
import Projections
import Records

/// Words that several verbs understand: whose, and up to where.
extension Arguments {
    /// `--org X` or `--user X`; nil when neither is given.
    func owner() throws -> Owner? {
        switch (try name("org"), try name("user")) {
        case (let org?, nil): return .org(org)
        case (nil, let user?): return .user(user)
        case (nil, nil): return nil
        default: throw Refusal(text: "--org or --user, not both")
        }
    }

    func neededOwner() throws -> Owner {
        guard let owner = try owner() else { throw Refusal(text: "whose? --org ORG or --user USER") }
        return owner
    }

    /// A day, or the day of a time; as the end of a span a time within a day takes that day in.
    func day(_ option: String, isEnd: Bool) throws -> Day? {
        guard let text = self[option] else { return nil }
        guard let day = TokensQuery.day(text, isEnd: isEnd) else {
            throw Refusal(text: "--\(option) is a day (2025-11-03) or an RFC 3339 time")
        }
        return day
    }
}

/// Up to where the log is known, and what an answer from it is judged at.
struct KnownMoment {
    var position: UInt64
    /// The time that was asked about, one to come being now; without one, when the last known record was stored.
    var judgedAt: Timestamp
}

extension DataFolder {
    /// What an option names: a position, or a time and the last position that was recorded by it. The end of the log
    /// when the option was not given.
    func moment(_ text: String?, _ option: String) throws -> KnownMoment {
        guard let text else { return try moment(at: log.highWater) }
        if let time = Timestamp(rfc3339: text) {
            var moment = try moment(at: try source.position(recordedBy: time))
            moment.judgedAt = max(moment.judgedAt, min(time, Timestamp(microseconds: WallClock.microseconds())))
            return moment
        }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let position = UInt64(text),
            position > 0
        else { throw Refusal(text: "--\(option): a position from 1, or an RFC 3339 time") }
        guard position <= log.highWater else { throw Refusal(text: "the log ends at position \(log.highWater)") }
        return try moment(at: position)
    }

    private func moment(at position: UInt64) throws -> KnownMoment {
        KnownMoment(position: position, judgedAt: try source.record(at: position)?.recordedAt ?? .earliest)
    }
}
