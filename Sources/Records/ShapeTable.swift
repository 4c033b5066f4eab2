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
///
/// A look-up is mostly waiting for memory: the slots are no more than the shapes need, and what has to be compared lies
/// in one place.
struct ShapeTable {
    /// All bytes kept, for each of the shapes that there may be; a shape of unusual length is not kept.
    private static let bytesPerShape = 160
    private static let shapeBytesMax = 1024
    /// How far from its place a shape may be.
    private static let probesMax = 16
    private static let slotsMin = 1024

    /// What stands before a shape's bytes in `bytes`.
    private struct Header: BitwiseCopyable {
        var hash: UInt64
        var head: UInt64
        var number: UInt32
        var count: UInt32

        static let size = MemoryLayout<Header>.size
    }

    private let shapesMax: Int
    /// The upper half of a hash, and where the shape's header is in `bytes`, plus one, in the lower; 0 where there is
    /// none. A power of 2, at least twice as many as there are shapes.
    private var slots: [UInt64]
    private var shapes: [CallShape] = []
    private var bytes: [UInt8] = []
    private var family = CallShape.Family()

    init(shapesMax: Int) {
        precondition((1...1 << 24).contains(shapesMax), "a table of \(shapesMax) shapes")
        self.shapesMax = shapesMax
        slots = [UInt64](repeating: 0, count: ShapeTable.slotsMin)
    }

    private static let tagMask: UInt64 = 0xFFFF_FFFF_0000_0000

    func shape(_ key: ShapeKey, hash: UInt64, in record: UnsafeRawBufferPointer) -> CallShape? {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: hash) & mask
        let number: Int? = bytes.withUnsafeBytes { known in
            for _ in 0..<ShapeTable.probesMax {
                let slot = slots[place]
                if slot == 0 { return nil }
                if (slot ^ hash) & ShapeTable.tagMask == 0 {
                    let start = Int(truncatingIfNeeded: slot & ~ShapeTable.tagMask) - 1
                    if let number = ShapeTable.number(of: key, in: record, at: start, known) { return number }
                }
                place = (place + 1) & mask
            }
            return nil
        }
        return number.map { shapes[$0] }
    }

    /// Of the shape whose header is at `start`, if it is the one of this key.
    private static func number(
        of key: ShapeKey, in record: UnsafeRawBufferPointer, at start: Int, _ known: UnsafeRawBufferPointer
    ) -> Int? {
        let header = known.loadUnaligned(fromByteOffset: start, as: Header.self)
        guard header.head == key.head, Int(header.count) == key.count else { return nil }
        let names = start + Header.size
        let attributes = names + key.names.count
        let isSame = hasSameBytes(known, at: names, record, key.names)
            && hasSameBytes(known, at: attributes, record, key.attributes)
            && hasSameBytes(known, at: attributes + key.attributes.count, record, key.resolution)
        return isSame ? Int(header.number) : nil
    }

    /// The shape that calls of this key will have from now on; the call's `own` when there is no room for it.
    mutating func remember(
        _ own: CallShape, as key: ShapeKey, hash: UInt64, in record: UnsafeRawBufferPointer
    ) -> CallShape {
        guard key.count <= ShapeTable.shapeBytesMax else { return own }
        let bytesMax = min(shapesMax * ShapeTable.bytesPerShape, Int(UInt32.max) - 1)
        if shapes.count == shapesMax || bytes.count + Header.size + key.count > bytesMax { startAfresh() }
        if (shapes.count + 1) * 2 > slots.count { grow() }
        guard let place = freePlace(hash) else { return own }
        let header = Header(hash: hash, head: key.head, number: UInt32(shapes.count), count: UInt32(key.count))
        slots[place] = ShapeTable.slot(hash, at: bytes.count)
        withUnsafeBytes(of: header) { bytes.append(contentsOf: $0) }
        for range in [key.names, key.attributes, key.resolution] { bytes.append(contentsOf: record[range]) }
        let shape = CallShape(own.dimensions, number: shapes.count, of: family)
        shapes.append(shape)
        return shape
    }

    private static func slot(_ hash: UInt64, at start: Int) -> UInt64 { (hash & tagMask) | UInt64(start + 1) }

    private func freePlace(_ hash: UInt64) -> Int? {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: hash) & mask
        for _ in 0..<ShapeTable.probesMax {
            if slots[place] == 0 { return place }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Twice the slots. A shape that finds no place among them is not found again; that is no more than slow.
    private mutating func grow() {
        slots = [UInt64](repeating: 0, count: slots.count * 2)
        var start = 0
        while start < bytes.count {
            let header = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: Header.self) }
            if let place = freePlace(header.hash) { slots[place] = ShapeTable.slot(header.hash, at: start) }
            start += Header.size + Int(header.count)
        }
    }

    private mutating func startAfresh() {
        slots = [UInt64](repeating: 0, count: ShapeTable.slotsMin)
        shapes.removeAll(keepingCapacity: true)
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
