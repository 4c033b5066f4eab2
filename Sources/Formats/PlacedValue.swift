internal import Hashing
internal import JSON

/// A value of a document and where its bytes are, so that an item can be told by what its sender wrote.
struct PlacedValue {
    var value: JSONValue
    /// Without white space around.
    var range: Range<Int>
    /// Of an array; nil for any other value.
    var elements: [PlacedValue]?

    /// Reads the next value of the document.
    init(_ reader: inout JSONReader) throws(JSONError) {
        let kind = try reader.peek()
        let start = reader.offset
        if kind == .array {
            var elements: [PlacedValue] = []
            try reader.beginArray()
            while try reader.nextElement() { elements.append(try PlacedValue(element: &reader)) }
            self.elements = elements
            value = .array(elements.map(\.value))
        } else {
            value = try reader.value()
        }
        range = start..<reader.offset
    }

    /// What is inside of an element is told by the element.
    private init(element reader: inout JSONReader) throws(JSONError) {
        _ = try reader.peek()
        let start = reader.offset
        value = try reader.value()
        range = start..<reader.offset
    }

    /// Of its own bytes in `body`, which it was read from.
    func hash(in body: [UInt8]) -> Digest {
        body.withUnsafeBytes { SHA256.hash(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}
