/// Where things are in a body that is JSON but for a name given twice. The strict reader stops there; so that one such
/// event does not take the others of its request with it, the events are then found by their brackets alone, and each
/// is read strictly by itself.
enum NativeSplit {
    /// The ranges of the elements of the array that is the body; nil when the brackets do not match.
    static func elements(of body: [UInt8]) -> [Range<Int>]? {
        var elements: [Range<Int>] = []
        var depth = 0
        var start = 0
        var isOver = false
        var index = 0
        while index < body.count {
            let byte = body[index]
            let isSpace = byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
            // Outside of the array there is nothing but space.
            if depth == 0 && !isSpace && (isOver || byte != UInt8(ascii: "[")) { return nil }
            switch byte {
            case UInt8(ascii: "\""):
                guard let close = closingQuote(body, after: index) else { return nil }
                index = close
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth == 1 { start = index + 1 }
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                if depth == 0 {
                    guard byte == UInt8(ascii: "]") else { return nil }
                    elements.append(start..<index)
                    isOver = true
                }
            case UInt8(ascii: ",") where depth == 1:
                elements.append(start..<index)
                start = index + 1
            default: break
            }
            index += 1
        }
        return isOver ? elements : nil
    }

    private static func closingQuote(_ body: [UInt8], after open: Int) -> Int? {
        var index = open + 1
        while index < body.count {
            if body[index] == UInt8(ascii: "\"") { return index }
            index += body[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return nil
    }
}
