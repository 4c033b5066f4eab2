/// A member's name as bytes, to be matched against names known at compile time without making a String:
/// `switch key { case "id": ... }`. Compared byte by byte, after escapes are decoded.
public struct JSONKey: Sendable {
    /// The document, or the decoded name when it was written with escapes.
    let bytes: [UInt8]
    let start: Int
    let count: Int

    /// The name's bytes, UTF-8.
    public var utf8: ArraySlice<UInt8> { bytes[start..<start + count] }

    public var text: String { String(decoding: utf8, as: UTF8.self) }

    public static func == (key: JSONKey, name: StaticString) -> Bool {
        guard key.count == name.utf8CodeUnitCount else { return false }
        return key.bytes.withUnsafeBufferPointer { bytes in
            equal(
                bytes, key.start, UnsafeBufferPointer(start: name.utf8Start, count: key.count), 0, count: key.count)
        }
    }

    public static func ~= (name: StaticString, key: JSONKey) -> Bool { key == name }
}
