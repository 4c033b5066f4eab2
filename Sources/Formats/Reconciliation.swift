public import Billing

/// Calls as the log holds them against calls as somebody else counted them, one to one. A call is found by its id, or
/// by what is known of it: model and tokens to the digit, time within a tolerance. Of several that fit, the nearest in
/// time.
public struct Reconciliation: Sendable {
    /// A call of the log, as it stands.
    public struct Call: Sendable {
        public var position: UInt64
        public var id: String
        public var time: Timestamp
        public var model: String
        public var inputTokens: Int64?
        public var outputTokens: Int64?
        /// What the gateway said it cost, in dollars; nil: not said.
        public var cost: Decimal?

        public init(
            position: UInt64, id: String, time: Timestamp, model: String, inputTokens: Int64?, outputTokens: Int64?,
            cost: Decimal?
        ) {
            self.position = position
            self.id = id
            self.time = time
            self.model = model
            self.inputTokens = inputTokens
            self.outputTokens = outputTokens
            self.cost = cost
        }
    }

    public enum By: String, CaseIterable, Sendable {
        case id, facts
    }

    public enum Finding: Sendable {
        /// The same call, and where they do not agree: "input_tokens", "output_tokens", "cost_usd".
        case matched(SpendRow, by: By, differing: [String])
        /// Theirs has it, the log has not.
        case missingHere(SpendRow)
        /// The log has it, theirs has not.
        case missingThere
        /// Theirs has the id more than once and says otherwise the second time.
        case conflictThere(SpendRow)
    }

    /// More rows than this in one go would take more memory than a reconciliation should: narrow the time.
    public static let rowsMax = 4_000_000

    private struct Entry: Sendable {
        var row: SpendRow
        /// The call it was found for; 0 while there is none.
        var position: UInt64 = 0
    }
    private struct Facts: Hashable {
        var bucket: Int64
        var model: String
        var input: Int64
        var output: Int64
    }

    private let toleranceMicroseconds: Int64
    private let costTolerance: Decimal
    private var entries: [Entry] = []
    private var byID: [String: Int32] = [:]
    private var byFacts: [Facts: [Int32]] = [:]
    /// Rows that say the same as one before, id and all.
    public private(set) var duplicatesThere = 0
    /// The earliest and the latest time of a row.
    public private(set) var times: ClosedRange<Timestamp>?

    /// - Parameters:
    ///   - timeToleranceMilliseconds: how far two times of one call may lie apart, for `facts`.
    ///   - costTolerance: dollars by which two costs may differ and still agree.
    public init(timeToleranceMilliseconds: Int64, costTolerance: Decimal) {
        toleranceMicroseconds = max(1, timeToleranceMilliseconds * 1000)
        self.costTolerance = costTolerance
    }

    public var rowsCount: Int { entries.count }

    /// Takes a row of theirs. Gives a finding for one that contradicts an earlier row of the same id.
    public mutating func add(_ row: SpendRow) -> Finding? {
        precondition(entries.count < Reconciliation.rowsMax, "rows are counted before they are added")
        let id = row.eventID ?? row.id
        if let id, let known = byID[id] {
            if entries[Int(known)].row == row || row.isBookkeeping {
                duplicatesThere += 1
                return nil
            }
            return .conflictThere(row)
        }
        let index = Int32(entries.count)
        entries.append(Entry(row: row))
        if let id { byID[id] = index }
        if let time = row.time {
            times = min(times?.lowerBound ?? time, time)...max(times?.upperBound ?? time, time)
            if let model = row.model {
                let facts = Facts(
                    bucket: bucket(time), model: model, input: row.inputTokens ?? 0, output: row.outputTokens ?? 0)
                byFacts[facts, default: []].append(index)
            }
        }
        return nil
    }

    /// Finds a call by its id alone. All calls are asked so before the first is asked by facts: no call then takes the
    /// row of another.
    public mutating func findByID(_ call: Call) -> Finding? {
        guard let index = byID[call.id].map(Int.init), entries[index].position == 0 else { return nil }
        entries[index].position = call.position
        return matched(call, entries[index].row, by: .id)
    }

    /// Finds a call by what is known of it, among rows that nothing was found for; nil when it has its row already.
    public mutating func findByFacts(_ call: Call) -> Finding? {
        if isFound(call) { return nil }
        var best: (index: Int, distance: Int64, sameCost: Bool)?
        for bucket in bucket(call.time) - 1...bucket(call.time) + 1 {
            let facts = Facts(
                bucket: bucket, model: call.model, input: call.inputTokens ?? 0, output: call.outputTokens ?? 0)
            for index in byFacts[facts] ?? [] {
                let entry = entries[Int(index)]
                guard entry.position == 0, let time = entry.row.time else { continue }
                let distance = abs(time.microseconds - call.time.microseconds)
                guard distance <= toleranceMicroseconds else { continue }
                let sameCost = entry.row.cost == call.cost
                if let best, best.distance < distance || best.distance == distance && (best.sameCost || !sameCost) {
                    continue
                }
                best = (Int(index), distance, sameCost)
            }
        }
        guard let best else { return .missingThere }
        entries[best.index].position = call.position
        return matched(call, entries[best.index].row, by: .facts)
    }

    /// Whether a row was found for it by its id.
    public func isFound(_ call: Call) -> Bool {
        byID[call.id].map { entries[Int($0)].position == call.position } ?? false
    }

    /// Rows that no call was found for, in the order of the file; bookkeeping is none that could be missing.
    public func missingHere(_ body: (Finding) throws -> Void) rethrows {
        for entry in entries where entry.position == 0 && !entry.row.isBookkeeping {
            try body(.missingHere(entry.row))
        }
    }

    /// Rows of bookkeeping that no call was found for.
    public var bookkeepingThere: Int { entries.count { $0.position == 0 && $0.row.isBookkeeping } }

    private func bucket(_ time: Timestamp) -> Int64 {
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: toleranceMicroseconds)
        return remainder < 0 ? quotient - 1 : quotient
    }

    /// What one side does not say agrees with anything; no tokens said is 0.
    private func matched(_ call: Call, _ row: SpendRow, by: By) -> Finding {
        var differing: [String] = []
        if let tokens = row.inputTokens, tokens != call.inputTokens ?? 0 { differing.append("input_tokens") }
        if let tokens = row.outputTokens, tokens != call.outputTokens ?? 0 { differing.append("output_tokens") }
        if let there = row.cost, let here = call.cost {
            let difference = (there.picodollars - here.picodollars).magnitude
            if difference > costTolerance.picodollars.magnitude { differing.append("cost_usd") }
        }
        return .matched(row, by: by, differing: differing)
    }
}

extension Decimal {
    /// 10^-12 of a dollar: every digit that a cost keeps.
    public var picodollars: Int128 {
        var value = Int128(mantissa)
        for _ in scale..<max(12, scale) { value *= 10 }
        for _ in 12..<max(12, scale) { value /= 10 }
        return value
    }
}
