import Billing

// The contents of `lago.*`. Bits and order as in Schemas/RECORD.md.

private let windowSecondsRange: ClosedRange<Int64> = 60...86_400

extension RecordWriter {
    mutating func lagoWindow(_ window: LagoWindowClosed) {
        precondition(windowSecondsRange.contains(window.windowSeconds), "a window of \(window.windowSeconds) s")
        varint(UInt64(window.windowSeconds))
        time(window.through)
    }

    mutating func lagoDelivery(_ delivery: LagoDelivery) {
        name(delivery.batch)
        byte(bit(0, delivery.detail != nil))
        text(delivery.detail)
    }
}

extension RecordReader {
    mutating func lagoWindow() throws(RecordError) -> LagoWindowClosed {
        LagoWindowClosed(
            windowSeconds: try integer(in: windowSecondsRange, "seconds as a window"), through: try time())
    }

    mutating func lagoDelivery() throws(RecordError) -> LagoDelivery {
        let batch = try name()
        let bits = try bitmap(allowed: 0b1 as UInt8)
        return LagoDelivery(batch: batch, detail: try text(if: bits.has(0)))
    }
}
