import Billing
import EventLog
import Platform
import Projections

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

extension DataFolder {
    /// What an option names: a position, or a time, one to come being now. The end of the log when the option was not
    /// given.
    func moment(_ text: String?, _ option: String) throws -> KnownMoment {
        guard let text else { return try source.known(at: .now) }
        if let time = Timestamp(rfc3339: text) {
            // A log that was written by a clock ahead of this one is known to its end all the same.
            let present = max(
                Timestamp(microseconds: WallClock.microseconds()), try source.known(at: .now).judgedAt)
            return try source.known(at: .time(min(time, present)))
        }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let position = UInt64(text),
            position > 0
        else { throw Refusal(text: "--\(option): a position from 1, or an RFC 3339 time") }
        guard position <= log.highWater else { throw Refusal(text: "the log ends at position \(log.highWater)") }
        return try source.known(at: .position(position))
    }
}
