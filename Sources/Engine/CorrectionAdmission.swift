internal import Billing
internal import Records

/// What admission asks of the records before the one it judges.
struct History {
    /// What the log's index has under an event's key; asked only for keys that the group being built does not hold.
    var stored: (Submission.Item) throws -> Admission.Stored?
    /// The durable record with a key.
    var position: (_ source: Name, _ id: Name) throws -> UInt64?
    /// A record of the log, or of the group being built.
    var record: (_ position: UInt64) throws -> Record?
}

extension Admission {
    /// What a correction unwinds: the version of the call that stands.
    enum Found {
        case standing(StandingCall)
        case refused(Rejection)
    }

    func standing(of fact: Fact, history: History) throws -> Found {
        guard let (source, id) = fact.corrects else { preconditionFailure("\(fact.type) corrects nothing") }
        let earlier = positionInGroup(source: source, id: id)
        guard let original = try earlier ?? history.position(source, id), let record = try history.record(original),
            let (stated, isCall) = record.event.fact.stated
        else { return .refused(.unknownCall(source: source, id: id)) }
        var call = stated
        var position = original
        if let version = corrected[original] {
            // The version before the void is of no use any more, but its owner says who may be told of it.
            if version.isVoided { return .refused(.alreadyVoided(id: id)) }
            position = version.position
            guard case .callAmended(let amended)? = try history.record(position)?.event.fact else {
                preconditionFailure("record \(position) is not the amendment that stands for \(original)")
            }
            call = amended.call
        }
        let charge = try charges.charge(at: position, of: call, ledger: book.ledger) ?? ChargeRecord()
        guard charge.parts.reduce(0, { $0 + $1.slices.count }) <= ChargeRecord.slicesMax else {
            return .refused(
                Rejection(
                    code: "too_many_lots", field: "data.id",
                    detail: "the charge was taken from more than \(ChargeRecord.slicesMax) lots"))
        }
        let standing = StandingCall(
            original: original, position: position, occurredAt: record.occurredAt, isCall: isCall, call: call,
            charge: charge)
        if let refusal = book.ledger.voidRefusal(of: standing) { return .refused(refusal) }
        return .standing(standing)
    }

    /// The org of the call that a correction names, as it stands, whether or not it may still be corrected: for keys
    /// confined to one. An amendment may have given the call to another org, whose it is then.
    func org(correctedBy fact: Fact, history: History) throws -> Name? {
        guard let (source, id) = fact.corrects else { return nil }
        guard let original = try positionInGroup(source: source, id: id) ?? history.position(source, id) else {
            return nil
        }
        guard let stated = try history.record(original)?.event.fact.stated else { return nil }
        guard let version = corrected[original] else { return stated.call.org }
        return try history.record(version.position)?.event.fact.org
    }

    /// Keeps what an admitted or stored event leaves for corrections to come.
    mutating func noteCharge(of fact: Fact, outcome: Outcome, position: UInt64) {
        if let charge = outcome.charge { charges.append(charge, position: position, ledger: book.ledger) }
        guard let standing = fact.unwinds else { return }
        if case .callVoided = fact {
            corrected[standing.original] = Corrected(position: position, isVoided: true)
        } else {
            corrected[standing.original] = Corrected(position: position, isVoided: false)
        }
    }
}

/// Which version of a call stands, for the few that were ever corrected.
struct Corrected {
    /// Of the last correction.
    var position: UInt64
    var isVoided: Bool
}

extension Fact {
    /// The call that an `llm.call` or `llm.usage` states.
    var stated: (call: Call, isCall: Bool)? {
        switch self {
        case .call(let call): (call, true)
        case .usage(let call): (call, false)
        default: nil
        }
    }
}
