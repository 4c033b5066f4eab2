/// Finds where a JSON value ends by its quotes and brackets alone, in bytes that come piece by piece: what is whole can
/// then be read strictly, and of what is broken the end is known all the same.
///
/// Outside of strings a backslash is taken as a sign that quotes went wrong, so that no text of a prompt, whose quotes
/// are always escaped, can come to be read as an item.
struct ValueEnd: Hashable, Sendable {
    enum Finding: Hashable, Sendable {
        /// Not in these bytes; go on behind them.
        case more
        /// Behind the closing bracket, or, of a value without one, at the comma or bracket that follows it.
        case end(Int)
        /// Quotes and brackets do not add up at this index.
        case broken(Int)
    }

    /// Deeper than any value that is read: JSON ends at 64.
    static let depthMax = 1 << 16

    /// The value begins with a brace or bracket.
    let isContainer: Bool
    private(set) var isInString = false
    private var isEscaped = false
    private var open: [UInt8] = []

    init(isContainer: Bool) {
        self.isContainer = isContainer
    }

    /// Goes on with `bytes` from `start`, which must be where the last call ended or the value begins.
    mutating func find(in bytes: [UInt8], from start: Int) -> Finding {
        bytes.withUnsafeBufferPointer { find(in: $0, from: start) }
    }

    private mutating func find(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Finding {
        var index = start
        while index < bytes.count {
            if isInString {
                skipString(bytes, &index)
                continue
            }
            let byte = bytes[index]
            switch byte {
            case 0x22:
                isInString = true
            case 0x5C:
                return .broken(index)
            case 0x7B, 0x5B:
                if open.count == ValueEnd.depthMax { return .broken(index) }
                open.append(byte)
            case 0x7D, 0x5D:
                if open.isEmpty, byte == 0x5D { return .end(index) }
                // An opening bracket is 2 before its closing one, brace or not.
                guard open.popLast() == byte - 2 else { return .broken(index) }
                if open.isEmpty, isContainer { return .end(index + 1) }
            case 0x2C:
                if open.isEmpty { return .end(index) }
            default:
                break
            }
            index += 1
        }
        return .more
    }

    /// To behind the closing quote, or to the end of the bytes.
    private mutating func skipString(_ bytes: UnsafeBufferPointer<UInt8>, _ index: inout Int) {
        var at = index
        if isEscaped {
            isEscaped = false
            at += 1
        }
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte == 0x22 {
                isInString = false
                break
            }
            if byte == 0x5C {
                if at == bytes.count {
                    isEscaped = true
                    break
                }
                at += 1
            }
        }
        index = at
    }
}
