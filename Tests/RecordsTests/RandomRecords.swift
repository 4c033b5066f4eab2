import Billing
import Records
import TestEvents

/// Records as a log may hold them, parts that only some have included: key spaces, long ids, corrections that say whose
/// call they mean.
extension RandomEvents {
    mutating func record(position: UInt64, kind: Int) -> Record {
        var event = event(kind: kind)
        if chance(20), let id = EventID(String(repeating: "x", count: Int(number(257...1024)))) {
            (event.id, event.wholeID) = (id.key, id.whole)
        }
        switch event.fact {
        case .callVoided(var voided) where chance():
            voided.org = name()
            event.fact = .callVoided(voided)
        case .callAmended(var amended) where chance():
            amended.org = name()
            event.fact = .callAmended(amended)
        default: break
        }
        let door = pick(Door.allCases)
        return Record(
            position: position, recordedAt: time(), door: door, key: chance() ? name() : nil, space: space(of: door),
            event: event)
    }

    mutating func space(of door: Door) -> KeySpace {
        if chance() { return .common }
        return door == .daemon ? .daemon : .org(name())
    }
}
