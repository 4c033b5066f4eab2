internal import Billing
internal import Platform

/// What every charge of the log took from which lots: for the correction that one call in thousands gets.
///
/// About ten bytes a charge, appended in blocks to a scratch file; in memory are the block being filled and 16 bytes
/// for each block. A fold of the log like all of admission, so it is made anew with it, and nothing in it must last.
final class ChargeStore {
    /// Bytes of a block. One is read, and half of it decoded, to find a charge.
    static let blockBytes = 64 << 10

    private struct Block {
        var firstPosition: UInt64
        var offset: Int
    }

    private let file: ScratchFile
    private var blocks: [Block] = []
    private var tail: [UInt8] = []
    private var tailFirst: UInt64 = 0
    private var last: UInt64 = 0
    private let blockBytes: Int

    init(folder: String, blockBytes: Int = ChargeStore.blockBytes) throws(FileError) {
        file = try ScratchFile(folder: folder, name: "charges.tmp")
        self.blockBytes = blockBytes
        tail.reserveCapacity(blockBytes + 4096)
    }

    /// Keeps what the record at `position` charged; positions ascend. Lots are numbered by `ledger`, which must be the
    /// one asked with later.
    func append(_ charge: ChargeRecord, position: UInt64, ledger: Ledger) {
        precondition(position > last, "position \(position) after \(last)")
        if tail.count >= blockBytes { spill() }
        if tail.isEmpty { tailFirst = position }
        varint(position - (tail.isEmpty ? 0 : last))
        varint(UInt64(charge.parts.count))
        for part in charge.parts {
            var kind: UInt64 = 0
            if case .user = part.owner { kind = 1 }
            varint(UInt64(part.slices.count) << 1 | kind)
            for slice in part.slices {
                guard let lot = ledger.number(ofLot: slice.lot) else {
                    preconditionFailure("lot \(slice.lot) is unknown")
                }
                varint(UInt64(lot))
                varint(UInt64(slice.amount.nanos))
            }
            varint(UInt64(part.overage.nanos))
            varint(UInt64(part.invoiced.nanos))
        }
        varint(UInt64(charge.drawn.nanos))
        last = position
    }

    /// What the record at `position` charged to `call`; nil when nothing.
    func charge(at position: UInt64, of call: Call, ledger: Ledger) throws(FileError) -> ChargeRecord? {
        guard let bytes = try block(of: position) else { return nil }
        var reader = Reader(bytes: bytes)
        var current: UInt64 = 0
        while !reader.isAtEnd {
            current += reader.varint()
            let charge = reader.charge(of: current == position ? call : nil, ledger: ledger)
            if current == position { return charge }
            if current > position { break }
        }
        return nil
    }

    /// Bytes in memory that grow with the log.
    var bytesInMemory: Int { blocks.capacity * MemoryLayout<Block>.stride + tail.capacity }

    private func block(of position: UInt64) throws(FileError) -> [UInt8]? {
        if !tail.isEmpty && position >= tailFirst { return tail }
        // The last block that begins at or before it.
        var (low, high) = (0, blocks.count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].firstPosition <= position { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let end = low < blocks.count ? blocks[low].offset : file.size
        return try file.read(blocks[low - 1].offset..<end)
    }

    /// A disk without room leaves the block in memory: the log itself takes no more then either.
    private func spill() {
        let offset = file.size
        guard (try? file.append(tail)) != nil else { return }
        blocks.append(Block(firstPosition: tailFirst, offset: offset))
        tail.removeAll(keepingCapacity: true)
    }

    private func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            tail.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        tail.append(UInt8(truncatingIfNeeded: rest))
    }

    private struct Reader {
        let bytes: [UInt8]
        var offset = 0

        var isAtEnd: Bool { offset == bytes.count }

        mutating func varint() -> UInt64 {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                let byte = bytes[offset]
                offset += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
        }

        mutating func money() -> Money { Money(nanos: Int64(varint())) }

        /// Reads past a charge when there is no call.
        mutating func charge(of call: Call?, ledger: Ledger) -> ChargeRecord? {
            var record = ChargeRecord()
            for _ in 0..<varint() {
                let head = varint()
                var slices: [Slice] = []
                for _ in 0..<(head >> 1) {
                    let lot = Int(varint())
                    let amount = money()
                    if call != nil { slices.append(Slice(lot: ledger.lot(number: lot).id, amount: amount)) }
                }
                let (overage, invoiced) = (money(), money())
                guard let call else { continue }
                guard let owner = head & 1 == 0 ? call.org.map(Owner.org) : call.user.map(Owner.user) else {
                    preconditionFailure("a charge to an owner that the call has not")
                }
                record.parts.append(
                    ChargeRecord.Part(owner: owner, slices: slices, overage: overage, invoiced: invoiced))
            }
            record.drawn = money()
            return call == nil ? nil : record
        }
    }
}
