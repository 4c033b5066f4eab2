internal import Billing
internal import JSON

/// Takes a body apart into items. Arrays and lines are walked here rather than by one reader, so that an item whose
/// JSON is broken costs only itself.
struct LiteLLMSplit {
    let body: [UInt8]
    let mapping: LiteLLMMapping
    let itemsMax: Int
    private(set) var items: [DoorItem] = []

    init(body: [UInt8], mapping: LiteLLMMapping, itemsMax: Int) {
        self.body = body
        self.mapping = mapping
        self.itemsMax = itemsMax
    }

    /// An array, `start` being its bracket. Where an item is broken but its end can be told (a NaN, a lone surrogate, a
    /// duplicate name), it alone is parked; else it and all behind it are one parked item.
    mutating func array(from start: Int) throws(BodyError) {
        var index = space(start + 1)
        if index < body.count, body[index] == closeBracket { return try close(index) }
        while true {
            var reader = JSONReader(body, range: index..<body.count)
            let outcome: DoorItem.Outcome?
            do throws(JSONError) {
                outcome = try mapping.outcome(&reader)
                index = space(reader.offset)
            } catch {
                outcome = nil
                guard let end = endOfBroken(index) else {
                    return try park(error, "the array is broken from here on")
                }
                try park(error, "broken item")
                index = end
            }
            if let outcome { try add(outcome) }
            guard index < body.count else {
                return try park(JSONError(offset: index, reason: "unexpected end"), "the array is not closed")
            }
            if body[index] == closeBracket { return try close(index) }
            guard body[index] == comma else {
                return try park(
                    JSONError(offset: index, reason: "neither a comma nor a ]"), "the array is broken from here on")
            }
            index = space(index + 1)
        }
    }

    /// After the array's closing bracket nothing may come; what does is parked, the items before it are good.
    private mutating func close(_ bracket: Int) throws(BodyError) {
        let index = space(bracket + 1)
        guard index < body.count else { return }
        try park(JSONError(offset: index, reason: "something follows the array"), "broken body")
    }

    /// One object over any number of lines, or one a line.
    mutating func objects(from start: Int) throws(BodyError) {
        var reader = JSONReader(body, range: start..<body.count)
        var index = start
        if let outcome = try? mapping.outcome(&reader), isEndOfLine(reader.offset) {
            try add(outcome)
            index = reader.offset
        }
        try lines(from: index)
    }

    private mutating func lines(from start: Int) throws(BodyError) {
        var index = start
        var isBroken = false
        while index < body.count {
            let end = body[index...].firstIndex(of: LiteLLMFormat.newline) ?? body.count
            defer { index = end + 1 }
            let first = min(space(index), end)
            guard first < end else { continue }
            var reader = JSONReader(body, range: first..<end)
            let outcome: DoorItem.Outcome
            do throws(JSONError) {
                outcome = try mapping.outcome(&reader)
                try reader.end()
            } catch {
                // A line that begins no object, behind a broken one, is the rest of that one.
                if isBroken && body[first] != LiteLLMFormat.openBrace { continue }
                isBroken = true
                try park(error, "broken line")
                continue
            }
            isBroken = false
            try add(outcome)
        }
    }

    /// Where the broken item that starts at `start` ends: the comma or bracket that follows it. Nil when quotes and
    /// brackets do not add up. Outside of strings a backslash is taken as a sign that quotes went wrong, so that no
    /// text of a prompt, whose quotes are always escaped, can come to be read as an item.
    private func endOfBroken(_ start: Int) -> Int? {
        var index = start
        var open: [UInt8] = []
        while index < body.count {
            switch body[index] {
            case 0x22:
                index += 1
                while index < body.count, body[index] != 0x22 { index += body[index] == 0x5C ? 2 : 1 }
            case 0x5C: return nil
            case 0x7B, 0x5B: open.append(body[index])
            case 0x7D: guard open.popLast() == 0x7B else { return nil }
            case closeBracket:
                guard let last = open.popLast() else { return index }
                guard last == 0x5B else { return nil }
            case comma where open.isEmpty: return index
            default: break
            }
            index += 1
        }
        return nil
    }

    private let comma: UInt8 = 0x2C
    private let closeBracket: UInt8 = 0x5D

    private func space(_ start: Int) -> Int {
        var index = start
        while index < body.count, body[index] <= 0x20, [0x20, 0x09, 0x0A, 0x0D].contains(body[index]) { index += 1 }
        return index
    }

    private func isEndOfLine(_ start: Int) -> Bool {
        let index = body[start...].firstIndex { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D } ?? body.count
        return index == body.count || body[index] == LiteLLMFormat.newline
    }

    private mutating func add(_ outcome: DoorItem.Outcome) throws(BodyError) {
        guard items.count < itemsMax else {
            throw BodyError(code: "too_many_items", detail: "The body has more than \(itemsMax) items.")
        }
        items.append(DoorItem(index: items.count, outcome: outcome))
    }

    private mutating func park(_ error: JSONError, _ what: String) throws(BodyError) {
        try add(.parked(Parked(code: "invalid_json", field: "", detail: "\(what): \(error.clause)")))
    }
}
