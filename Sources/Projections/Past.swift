public import Billing
public import Records

/// Which records count when the past is asked about, in two times: what was known, and what had happened.
///
/// *Known* at a position is the log up to it. *Effective* at a time T is, of what is known, the facts whose own time is
/// not after T, in the order of the log. Rules (plans, assignments, prices) count when they are known: they say
/// themselves from when they hold. A correction counts at the own time of the call that it corrects, and what it does
/// beside is judged no later than T. A fact that then has nothing to act on (a void of a lot that is granted after T)
/// does nothing. Schemas/RULES.md has examples.
public struct Past: Hashable, Sendable {
    /// The last position that counts; 0: none.
    public var known: UInt64
    /// Nil: whatever is known, as the daemon answered it then.
    public var effective: Timestamp?

    public init(known: UInt64, effective: Timestamp? = nil) {
        self.known = known
        self.effective = effective
    }
}

/// A book of the past, record by record.
public struct PastFold {
    /// A record that counts, and what it did. Its time and what it unwinds are those of the past.
    public struct Step: Sendable {
        public var record: Record
        public var outcome: Outcome
    }

    public private(set) var book = Book()
    private let effective: Timestamp?
    /// Calls that are corrected by a record that is known: what they are charged in this past is kept for it.
    private let corrected: Set<UInt64>
    private var standing: [UInt64: StandingCall] = [:]

    /// Reads the log once when an effective time is asked for: for which calls are corrected.
    public init(_ past: Past, log: any RecordSource, progress: (UInt64) -> Void = { _ in }) throws {
        effective = past.effective
        var corrected: Set<UInt64> = []
        if past.effective != nil {
            try log.forEach(through: past.known, progress: progress) { record in
                if let standing = record.event.fact.unwinds { corrected.insert(standing.original) }
            }
        }
        self.corrected = corrected
    }

    /// Takes the next record of the log. Nil: it does not count.
    /// - Throws: `RecordFault` for one that admission would have refused.
    public mutating func take(_ record: Record) throws(RecordFault) -> Step? {
        guard let effective else {
            do throws(Rejection) {
                return Step(
                    record: record,
                    outcome: try book.take(record.event, position: record.position, at: record.occurredAt))
            } catch {
                throw RecordFault(
                    position: record.position, reason: "\(record.event.fact.type) cannot be applied: \(error.detail)")
            }
        }
        var record = record
        switch record.event.fact {
        case .planDefined, .planAssigned, .pricesPublished, .alertDefined:
            break
        case .callVoided, .callAmended:
            // What stands is what this past charged: lots that it does not know paid nothing.
            guard let original = record.event.fact.unwinds?.original, let standing = standing[original],
                standing.occurredAt <= effective
            else { return nil }
            record.event.fact.unwinds = standing
            record.event.time = min(record.occurredAt, effective)
        default:
            guard record.occurredAt <= effective else { return nil }
        }
        guard let outcome = try? book.take(record.event, position: record.position, at: record.occurredAt) else {
            return nil
        }
        note(record, outcome)
        return Step(record: record, outcome: outcome)
    }

    private mutating func note(_ record: Record, _ outcome: Outcome) {
        let charge = outcome.charge ?? ChargeRecord()
        func stand(_ call: Call, isCall: Bool) {
            guard corrected.contains(record.position) else { return }
            standing[record.position] = StandingCall(
                original: record.position, position: record.position, occurredAt: record.occurredAt, isCall: isCall,
                call: call, charge: charge)
        }
        switch record.event.fact {
        case .call(let call): stand(call, isCall: true)
        case .usage(let call): stand(call, isCall: false)
        case .callVoided(let fact):
            if let original = fact.unwinds?.original { standing[original] = nil }
        case .callAmended(let fact):
            guard let old = fact.unwinds else { return }
            standing[old.original] = StandingCall(
                original: old.original, position: record.position, occurredAt: old.occurredAt, isCall: old.isCall,
                call: fact.call, charge: charge)
        default: break
        }
    }
}
