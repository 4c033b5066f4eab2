/// All rules of money in one value: who has which plan, what prices hold, who owns which credits. The writer keeps one
/// to admit against; projections keep one to fold with. Applying the same facts in the same order gives the same book.
///
/// A book keeps no calls: what a correction unwinds comes with it (`StandingCall`), found by admission and stored.
public struct Book: Sendable {
    public var catalog: Catalog
    public var ledger: Ledger
    /// Nil for a book that decides no authorizations.
    public internal(set) var counts: CallCounts?

    /// - Parameter countsCalls: whether it can `authorize`. Only the writer's does.
    public init(tracksChanges: Bool = false, countsCalls: Bool = false) {
        catalog = Catalog()
        ledger = Ledger(tracksChanges: tracksChanges)
        counts = countsCalls ? CallCounts() : nil
    }

    public init(catalog: Catalog, ledger: Ledger) {
        self.catalog = catalog
        self.ledger = ledger
    }

    /// Lets go of what was worked out for the shapes of calls: it comes back when it is asked for.
    public mutating func forgetShapes() {
        catalog.forgetShapes()
        ledger.forgetShapes()
    }

    /// Whether `event` may be stored now, for reasons beyond its shape and its key: an unknown plan, a lot id that is
    /// taken, an amount that some balance cannot hold. `occurredAt` is the event's time, or of receipt when it said
    /// none.
    public func admit(_ event: Event, at occurredAt: Timestamp) throws(Rejection) {
        switch event.fact {
        case .call(let call), .usage(let call):
            let rating = try catalog.rate(call, at: occurredAt, countsCall: event.fact.countsCall)
            try admit(call, charge: rating.charge)
        case .callVoided, .callAmended:
            _ = try admitCorrection(event.fact)
        default:
            try admitControl(event, at: occurredAt)
        }
    }

    /// Applies a stored event. Traps on what `admit` would have refused.
    @discardableResult
    public mutating func apply(_ event: Event, position: UInt64, at occurredAt: Timestamp) -> Outcome {
        switch event.fact {
        case .call(let call), .usage(let call):
            let terms = catalog.rememberTerms(for: call, at: occurredAt)
            do {
                let rating = try Catalog.rate(call, by: terms, countsCall: event.fact.countsCall)
                return chargeStated(
                    call, countsCall: event.fact.countsCall, rating: rating, terms: terms, at: occurredAt)
            } catch {
                preconditionFailure("position \(position) was stored and is not rateable: \(error)")
            }
        case .callVoided, .callAmended:
            do {
                return try correct(event.fact, at: occurredAt)
            } catch {
                preconditionFailure("position \(position) was stored and corrects nothing: \(error)")
            }
        default:
            return applyControl(event, position: position, at: occurredAt)
        }
    }

    /// `admit`, and `apply` when it holds: the writer's way, which rates a call once.
    public mutating func take(
        _ event: Event, position: UInt64, at occurredAt: Timestamp
    ) throws(Rejection) -> Outcome {
        switch event.fact {
        case .call(let call), .usage(let call):
            let terms = catalog.rememberTerms(for: call, at: occurredAt)
            let countsCall = event.fact.countsCall
            let rating = try Catalog.rate(call, by: terms, countsCall: countsCall)
            let places = ledger.places(of: call)
            try admit(call, charge: rating.charge, at: places)
            return chargeStated(
                call, countsCall: countsCall, rating: rating, terms: terms, places: places, at: occurredAt)
        case .callVoided, .callAmended:
            return try correct(event.fact, at: occurredAt)
        default:
            try admitControl(event, at: occurredAt)
            return applyControl(event, position: position, at: occurredAt)
        }
    }

    /// Settles what the call names, counts it and charges it.
    mutating func chargeStated(
        _ call: Call, countsCall: Bool, rating: consuming Rating, terms: Terms, places: Ledger.CallPlaces? = nil,
        at time: Timestamp
    ) -> Outcome {
        if countsCall, counts != nil, Quota.uses(call, plan: nil) {
            counts?.add(1, call.keySource, org: call.org, user: call.user, on: time.day)
        }
        let settlement = call.authorization == nil ? nil : settle(call, charge: rating.charge)
        return charge(call, rating: rating, terms: terms, places: places, settlement: settlement, at: time)
    }

