/// Integers of more than 64 bits as SQLite keeps them for us: a value that fits is an INTEGER, any other a BLOB of 16
/// bytes, the most significant first, in two's complement. Each value has one form, so that equal cells are equal
/// values. `wide_sum` adds both forms.
public enum WideInteger {
    public static let byteCount = 16

    /// Of a value that fits in no 64 bits.
    public static func bytes(_ value: Int128) -> [UInt8] {
        precondition(Int64(exactly: value) == nil, "\(value) is an INTEGER")
        return withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
    }

    /// Nil for bytes that `bytes` never makes.
    public static func value(_ bytes: some Collection<UInt8>) -> Int128? {
        guard bytes.count == byteCount else { return nil }
        var bits: UInt128 = 0
        for byte in bytes { bits = bits << 8 | UInt128(byte) }
        let value = Int128(truncatingIfNeeded: bits)
        return Int64(exactly: value) == nil ? value : nil
    }
}
