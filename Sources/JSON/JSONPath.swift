/// Where in a document an error is, for people: the members and elements that lead there.
extension JSONError {
    /// Of a name at most this many bytes are repeated, of a path this many.
    static let pathNameBytesMax = 64
    static let pathBytesMax = 512

    /// The path of the member or element at `offset`, or just before it: `data.usage.input_tokens`, `[3].data`,
    /// `data.rules.0.per` (an element of the outermost array is in brackets, one deeper is a number between dots, as
    /// everywhere in our problems). Empty for the document itself. Names are as written, their escapes too.
    ///
    /// - Parameters:
    ///   - bytes: what was read. Up to `offset` it has the form of JSON: the reader came as far. Linear in `offset`.
    ///   - start: where the document begins.
    public func path(in bytes: [UInt8], from start: Int = 0) -> String {
        JSONError.path(to: offset, in: bytes, from: start)
    }

    private enum Level {
        /// The bytes of the member's name that was read last; empty before the first.
        case object(name: Range<Int>)
        case array(index: Int)
    }

    private static func path(to offset: Int, in bytes: [UInt8], from start: Int) -> String {
        var levels: [Level] = []
        // In an object, a string is the next name until a colon says that it was.
        var isNameNext = false
        var index = start
        let end = min(offset, bytes.count - 1)
        while index <= end {
            switch bytes[index] {
            case Scan.openBrace where index < offset:
                levels.append(.object(name: index..<index))
                isNameNext = true
            case Scan.openBracket where index < offset:
                levels.append(.array(index: 0))
                isNameNext = false
            case Scan.closeBrace, Scan.closeBracket:
                if index < offset { _ = levels.popLast() }
                isNameNext = false
            case Scan.comma where index < offset:
                switch levels.last {
                case .array(let number): levels[levels.count - 1] = .array(index: number + 1)
                case .object:
                    levels[levels.count - 1] = .object(name: index..<index)
                    isNameNext = true
                case nil: break
                }
            case Scan.quote:
                let close = closingQuote(in: bytes, after: index)
                if isNameNext, case .object? = levels.last {
                    levels[levels.count - 1] = .object(name: index + 1..<close)
                    isNameNext = false
                }
                index = close
            default: break
            }
            index += 1
        }
        return text(of: levels, in: bytes)
    }

    /// The index of the quote that ends the string, or the end of `bytes`.
    private static func closingQuote(in bytes: [UInt8], after open: Int) -> Int {
        var index = open + 1
        while index < bytes.count, bytes[index] != Scan.quote { index += bytes[index] == Scan.backslash ? 2 : 1 }
        return min(index, bytes.count)
    }

    private static func text(of levels: [Level], in bytes: [UInt8]) -> String {
        var path: [UInt8] = []
        for (depth, level) in levels.enumerated() {
            switch level {
            case .array(let number) where depth == 0: path += Array("[\(number)]".utf8)
            case .array(let number): path += Array(".\(number)".utf8)
            case .object(let name) where !name.isEmpty:
                if !path.isEmpty { path.append(0x2E) }
                // A name that could not be read may hold anything. What is no UTF-8 would be three bytes for each.
                let isText = String(validating: bytes[name], as: UTF8.self) != nil
                path += bytes[name].prefix(pathNameBytesMax).map { byte in
                    byte < 0x20 || byte == 0x7F || byte >= 0x80 && !isText ? 0x3F : byte
                }
                if name.count > pathNameBytesMax { path += Array("...".utf8) }
            case .object: break
            }
            if path.count > pathBytesMax {
                path.removeLast(path.count - pathBytesMax)
                path += Array("...".utf8)
                break
            }
        }
        return String(decoding: path, as: UTF8.self)
    }
}
