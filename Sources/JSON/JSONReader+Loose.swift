/// Passing over what is not read, by its quotes and brackets alone: for documents of senders who write more than RFC
/// 8259 allows (Python's `NaN`, lone surrogates, deep nesting) in places that nobody here looks at. What is read stays
/// as strict as ever.
extension JSONReader {
    /// Whether the next value is an object. Unlike `peek` it takes what is no JSON for an answer: no.
    public mutating func beginsObject() -> Bool {
        (try? withScan { (scan, reader) throws(JSONError) in
            reader.offset = scan.space(reader.offset)
            return try scan.byte(reader.offset) == Scan.openBrace
        }) ?? false
    }

    /// Objects and arrays within what `skipLoosely` passes over.
    public static let depthLooseMax = 4096

    /// Passes over the next value and gives its range. Strings end at their quote, objects and arrays at their bracket;
    /// what is inside of them is not looked at, and may be nested `depthLooseMax` deep. A byte outside of strings that
    /// no value can have (a backslash, say) is an error: a sign that quotes went wrong.
    public mutating func skipLoosely() throws(JSONError) -> Range<Int> {
        try withScan { (scan, reader) throws(JSONError) in
            let start = scan.space(reader.offset)
            reader.offset = try scan.loose(start)
            reader.owesValue = false
            return start..<reader.offset
        }
    }
}

extension Scan {
    /// The index after the value at `start`.
    func loose(_ start: Int) throws(JSONError) -> Int {
        var index = start
        var open: [UInt8] = []
        while true {
            switch try byte(index) {
            case Scan.quote: index = try looseString(index + 1)
            case Scan.openBrace:
                open.append(Scan.closeBrace)
                index += 1
            case Scan.openBracket:
                open.append(Scan.closeBracket)
                index += 1
            case Scan.closeBrace, Scan.closeBracket:
                guard open.popLast() == bytes[index] else { throw fault(index) }
                index += 1
            case Scan.comma, Scan.colon, 0x20, 0x09, 0x0A, 0x0D:
                guard !open.isEmpty else { throw fault(index) }
                index += 1
            default:
                let end = word(index)
                guard end > index else { throw fault(index) }
                index = end
            }
            guard open.count <= JSONReader.depthLooseMax else {
                throw JSONError(offset: index, reason: "more than \(JSONReader.depthLooseMax) levels")
            }
            if open.isEmpty { return index }
        }
    }

    /// The index after the closing quote; `start` is after the opening one.
    private func looseString(_ start: Int) throws(JSONError) -> Int {
        var index = start
        while true {
            index = plain(index)
            guard index < end else { throw JSONError(offset: end, reason: "unexpected end in a string") }
            switch bytes[index] {
            case Scan.quote: return index + 1
            case Scan.backslash: index += 2
            default: index += 1
            }
        }
    }

    /// The end of a run of what numbers and literals are written with: "-1.5e+3", "true", "-Infinity".
    private func word(_ start: Int) -> Int {
        var index = start
        while index < end {
            switch bytes[index] {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x2E: index += 1
            default: return index
            }
        }
        return index
    }
}
