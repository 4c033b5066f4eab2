import Billing

// The contents of `authorization.*`. Bits and order as in Schemas/RECORD.md.

private enum OwnerBit {
    static let org = 0
    static let user = 1
    static let allowed: UInt8 = 0b11
}

extension RecordWriter {
    private mutating func owners(_ org: Name?, _ user: Name?) {
        precondition(org != nil || user != nil, "an authorization of nobody")
        let bits: UInt8 = bit(OwnerBit.org, org != nil) | bit(OwnerBit.user, user != nil)
        byte(bits)
        name(org)
        name(user)
    }

    private mutating func subject(_ subject: AuthorizationSubject) {
        name(subject.id)
        owners(subject.org, subject.user)
        name(subject.provider)
        name(subject.model)
        byte(subject.operation.rawValue)
        byte(subject.keySource.rawValue)
    }

    mutating func authorization(_ authorization: Authorization) {
        subject(authorization.subject)
        money(authorization.held)
        time(authorization.expiresAt)
    }

    mutating func denial(_ denial: Denial) {
        subject(denial.subject)
        let refusal = denial.refusal
        byte(refusal.rule.rawValue)
        owner(refusal.owner)
        money(refusal.requested)
        money(refusal.available)
        byte(bit(0, refusal.calls != nil) | bit(1, refusal.calls?.resetsAt != nil))
        guard let calls = refusal.calls else { return }
        byte(calls.per.rawValue)
        signed(calls.limit)
        signed(calls.used)
        signed(calls.running)
        time(calls.resetsAt)
    }

    mutating func authorizationEnded(_ ended: AuthorizationEnded) {
        name(ended.id)
        owners(ended.org, ended.user)
        money(ended.credits)
    }
}

extension RecordReader {
    private mutating func owners() throws(RecordError) -> (org: Name?, user: Name?) {
        let bits = try bitmap(allowed: OwnerBit.allowed)
        guard bits != 0 else { throw failure("an authorization of nobody", at: offset - 1) }
        return (try name(if: bits.has(OwnerBit.org)), try name(if: bits.has(OwnerBit.user)))
    }

    private mutating func subject() throws(RecordError) -> AuthorizationSubject {
        let id = try name()
        let (org, user) = try owners()
        return AuthorizationSubject(
            id: id, org: org, user: user, provider: try name(), model: try name(),
            operation: try choice(Call.Operation.self, "operation"),
            keySource: try choice(Call.KeySource.self, "key source"))
    }

    mutating func authorization() throws(RecordError) -> Authorization {
        Authorization(subject: try subject(), held: try money(), expiresAt: try time())
    }

    mutating func denial() throws(RecordError) -> Denial {
        let subject = try subject()
        var refusal = Refusal(
            rule: try choice(Refusal.Rule.self, "rule"), owner: try owner(), requested: try money(),
            available: try money())
        let bits = try bitmap(allowed: 0b11 as UInt8)
        if bits == 0b10 { throw failure("a reset of no limit", at: offset - 1) }
        guard bits.has(0) else { return Denial(subject: subject, refusal: refusal) }
        refusal.calls = Refusal.Calls(
            per: try choice(Plan.CallLimit.Per.self, "period of a limit"), limit: try signed(), used: try signed(),
            running: try signed(), resetsAt: try time(if: bits.has(1)))
        return Denial(subject: subject, refusal: refusal)
    }

    mutating func authorizationEnded() throws(RecordError) -> AuthorizationEnded {
        let id = try name()
        let (org, user) = try owners()
        return AuthorizationEnded(id: id, org: org, user: user, credits: try money())
    }
}
