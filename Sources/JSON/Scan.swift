/// The byte rules of RFC 8259 over one buffer. Stateless: every function takes the index to start at, looks at no byte
/// at or past `end`, and gives back the index after what it took.
struct Scan {
    let bytes: UnsafeBufferPointer<UInt8>
    let end: Int

    static let quote: UInt8 = 0x22
    static let comma: UInt8 = 0x2C
    static let colon: UInt8 = 0x3A
    static let backslash: UInt8 = 0x5C
    static let openBrace: UInt8 = 0x7B
    static let closeBrace: UInt8 = 0x7D
    static let openBracket: UInt8 = 0x5B
    static let closeBracket: UInt8 = 0x5D

    init(_ bytes: UnsafeBufferPointer<UInt8>, end: Int) {
        precondition((0...bytes.count).contains(end), "end \(end) is outside of \(bytes.count) bytes")
        self.bytes = bytes
        self.end = end
    }

    /// The index of the first byte that is not white space (section 2), or `end`.
    @inline(__always)
    func space(_ start: Int) -> Int {
        var index = start
        while index < end {
            let byte = bytes[index]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { break }
            index += 1
        }
        return index
    }

    @inline(__always)
    func byte(_ index: Int) throws(JSONError) -> UInt8 {
        guard index < end else { throw JSONError(offset: end, reason: "unexpected end") }
        return bytes[index]
    }

    /// The value's kind, told by its first byte.
    @inline(__always)
    func kind(_ index: Int) throws(JSONError) -> JSONReader.Kind {
        switch try byte(index) {
        case Scan.openBrace: return .object
        case Scan.openBracket: return .array
        case Scan.quote: return .string
        case 0x2D, 0x30...0x39: return .number
        case 0x74, 0x66: return .bool
        case 0x6E: return .null
        default: throw fault(index)
        }
    }

    /// What to say about a byte that begins no value.
    @inline(never)
    func fault(_ index: Int) -> JSONError {
        guard index < end else { return JSONError(offset: end, reason: "unexpected end") }
        switch bytes[index] {
        case 0xEF where index + 2 < end && bytes[index + 1] == 0xBB && bytes[index + 2] == 0xBF:
            return JSONError(offset: index, reason: "byte order mark")
        case 0x4E, 0x49:
            return JSONError(offset: index, reason: "NaN and Infinity are not JSON")
        case Scan.closeBrace, Scan.closeBracket, Scan.comma:
            return JSONError(offset: index, reason: "a value is missing")
        default:
            return JSONError(offset: index, reason: "unexpected byte 0x" + hex(bytes[index]))
        }
    }

    func literal(_ start: Int, _ word: StaticString) throws(JSONError) -> Int {
        for index in 0..<word.utf8CodeUnitCount {
            guard start + index < end else { throw JSONError(offset: end, reason: "unexpected end") }
            guard bytes[start + index] == word.utf8Start[index] else {
                throw JSONError(offset: start, reason: "neither true, false nor null")
            }
        }
        return start + word.utf8CodeUnitCount
    }

    @inline(__always)
    private func digits(_ start: Int) -> Int {
        var index = start
        while index < end, bytes[index] &- 0x30 < 10 { index += 1 }
        return index
    }

    /// Section 6: `start` is at the minus or the first digit.
    func number(_ start: Int) throws(JSONError) -> Int {
        var index = start
        if try byte(index) == 0x2D { index += 1 }
        let first = try byte(index)
        guard first &- 0x30 < 10 else { throw JSONError(offset: index, reason: "a digit is missing") }
        if first == 0x30 {
            index += 1
            if index < end, bytes[index] &- 0x30 < 10 { throw JSONError(offset: index, reason: "leading zero") }
        } else {
            index = digits(index)
        }
        if index < end, bytes[index] == 0x2E {
            let fraction = digits(index + 1)
            guard fraction > index + 1 else {
                throw JSONError(offset: min(fraction, end), reason: "a digit is missing")
            }
            index = fraction
        }
        if index < end, bytes[index] | 0x20 == 0x65 {
            index += 1
            if index < end, bytes[index] == 0x2B || bytes[index] == 0x2D { index += 1 }
            let exponent = digits(index)
            guard exponent > index else { throw JSONError(offset: min(index, end), reason: "a digit is missing") }
            index = exponent
        }
        return index
    }

    /// Section 7: `start` is after the opening quote. Gives the index of the closing quote, and whether there are
    /// escapes to decode. Control bytes, bad escapes, lone surrogates and bytes that are not UTF-8 are refused.
    @inline(__always)
    func string(_ start: Int) throws(JSONError) -> (close: Int, escaped: Bool) {
        var index = start
        var escaped = false
        while true {
            index = plain(index)
            guard index < end else { throw JSONError(offset: end, reason: "unexpected end in a string") }
            let byte = bytes[index]
            if byte == Scan.quote { return (index, escaped) }
            if byte == Scan.backslash {
                escaped = true
                index = try escape(index)
            } else if byte < 0x20 {
                throw JSONError(offset: index, reason: "control byte 0x" + hex(byte) + " in a string")
            } else {
                index = try multibyte(index)
            }
        }
    }

