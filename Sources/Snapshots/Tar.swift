/// The one spelling of a tar file that a snapshot or a pack has: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange
/// Format"), regular files only, mode 0600, owner 0, time 0, names in ascending byte order, two blocks of zeros at the
/// end. The same files give the same bytes; whoever reads it takes nothing else.
///
/// ```
/// offset  size  field        offset  size  field
///      0   100  name            148     8  checksum: 6 octal digits, NUL, space
///    100     8  mode            156     1  type: "0"
///    108     8  uid             257     6  "ustar" NUL
///    116     8  gid             263     2  "00"
///    124    12  size            329     8  device numbers, 0 (also at 337)
///    136    12  mtime           345   155  prefix: empty
/// ```
public enum Tar {
    public static let blockBytes = 512
    public static let nameBytesMax = 100
    /// Eleven octal digits: 8 GiB less one byte.
    public static let fileBytesMax = (1 << 33) - 1
    /// What stands after the last file.
    static let endBytes = 2 * blockBytes

    /// How many zeros follow a file of this size.
    static func padding(_ size: Int) -> Int { (blockBytes - size % blockBytes) % blockBytes }

    /// Nil when a name is too long for the format, or the file too large.
    public static func header(name: String, size: Int) -> [UInt8]? {
        guard (1...nameBytesMax).contains(name.utf8.count), (0...fileBytesMax).contains(size) else { return nil }
        var block = [UInt8](repeating: 0, count: blockBytes)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
        }
        func octal(_ number: Int, digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        put(name, at: 0)
        put(octal(0o600, digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar\0" + "00", at: 257)
        put(octal(0, digits: 7), at: 329)
        put(octal(0, digits: 7), at: 337)
        put(octal(block.reduce(0) { $0 + Int($1) }, digits: 6) + "\0 ", at: 148)
        return block
    }

    /// The name and size of a header that is, byte for byte, one that `header` makes; nil for anything else: a link, a
    /// device, another owner, a flag of another program.
    public static func parse(_ block: [UInt8]) -> (name: String, size: Int)? {
        guard block.count == blockBytes else { return nil }
        let name = String(decoding: block[..<nameBytesMax].prefix { $0 != 0 }, as: UTF8.self)
        var size = 0
        for byte in block[124..<135] {
            guard (0x30...0x37).contains(byte) else { return nil }
            size = size << 3 | Int(byte - 0x30)
        }
        guard header(name: name, size: size) == block else { return nil }
        return (name, size)
    }
}
