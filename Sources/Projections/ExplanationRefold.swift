public import Billing
public import Records

/// Explanations from the log alone: everything before a record is folded again, and no read model is looked at.
extension Explanation {
    /// Of the record at `position`, and the corrections of it through `known`. Nil past `known`.
    /// `progress` is called every few thousand records with the position reached.
    /// - Throws: `RecordFault` for a record that is missing, unreadable or not foldable; what the log throws.
    public static func refolded(
        at position: UInt64, in log: any RecordSource, known: UInt64, progress: (UInt64) -> Void = { _ in }
    ) throws -> Explanation? {
        guard position >= 1 && position <= known else { return nil }
        var book = Book()
        var explanation: Explanation?
        try log.forEach(through: known, progress: progress) { record in
            if record.position < position {
                book.apply(record.event, position: record.position, at: record.occurredAt)
            } else if record.position == position {
                let catalog = book.catalog
                let outcome = book.apply(record.event, position: position, at: record.occurredAt)
                explanation = try Explanation(
                    of: record, by: catalog, movements: outcome.movements, settlement: outcome.settlement,
                    corrections: [])
            } else if record.event.fact.unwinds?.original == position {
                explanation?.corrections.append(record.position)
            }
        }
        return explanation
    }
}

extension RecordSource {
    /// Calls `body` with every record through `last`, in order; `progress` after each chunk.
    /// - Throws: `RecordFault` when the log ends before.
    public func forEach(
        after first: UInt64 = 0, through last: UInt64, progress: (UInt64) -> Void = { _ in },
        _ body: (Record) throws -> Void
    ) throws {
        let decoder = RecordDecoder()
        var reached = first
        while reached < last {
            let before = reached
            let recordsMax = Int(min(last - reached, UInt64(Self.scanRecords)))
            reached = try read(
                after: before, recordsMax: recordsMax, bytesMax: Self.scanBytes, decoder: decoder
            ) { record in
                guard record.position <= last else { return }
                try body(record)
            }
            guard reached > before else { throw RecordFault(position: before + 1, reason: "the log ends before it") }
            progress(reached)
        }
    }

    /// The last position that was stored by `time`; 0 when none was. Times of recording never go back.
    public func position(recordedBy time: Timestamp) throws -> UInt64 {
        var (low, high) = (UInt64(0), highWater)
        while low < high {
            let middle = (low + high + 1) / 2
            guard let record = try record(at: middle) else {
                throw RecordFault(position: middle, reason: "the log does not have it")
            }
            if record.recordedAt <= time { low = middle } else { high = middle - 1 }
        }
        return low
    }
}
