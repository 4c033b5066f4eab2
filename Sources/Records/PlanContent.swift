import Billing

// The contents of `plan.*`. Bits and order as in Schemas/RECORD.md.

/// The largest call limit of a plan.
private let limitMax: Int64 = 1_000_000_000_000

extension RecordWriter {
    mutating func plan(_ plan: Plan) {
        name(plan.name)
        precondition(plan.calls.count <= Plan.callLimitsMax, "\(plan.calls.count) call limits")
        byte(UInt8(plan.calls.count))
        for limit in plan.calls {
            precondition((0...limitMax).contains(limit.limit), "a call limit of \(limit.limit)")
            varint(UInt64(limit.limit))
            byte(limit.per.rawValue)
            byte(limit.enforce.rawValue)
        }
        decimal(plan.markup)
        byte(plan.overage.rawValue)
        var bits: UInt8 = bit(0, plan.price != nil)
        bits |= bit(1, plan.interval != nil)
        bits |= bit(2, plan.byokCountsCalls)
        bits |= bit(3, plan.overageLimit != nil)
        bits |= bit(4, plan.lagoPlanCode != nil)
        byte(bits)
        money(plan.price)
        if let interval = plan.interval { byte(interval.rawValue) }
        money(plan.overageLimit)
        name(plan.lagoPlanCode)
    }

    mutating func assignment(_ assignment: Assignment) {
        owner(assignment.owner)
        name(assignment.plan)
        precondition((1...28).contains(assignment.anchorDay), "anchor day \(assignment.anchorDay)")
        byte(UInt8(assignment.anchorDay))
        byte(assignment.funding.rawValue)
        let bits: UInt8 = bit(0, assignment.effectiveAt != nil) | bit(1, assignment.lago != nil)
        byte(bits)
        time(assignment.effectiveAt)
        if let lago = assignment.lago {
            name(lago.externalCustomerID)
            name(lago.externalSubscriptionID)
        }
    }
}

extension RecordReader {
    mutating func plan() throws(RecordError) -> Plan {
        let name = try name()
        let count = Int(try byte())
        guard count <= Plan.callLimitsMax else { throw failure("\(count) call limits", at: offset - 1) }
        var calls: [Plan.CallLimit] = []
        for _ in 0..<count {
            calls.append(
                Plan.CallLimit(
                    limit: try integer(in: 0...limitMax, "as a call limit"),
                    per: try choice(Plan.CallLimit.Per.self, "call limit window"),
                    enforce: try choice(Plan.CallLimit.Enforce.self, "enforcement")))
        }
        let markup = try decimal()
        let overage = try choice(Plan.OveragePolicy.self, "overage policy")
        let bits = try bitmap(allowed: 0b1_1111 as UInt8)
        var plan = Plan(name: name, calls: calls, markup: markup, byokCountsCalls: bits.has(2), overage: overage)
        plan.price = try money(if: bits.has(0))
        if bits.has(1) { plan.interval = try choice(Plan.Interval.self, "interval") }
        plan.overageLimit = try money(if: bits.has(3))
        plan.lagoPlanCode = try self.name(if: bits.has(4))
        return plan
    }

    mutating func assignment() throws(RecordError) -> Assignment {
        var assignment = Assignment(owner: try owner(), plan: try name())
        let day = Int(try byte())
        guard (1...28).contains(day) else { throw failure("anchor day \(day)", at: offset - 1) }
        assignment.anchorDay = day
        assignment.funding = try choice(Assignment.Funding.self, "funding")
        let bits = try bitmap(allowed: 0b11 as UInt8)
        assignment.effectiveAt = try time(if: bits.has(0))
        if bits.has(1) {
            assignment.lago = Assignment.Lago(externalCustomerID: try name(), externalSubscriptionID: try name())
        }
        return assignment
    }
}
