import Billing

/// Takes the primitives of `Schemas/RECORD.md` from bytes that may be anything: never reads outside of them, never
/// traps, and refuses every spelling but the one that `RecordWriter` writes.
struct RecordReader {
    let bytes: UnsafeRawBufferPointer
    var offset: Int
    /// Nothing at or after this offset is read.
    var end: Int

    func failure(_ reason: String, at offset: Int? = nil) -> RecordError {
        RecordError(offset: offset ?? self.offset, reason: reason)
    }

    /// Makes sure of `count` more bytes.
    @inline(__always)
    func need(_ count: Int) throws(RecordError) {
        guard count <= end - offset else { throw failure("ends within a field") }
    }

    mutating func byte() throws(RecordError) -> UInt8 {
        try need(1)
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func fixed<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type
    ) throws(RecordError) -> Value {
        let size = MemoryLayout<Value>.size
        try need(size)
        defer { offset += size }
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    mutating func varint() throws(RecordError) -> UInt64 {
        let first = try byte()
        if first < 0x80 { return UInt64(first) }
        let start = offset - 1
        var value = UInt64(first & 0x7F)
        var shift: UInt64 = 7
        while true {
            let next = try byte()
            if shift == 63 && next > 1 { throw failure("an integer of over 64 bits", at: start) }
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 {
                if next == 0 { throw failure("an integer with a needless byte", at: start) }
                return value
            }
            shift += 7
        }
    }

    mutating func signed() throws(RecordError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: (value >> 1) ^ (0 &- (value & 1)))
    }

    /// A count or quantity in `range`.
    mutating func integer(in range: ClosedRange<Int64>, _ what: StaticString) throws(RecordError) -> Int64 {
        let start = offset
        let value = try varint()
        guard let value = Int64(exactly: value), range.contains(value) else {
            throw failure("\(value) \(what) is out of \(range.lowerBound)...\(range.upperBound)", at: start)
        }
        return value
    }

    mutating func name() throws(RecordError) -> Name {
        let start = offset
        let count = Int(try byte()) + 1
        try need(count)
        let buffer = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
        offset += count
        guard let name = Name(buffer: buffer) else { throw failure("not a name", at: start) }
        return name
    }

    mutating func name(if isPresent: Bool) throws(RecordError) -> Name? {
        isPresent ? try name() : nil
    }

    mutating func text() throws(RecordError) -> String {
        let start = offset
        let count = Int(try fixed(UInt16.self))
        try need(count)
        let buffer = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
        offset += count
        guard let text = String(validating: buffer, as: UTF8.self) else {
            throw failure("a text that is not UTF-8", at: start)
        }
        return text
    }

    mutating func text(if isPresent: Bool) throws(RecordError) -> String? {
        isPresent ? try text() : nil
    }

    mutating func decimal() throws(RecordError) -> Decimal {
        let start = offset
        let scale = Int(try byte())
        let mantissa = try signed()
        guard scale <= Decimal.scaleMax else { throw failure("a decimal of scale \(scale)", at: start) }
        guard scale == 0 || mantissa % 10 != 0 else { throw failure("a decimal not in lowest terms", at: start) }
        return Decimal(mantissa: mantissa, scale: scale)
    }

    mutating func decimal(if isPresent: Bool) throws(RecordError) -> Decimal? {
        isPresent ? try decimal() : nil
    }

    mutating func money() throws(RecordError) -> Money {
        Money(nanos: try signed())
    }

    mutating func money(if isPresent: Bool) throws(RecordError) -> Money? {
        isPresent ? try money() : nil
    }

    mutating func time() throws(RecordError) -> Timestamp {
        let start = offset
        let time = Timestamp(microseconds: try fixed(Int64.self))
        guard Timestamp.earliest <= time && time <= Timestamp.latest else {
            throw failure("a time out of the years 0...9999", at: start)
        }
        return time
    }

    mutating func time(if isPresent: Bool) throws(RecordError) -> Timestamp? {
        isPresent ? try time() : nil
    }

    mutating func choice<Value: RawRepresentable<UInt8>>(
        _ type: Value.Type, _ what: StaticString
    ) throws(RecordError) -> Value {
        let raw = try byte()
        guard let value = Value(rawValue: raw) else { throw failure("\(what) \(raw) is unknown", at: offset - 1) }
        return value
    }

    /// A bitmap in which only `allowed` bits may be set.
    mutating func bitmap<Bits: FixedWidthInteger & BitwiseCopyable>(
        allowed: Bits
    ) throws(RecordError) -> Bits {
        let start = offset
        let bits = try fixed(Bits.self)
        guard bits & ~allowed == 0 else { throw failure("reserved bits are set", at: start) }
        return bits
    }

    mutating func owner() throws(RecordError) -> Owner {
        switch try byte() {
        case 0: return .org(try name())
        case 1: return .user(try name())
        case let other: throw failure("owner kind \(other) is unknown", at: offset - 1)
        }
    }
}

extension FixedWidthInteger {
    @inline(__always)
    func has(_ index: Int) -> Bool { self & (1 << Self(index)) != 0 }
}