    private mutating func charge(
        _ call: Call, rating: consuming Rating, terms: Terms, places: Ledger.CallPlaces? = nil,
        settlement: Settlement? = nil, at time: Timestamp
    ) -> Outcome {
        let (movements, drawn) = ledger.charge(
            rating.charge, org: call.org, user: call.user, places: places, funding: terms.funding,
            invoicesOverage: terms.overage == .invoice, at: time)
        return Outcome(
            rating: rating, movements: movements, drawn: drawn, subscription: terms.subscription,
            settlement: settlement)
    }

    /// What a correction unwinds, and for an amendment what the corrected call costs: rated by what is published now
    /// and in force at the call's own time.
    private func admitCorrection(_ fact: Fact) throws(Rejection) -> (standing: StandingCall, rating: Rating?) {
        guard let (source, id, _) = fact.corrects else { preconditionFailure("\(fact.type) corrects nothing") }
        guard let standing = fact.unwinds else { throw .unknownCall(source: source, id: id) }
        if let refusal = ledger.refusal(of: standing) { throw refusal }
        guard case .callAmended(let amended) = fact else { return (standing, nil) }
        do {
            let rating = try catalog.rate(amended.call, at: standing.occurredAt, countsCall: standing.isCall)
            try admit(amended.call, charge: rating.charge)
            return (standing, rating)
        } catch {
            // The call is one member deeper here.
            let member = error.field.utf8.starts(with: "data.".utf8) ? String(error.field.dropFirst(5)) : error.field
            throw Rejection(code: error.code, field: "data.call.\(member)", detail: error.detail)
        }
    }

    /// Refund, charge again, then what a refund left in an ended lot expires: so that an amendment that changes no
    /// amount changes no lot.
    private mutating func correct(_ fact: Fact, at time: Timestamp) throws(Rejection) -> Outcome {
        let (standing, rating) = try admitCorrection(fact)
        var refunded: [Ledger.Refunded] = []
        var outcome = Outcome(movements: ledger.refund(standing, into: &refunded))
        let day = standing.occurredAt.day
        if standing.isCounted {
            counts?.add(-1, standing.keySource, org: standing.org, user: standing.user, on: day)
        }
        if let rating, case .callAmended(let amended) = fact {
            let call = amended.call
            if standing.isCall, Quota.uses(call, plan: nil) {
                counts?.add(1, call.keySource, org: call.org, user: call.user, on: day)
            }
            let terms = catalog.rememberTerms(for: call, at: standing.occurredAt)
            let charged = charge(call, rating: rating, terms: terms, at: standing.occurredAt)
            outcome.rating = rating
            outcome.movements += charged.movements
            outcome.drawn = charged.drawn
            outcome.subscription = charged.subscription
        }
        outcome.movements += ledger.settle(refunded, at: time)
        return outcome
    }

    private mutating func applyControl(_ event: Event, position: UInt64, at time: Timestamp) -> Outcome {
        switch event.fact {
        case .planDefined, .planAssigned, .pricesPublished, .alertDefined:
            catalog.apply(event.fact, position: position, at: time)
            return Outcome()
        case .creditsGranted(let grant):
            return Outcome(movements: [ledger.grant(grant, id: event.id, position: position, at: time)])
        case .creditsAdjusted(let adjustment):
            return Outcome(movements: [ledger.adjust(adjustment, id: event.id, position: position, at: time)])
        case .creditsAllocated(let allocation):
            ledger.set(UserAllocation(allocation: allocation, position: position))
            return Outcome()
        case .creditsVoided(let voided):
            return Outcome(movements: ledger.void(voided.lot).map { [$0] } ?? [])
        case .creditsExpired(let expired):
            return Outcome(movements: ledger.expire(expired.lot).map { [$0] } ?? [])
        case .authorizationGranted, .authorizationDenied, .authorizationReleased, .authorizationExpired:
            applyAuthorization(event.fact, position: position, at: time)
            return Outcome()
        case .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed:
            return Outcome()
        case .call, .usage, .callVoided, .callAmended:
            preconditionFailure("position \(position): \(event.fact.type) is applied with its charge")
        }
    }
}

extension Fact {
    /// `llm.usage` adds to calls counted elsewhere.
    var countsCall: Bool {
        if case .usage = self { return false }
        return true
    }
}
