internal import Billing

/// Where in a record the bytes of a call's shape are, and their hash. Two calls have the same shape exactly when `head`
/// and these bytes are the same: the lengths of the parts follow from the head and from the bytes themselves.
struct ShapeKey {
    /// Operation, key source, status, which names there are, and whether there is a resolution.
    var head: UInt64
    var names: Range<Int>
    var attributes: Range<Int>
    var resolution: Range<Int>

    var count: Int { names.count + attributes.count + resolution.count }

    func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = ShapeKey.mix(0x9E37_79B9_7F4A_7C15, head)
        hash = ShapeKey.hash(bytes, names, from: hash)
        if !attributes.isEmpty { hash = ShapeKey.hash(bytes, attributes, from: hash) }
        if !resolution.isEmpty { hash = ShapeKey.hash(bytes, resolution, from: hash) }
        return hash
    }

    private static func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
        let product = (hash ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, from start: UInt64) -> UInt64 {
        var hash = start
        var offset = range.lowerBound
        while offset + 8 <= range.upperBound {
            hash = mix(hash, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var last = UInt64(range.count)
        while offset < range.upperBound {
            last = last << 8 | UInt64(bytes[offset])
            offset += 1
        }
        return mix(hash, last)
    }
}

/// Shapes by the bytes that spell them. It knows only bytes that the strict reader took, so what is found here needs no
/// second look. Full, it starts afresh; whoever sends bytes whose hashes meet costs themselves the strict reading.
final class ShapeTable {
    /// All bytes kept, for each of the shapes that there may be; a shape of unusual length is not kept.
    private static let bytesPerShape = 128
    private static let shapeBytesMax = 1024
    /// How far from its place a shape may be.
    private static let probesMax = 16

    private struct Entry {
        var head: UInt64
        /// In `bytes`.
        var start: Int
        var count: Int
        var shape: CallShape
    }

    private let shapesMax: Int
    /// The upper half of a hash, and the index of an entry plus one in the lower; 0 where there is none.
    private var slots: [UInt64]
    private let mask: Int
    private var entries: [Entry] = []
    private var bytes: [UInt8] = []
    private var family = CallShape.Family()

    init(shapesMax: Int) {
        precondition((1...1 << 24).contains(shapesMax), "a table of \(shapesMax) shapes")
        self.shapesMax = shapesMax
        var capacity = 16
        while capacity < shapesMax * 2 { capacity *= 2 }
        slots = [UInt64](repeating: 0, count: capacity)
        mask = capacity - 1
    }

    private static let tagMask: UInt64 = 0xFFFF_FFFF_0000_0000

    func shape(_ key: ShapeKey, hash: UInt64, in record: UnsafeRawBufferPointer) -> CallShape? {
        var place = Int(truncatingIfNeeded: hash) & mask
        for _ in 0..<ShapeTable.probesMax {
            let slot = slots[place]
            if slot == 0 { return nil }
            if (slot ^ hash) & ShapeTable.tagMask == 0 {
                let index = Int(truncatingIfNeeded: slot & ~ShapeTable.tagMask) - 1
                if isSame(index, key, in: record) { return entries[index].shape }
            }
            place = (place + 1) & mask
        }
        return nil
    }

    private func isSame(_ index: Int, _ key: ShapeKey, in record: UnsafeRawBufferPointer) -> Bool {
        let head = entries[index].head
        let start = entries[index].start
        guard head == key.head, entries[index].count == key.count else { return false }
        return bytes.withUnsafeBytes { known in
            let attributes = start + key.names.count
            return hasSameBytes(known, at: start, record, key.names)
                && hasSameBytes(known, at: attributes, record, key.attributes)
                && hasSameBytes(known, at: attributes + key.attributes.count, record, key.resolution)
        }
    }

    /// The shape that calls of this key will have from now on; the call's `own` when there is no room for it.
    func remember(
        _ own: CallShape, as key: ShapeKey, hash: UInt64, in record: UnsafeRawBufferPointer
    ) -> CallShape {
        guard key.count <= ShapeTable.shapeBytesMax else { return own }
        let bytesMax = shapesMax * ShapeTable.bytesPerShape
        if entries.count == shapesMax || bytes.count + key.count > bytesMax { startAfresh() }
        var place = Int(truncatingIfNeeded: hash) & mask
        var probes = 0
        while slots[place] != 0 {
            place = (place + 1) & mask
            probes += 1
            if probes == ShapeTable.probesMax { return own }
        }
        let shape = CallShape(own.dimensions, number: entries.count, of: family)
        entries.append(Entry(head: key.head, start: bytes.count, count: key.count, shape: shape))
        slots[place] = (hash & ShapeTable.tagMask) | UInt64(entries.count)
        for range in [key.names, key.attributes, key.resolution] { bytes.append(contentsOf: record[range]) }
        return shape
    }

    private func startAfresh() {
        for index in slots.indices { slots[index] = 0 }
        entries.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
        family = CallShape.Family()
    }
}

/// Whether the bytes of `range` stand in `known` at `offset`. Both are within bounds.
@inline(__always)
func hasSameBytes(
    _ known: UnsafeRawBufferPointer, at offset: Int, _ record: UnsafeRawBufferPointer, _ range: Range<Int>
) -> Bool {
    let difference = offset - range.lowerBound
    var index = range.lowerBound
    while index + 8 <= range.upperBound {
        let left = known.loadUnaligned(fromByteOffset: index + difference, as: UInt64.self)
        if left != record.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
        index += 8
    }
    while index < range.upperBound {
        if known[index + difference] != record[index] { return false }
        index += 1
    }
    return true
}