    /// The first byte from `start` on that is not plain ASCII string content, eight at a time.
    @inline(__always)
    func plain(_ start: Int) -> Int {
        let raw = UnsafeRawBufferPointer(bytes)
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var index = start
        while index + 8 <= end {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            // A byte's high bit is set where it is below 0x20, a quote, a backslash or not ASCII. A borrow may set it
            // in a later byte too, never in an earlier one, so the lowest set bit is right.
            let quotes = word ^ (ones &* 0x22)
            let slashes = word ^ (ones &* 0x5C)
            let controls = (word &- (ones &* 0x20)) & ~word
            let found = (((quotes &- ones) & ~quotes) | ((slashes &- ones) & ~slashes) | controls | word) & highs
            if found != 0 { return index + found.trailingZeroBitCount >> 3 }
            index += 8
        }
        while index < end {
            let byte = bytes[index]
            if byte < 0x20 || byte >= 0x80 || byte == Scan.quote || byte == Scan.backslash { break }
            index += 1
        }
        return index
    }

    /// One escape, from its backslash on; a surrogate pair counts as one.
    private func escape(_ start: Int) throws(JSONError) -> Int {
        switch try byte(start + 1) {
        case Scan.quote, Scan.backslash, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: return start + 2
        case 0x75:
            let unit = try unit(start)
            if unit & 0xF800 != 0xD800 { return start + 6 }
            guard unit & 0xFC00 == 0xD800, start + 6 < end || start + 6 == end else {
                throw JSONError(offset: start, reason: "lone surrogate")
            }
            guard try byte(start + 6) == Scan.backslash, try byte(start + 7) == 0x75,
                try self.unit(start + 6) & 0xFC00 == 0xDC00
            else { throw JSONError(offset: start, reason: "lone surrogate") }
            return start + 12
        default:
            throw JSONError(offset: start, reason: "unknown escape")
        }
    }

    /// The 16 bits of `\uXXXX`, whose backslash is at `start`.
    func unit(_ start: Int) throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for index in start + 2..<start + 6 {
            let byte = try byte(index)
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x37
            case 0x61...0x66: digit = byte - 0x57
            default: throw JSONError(offset: index, reason: "four hexadecimal digits must follow \\u")
            }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }

    /// One UTF-8 sequence of two to four bytes (RFC 3629 section 4).
    private func multibyte(_ start: Int) throws(JSONError) -> Int {
        func follows(_ index: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            index < end && range.contains(bytes[index])
        }
        let count: Int
        switch bytes[start] {
        case 0xC2...0xDF where follows(start + 1): count = 2
        case 0xE0 where follows(start + 1, 0xA0...0xBF) && follows(start + 2): count = 3
        case 0xED where follows(start + 1, 0x80...0x9F) && follows(start + 2): count = 3
        case 0xE1...0xEC where follows(start + 1) && follows(start + 2): count = 3
        case 0xEE...0xEF where follows(start + 1) && follows(start + 2): count = 3
        case 0xF0 where follows(start + 1, 0x90...0xBF) && follows(start + 2) && follows(start + 3): count = 4
        case 0xF1...0xF3 where follows(start + 1) && follows(start + 2) && follows(start + 3): count = 4
        case 0xF4 where follows(start + 1, 0x80...0x8F) && follows(start + 2) && follows(start + 3): count = 4
        default: throw JSONError(offset: start, reason: "not UTF-8")
        }
        return start + count
    }

    /// Appends what the escaped string content in `range` means. It was scanned before.
    func unescape(_ range: Range<Int>, into output: inout [UInt8]) throws(JSONError) {
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = bytes[index]
            guard byte == Scan.backslash else {
                output.append(byte)
                index += 1
                continue
            }
            let kind = bytes[index + 1]
            index += 2
            switch kind {
            case 0x62: output.append(0x08)
            case 0x66: output.append(0x0C)
            case 0x6E: output.append(0x0A)
            case 0x72: output.append(0x0D)
            case 0x74: output.append(0x09)
            case 0x75:
                let high = try unit(index - 2)
                index += 4
                var scalar = UInt32(high)
                if high & 0xFC00 == 0xD800 {
                    let low = try unit(index)
                    scalar = 0x10000 + (UInt32(high & 0x3FF) << 10 | UInt32(low & 0x3FF))
                    index += 6
                }
                // A lone surrogate cannot come here: the scan before refused it.
                output.append(contentsOf: UTF8.encode(Unicode.Scalar(scalar)!)!)
            default: output.append(kind)
            }
        }
    }
}

func hex(_ byte: UInt8) -> String {
    let digits: [Character] = Array("0123456789abcdef")
    return String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
}
