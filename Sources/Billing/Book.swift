/// All rules of money in one value: who has which plan, what prices hold, who owns which credits. The writer keeps one
/// to admit against; projections keep one to fold with. Applying the same facts in the same order gives the same book.
///
/// Places kept for what comes next: `llm.call.voided` and `.amended` will go back along the slices that the caller
/// recorded for the original call (`apply` will take that record beside the event, since a book keeps no calls);
/// authorizations will add holds to `Account.held` and settle them in `charge`.
public struct Book: Sendable {
    public var catalog: Catalog
    public var ledger: Ledger

    public init(tracksChanges: Bool = false) {
        catalog = Catalog()
        ledger = Ledger(tracksChanges: tracksChanges)
    }

    public init(catalog: Catalog, ledger: Ledger) {
        self.catalog = catalog
        self.ledger = ledger
    }

    /// Whether `event` may be stored now, for reasons beyond its shape and its key: an unknown plan, a lot id that is
    /// taken, an amount that some balance cannot hold. `occurredAt` is the event's time, or of receipt when it said
    /// none.
    public func admit(_ event: Event, at occurredAt: Timestamp) throws(Rejection) {
        switch event.fact {
        case .call(let call), .usage(let call):
            let rating = try catalog.rate(call, at: occurredAt, countsCall: event.fact.countsCall)
            try admit(call, charge: rating.charge)
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
                return charge(call, rating: rating, terms: terms, at: occurredAt)
            } catch {
                preconditionFailure("position \(position) was stored and is not rateable: \(error)")
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
            let rating = try Catalog.rate(call, by: terms, countsCall: event.fact.countsCall)
            let places = ledger.places(of: call)
            try admit(call, charge: rating.charge, at: places)
            return charge(call, rating: rating, terms: terms, places: places, at: occurredAt)
        default:
            try admitControl(event, at: occurredAt)
            return applyControl(event, position: position, at: occurredAt)
        }
    }

    private mutating func charge(
        _ call: Call, rating: Rating, terms: Terms, places: Ledger.CallPlaces? = nil, at time: Timestamp
    ) -> Outcome {
        let movements = ledger.charge(
            rating.charge, org: call.org, user: call.user, places: places, funding: terms.assigned?.assignment.funding ?? .org,
            invoicesOverage: terms.definition?.plan.overage == .invoice, at: time)
        return Outcome(rating: rating, movements: movements)
    }

    private mutating func applyControl(_ event: Event, position: UInt64, at time: Timestamp) -> Outcome {
        switch event.fact {
        case .planDefined, .planAssigned, .pricesPublished:
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
        case .lagoWindowClosed, .lagoBatchDelivered, .lagoBatchFailed:
            return Outcome()
        case .callVoided, .callAmended:
            preconditionFailure("position \(position): \(event.fact.type) was stored and admission refuses it")
        case .call, .usage:
            preconditionFailure("position \(position): calls are charged by apply")
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
