internal import Billing

/// Reads records as `RecordCodec.decode` does, byte for byte and fault for fault, and remembers what calls have in
/// common: most bytes of a call say the same as those of a call before it, and for those no name is checked, copied or
/// allocated again. For whoever reads many records one after the other; belongs to one thread at a time.
public final class RecordDecoder {
    /// How many shapes are remembered: some 20 MB with names of the usual length. When there are more, the memory
    /// starts afresh with a new family.
    public static let shapesMax = 65_536

    private var memory: DecoderMemory?

    public init(shapesMax: Int = RecordDecoder.shapesMax) {
        memory = DecoderMemory(shapes: ShapeTable(shapesMax: shapesMax))
    }

    /// As `RecordCodec.decode`. Never traps.
    public func decode(_ bytes: UnsafeRawBufferPointer) throws(RecordError) -> Record {
        try RecordCodec.decode(bytes, with: &memory)
    }
}

/// What a decoder remembers. A value in one place, so that a decoding is one access to it and not one for each part.
struct DecoderMemory {
    var shapes: ShapeTable
    /// Senders are few, and their records come in runs.
    var source = LastName()
    var key = LastName()
}

/// A name that mostly is the one before.
struct LastName {
    private var name: Name?
    /// As the record spells it, its length included.
    private var bytes: [UInt8] = []

    mutating func read(from reader: inout RecordReader) throws(RecordError) -> Name {
        if let name, bytes.count <= reader.end - reader.offset {
            let isSame = bytes.withUnsafeBytes { known in
                hasSameBytes(known, at: 0, reader.bytes, reader.offset..<reader.offset + known.count)
            }
            if isSame {
                reader.offset += bytes.count
                return name
            }
        }
        let start = reader.offset
        let name = try reader.name()
        bytes = Array(reader.bytes[start..<reader.offset])
        self.name = name
        return name
    }
}
