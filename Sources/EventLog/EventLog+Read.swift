internal import CLMDB

extension EventLog {
    /// Hands over the records after `position`, in order, within one short read transaction: at most `recordsMax`
    /// records and about `bytesMax` bytes, but at least one record when there is one. Frames may be cut. The bytes are
    /// valid inside `body` only, and `body` must not wait for anyone.
    ///
    /// Bounds, magic and positions are checked; hashes are not (see `verify`).
    /// - Returns: the last position that was handed over; `position` when there is none after it.
    /// - Throws: `LogError`, and what `body` throws.
    public func read(
        after position: UInt64, recordsMax: Int, bytesMax: Int,
        _ body: (UInt64, UnsafeRawBufferPointer) throws -> Void
    ) throws -> UInt64 {
        precondition(recordsMax >= 1, "a read of \(recordsMax) records")
        let limit = highWater
        guard position < limit else { return position }
        var last = position
        var bytes = 0
        var count = 0
        try readFrames(from: position + 1, through: limit) { frame in
            for index in Int(last + 1 - frame.firstPosition)..<frame.count {
                let record = try frame.record(index)
                guard count < recordsMax && (count == 0 || bytes + record.count <= bytesMax) else { return false }
                try body(last + 1, record)
                last += 1
                count += 1
                bytes += record.count
            }
            return true
        }
        return last
    }

    /// One record, checked against the hash beside it: what has rotted is not handed out. Nil past high water and at 0.
    /// - Throws: `LogError`, and what `body` throws.
    public func withRecord<Result>(
        at position: UInt64, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        guard position >= 1 && position <= highWater else { return nil }
        var result: Result?
        try readFrames(from: position, through: position) { frame in
            result = try body(frame.checkedRecord(Int(position - frame.firstPosition)))
            return false
        }
        return result
    }

    /// Hands over whole frames, from the one that holds `position` through the one that holds `last` (both stored), in
    /// one read transaction, until `body` gives false. Every frame follows the one before without a gap.
    func readFrames(
        from position: UInt64, through last: UInt64, _ body: (Frame) throws -> Bool
    ) throws {
        let transaction = try ReadTransaction(environment)
        let cursor = try Cursor(transaction.handle, frames)
        var frame = try EventLog.frame(holding: position, cursor)
        while true {
            guard try body(frame) && frame.lastPosition < last else { return }
            guard let (key, value) = try cursor.move(MDB_NEXT) else {
                throw LogError.corrupt(position: frame.lastPosition + 1, reason: "the log ends before it")
            }
            let next = try Frame(value, key: integerKey(key))
            guard next.firstPosition == frame.lastPosition + 1 else {
                throw LogError.corrupt(
                    position: frame.lastPosition + 1, reason: "the next frame begins at \(next.firstPosition)")
            }
            frame = next
        }
    }

    private static func frame(holding position: UInt64, _ cursor: borrowing Cursor) throws(LogError) -> Frame {
        var entry = try cursor.seek(position)
        if try entry.map({ pair throws(LogError) in try integerKey(pair.key) }) != position {
            // The key found is after the position, or there is none: the frame before it holds the position.
            entry = try cursor.move(entry == nil ? MDB_LAST : MDB_PREV)
        }
        guard let (key, value) = entry else { throw .corrupt(position: position, reason: "no frame holds it") }
        let frame = try Frame(value, key: integerKey(key))
        guard frame.firstPosition <= position && position <= frame.lastPosition else {
            throw .corrupt(
                position: position,
                reason: "no frame holds it; one goes from \(frame.firstPosition) to \(frame.lastPosition)")
        }
        return frame
    }

    /// Hands over whole frames with their headers, from the one that holds `after + 1`, in one short read transaction:
    /// at most `framesMax` frames and about `bytesMax` bytes, but at least one when there is one. For copies of a log.
    /// - Returns: the last position of the last frame; `after` when there is none.
    public func readFrames(
        after position: UInt64, framesMax: Int, bytesMax: Int, _ body: (Frame) throws -> Void
    ) throws -> UInt64 {
        precondition(framesMax >= 1, "a read of \(framesMax) frames")
        let limit = highWater
        guard position < limit else { return position }
        var last = position
        var bytes = 0
        var count = 0
        try readFrames(from: position + 1, through: limit) { frame in
            guard count < framesMax && (count == 0 || bytes + frame.bytes.count <= bytesMax) else { return false }
            try body(frame)
            last = frame.lastPosition
            count += 1
            bytes += frame.bytes.count
            return true
        }
        return last
    }
}
