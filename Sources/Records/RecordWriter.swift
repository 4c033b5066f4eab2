import Billing

/// Appends the primitives of `Schemas/RECORD.md`. Integers are little-endian.
struct RecordWriter {
    var bytes: [UInt8]

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func fixed(_ value: UInt16) {
        byte(UInt8(truncatingIfNeeded: value))
        byte(UInt8(truncatingIfNeeded: value >> 8))
    }

    mutating func fixed(_ value: UInt32) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func fixed(_ value: UInt64) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Seven bits a byte, lowest first, the top bit set on all but the last.
    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(truncatingIfNeeded: rest))
    }

    /// Small magnitudes of either sign stay short: 0, -1, 1, -2 become 0, 1, 2, 3.
    mutating func signed(_ value: Int64) {
        varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }

    mutating func count(_ value: Int, max: Int, of what: StaticString) {
        precondition((0...max).contains(value), "\(value) \(what), at most \(max)")
        varint(UInt64(value))
    }

    /// The length less one, since a name is never empty and 256 bytes must fit.
    mutating func name(_ name: Name) {
        let utf8 = name.text.utf8
        let count = utf8.count
        precondition((1...Name.bytesMax).contains(count), "a name of \(count) bytes")
        byte(UInt8(count - 1))
        append(utf8)
    }

    mutating func name(_ name: Name?) {
        if let name { self.name(name) }
    }

    mutating func text(_ text: String) {
        let utf8 = text.utf8
        let count = utf8.count
        precondition(count <= RecordCodec.textBytesMax, "a text of \(count) bytes")
        fixed(UInt16(count))
        append(utf8)
    }

    /// From the string's own buffer, where it has one: a copy in one go.
    private mutating func append(_ utf8: String.UTF8View) {
        let isDone: Void? = utf8.withContiguousStorageIfAvailable { bytes.append(contentsOf: $0) }
        if isDone == nil { bytes.append(contentsOf: utf8) }
    }

    mutating func text(_ text: String?) {
        if let text { self.text(text) }
    }

    mutating func decimal(_ decimal: Decimal) {
        byte(UInt8(decimal.scale))
        signed(decimal.mantissa)
    }

    mutating func decimal(_ decimal: Decimal?) {
        if let decimal { self.decimal(decimal) }
    }

    mutating func money(_ money: Money) { signed(money.nanos) }

    mutating func money(_ money: Money?) {
        if let money { self.money(money) }
    }

    mutating func time(_ time: Timestamp) {
        precondition(
            Timestamp.earliest <= time && time <= Timestamp.latest, "time \(time.microseconds) is out of range")
        fixed(UInt64(bitPattern: time.microseconds))
    }

    mutating func time(_ time: Timestamp?) {
        if let time { self.time(time) }
    }

    mutating func owner(_ owner: Owner) {
        switch owner {
        case .org(let name):
            byte(0)
            self.name(name)
        case .user(let name):
            byte(1)
            self.name(name)
        }
    }

    /// Overwrites four bytes written before.
    mutating func patch(_ value: UInt32, at offset: Int) {
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
        }
    }
}

/// Bit `index` of a presence bitmap.
@inline(__always)
func bit<Bits: FixedWidthInteger>(_ index: Int, _ isSet: Bool) -> Bits {
    isSet ? 1 << Bits(index) : 0
}
