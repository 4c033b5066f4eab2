internal import Billing
internal import Hashing
internal import Records

/// What admission asks of the records before the one it judges.
struct History {
    /// The durable record with a key, whose hash is given.
    var stored: (IdempotencyKey, Digest) throws -> Admission.Stored?
    /// The durable calls in orgs' spaces with this source and id, whose hash in any org's space is given; two at most.
    var inAnyOrg: (_ source: Name, _ id: Name, Digest) throws -> [UInt64]
    /// A record of the log, or of the group being built.
    var record: (_ position: UInt64) throws -> Record?
}

extension Admission {
    /// What a correction unwinds: the version of the call that stands.
    enum Found {
        case standing(StandingCall)
        case refused(Rejection)
    }

    /// - Parameter record: the call's own, at `original`.
    func standing(of record: Record, at original: UInt64, history: History) throws -> Found {
        guard let (stated, isCall) = record.event.fact.stated else {
            preconditionFailure("record \(original) states no call")
        }
        let id = record.event.id
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

    /// The call that a correction names: of the org that it says or its sender is confined to, else among everybody's
    /// keys, else the only one there is in some org's space. Nil for a fact that corrects nothing.
    func target(of fact: Fact, confinedTo: Name?, history: History) throws -> Target? {
        guard let (source, id, said) = fact.corrects else { return nil }
        let common = IdempotencyKey(source: source, id: id)
        if let org = confinedTo ?? said {
            for space in [KeySpace.org(org), .common] where space == .common || keys.hasSpace(org) {
                let key = IdempotencyKey(space: space, source: source, id: id)
                guard let position = try find(key, history: history)?.position,
                    let target = try target(at: position, history: history),
                    // Who is not confined means by the org whose key it is; who is means his own call.
                    target.org == org || (confinedTo == nil && space != .common)
                else { continue }
                return target
            }
            return .refused(.unknownCall(source: source, id: id))
        }
        if let position = try find(common, history: history)?.position,
            let target = try target(at: position, history: history)
        {
            return target
        }
        guard keys.hasSpaces else { return .refused(.unknownCall(source: source, id: id)) }
        let hash = IdempotencyKey.hashInAnyOrg(source: source, id: id)
        let positions = try keys.inGroupOfAnyOrg(hash) + history.inAnyOrg(source, id, hash)
        let calls = try positions.compactMap { try target(at: $0, history: history) }
        guard let call = calls.first else { return .refused(.unknownCall(source: source, id: id)) }
        return calls.count == 1 ? call : .refused(.ambiguousCall(source: source, id: id))
    }

    /// Nil when the record there states no call. Its org is that of the call as it stands, whether or not it may still
    /// be corrected: an amendment may have given it to another org, whose it is then.
    private func target(at original: UInt64, history: History) throws -> Target? {
        guard let record = try history.record(original), let stated = record.event.fact.stated else { return nil }
        guard let version = corrected[original] else {
            return .call(original: original, record, org: stated.call.org)
        }
        return .call(original: original, record, org: try history.record(version.position)?.event.fact.org)
    }

    /// The call that a correction names, or why it names none.
    enum Target {
        /// `original`: of the call's own record. `org`: of the call as it stands.
        case call(original: UInt64, Record, org: Name?)
        case refused(Rejection)

        var original: UInt64? {
            if case .call(let original, _, _) = self { original } else { nil }
        }

        var org: Name? {
            if case .call(_, _, let org) = self { org } else { nil }
        }

        /// The call's own time.
        var occurredAt: Timestamp? {
            if case .call(_, let record, _) = self { record.occurredAt } else { nil }
        }
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
