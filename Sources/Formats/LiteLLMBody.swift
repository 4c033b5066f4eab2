public import Billing
internal import JSON

/// The body of LiteLLM's generic API callback (measured with LiteLLM 1.106.2), taken apart while it comes in: a JSON
/// array of items, one item, or one item a line, whatever the content type says. Each item is judged alone; nothing
/// good is lost to a bad neighbour, because LiteLLM never sends a batch twice when the answer is not 2xx.
///
/// ```
///  start --[--> beforeItem --> inItem --> afterItem --,--> beforeItem
///    |                                       '-------]--> afterArray
///    |--{--> object --> objectEnd --> lines              rest: nothing behind a fault is believed
///    '--n--> lines
/// ```
/// 1. Held is only the item that is not yet whole, up to `itemBytesMax`: a longer one is parked unread.
/// 2. Where an item ends is told by its quotes and brackets alone (`ValueEnd`); then it is read strictly.
/// 3. The items do not depend on how the body was cut.
public struct LiteLLMBody: Sendable {
    /// An object over several lines must fit; without one, lines are lines.
    static let prettyBytesMax = 4 << 20

    private enum State: Hashable, Sendable {
        case start
        case beforeItem(isFirst: Bool)
        case inItem, afterItem, afterArray
        case object
        case objectEnd(Int)
        case lines
        case rest
    }

    private let mapping: LiteLLMMapping
    private let itemBytesMax: Int
    private var state = State.start
    /// Bytes that are still needed, the first of them being byte `base` of the body.
    private var bytes: [UInt8] = []
    private var base = 0
    /// Where the next byte to look at is, and where the item under way began.
    private var next = 0
    private var itemStart = 0
    private var valueEnd = ValueEnd(isContainer: true)
    /// The item under way is longer than the limit; its bytes are not kept.
    private var isOversize = false
    private var hasNewline = false
    /// The last line was broken: a line behind it that begins no object is the rest of that one.
    private var isLineBroken = false
    private var count = 0
    /// What of the items so far was no call, and what has a call type that is not known.
    public private(set) var tally = LiteLLMTally()

    private static let prefixOfSource = "litellm/"

    /// Whether events of this source came by LiteLLM's callback.
    public static func isSource(_ source: Name) -> Bool {
        source.text.utf8.starts(with: prefixOfSource.utf8)
    }

    /// - `keyName`: the posting key; `source` of the events is `litellm/` and this.
    /// - `defaultOrg`: the owner of items that name none; without it they are parked.
    /// - `itemBytesMax`: a longer item is parked as `item_too_large`.
    /// - Throws `invalid_key_name`.
    public init(keyName: Name, defaultOrg: Name?, itemBytesMax: Int) throws(BodyError) {
        guard let source = Name(LiteLLMBody.prefixOfSource + keyName.text) else {
            throw BodyError(code: "invalid_key_name", detail: "The posting key's name is too long for a source.")
        }
        mapping = LiteLLMMapping(source: source, defaultOrg: defaultOrg)
        self.itemBytesMax = itemBytesMax
    }

    /// Memory that the unfinished item takes.
    public var bytesHeld: Int { bytes.capacity }

    /// Appends the items that are whole with these bytes: events, skipped nulls, or parked ones. Throws `invalid_json`
    /// when the body begins no item; then it has given none.
    public mutating func take(_ piece: [UInt8], into items: inout [DoorItem]) throws(BodyError) {
        if state == .object, !hasNewline { hasNewline = piece.contains(LiteLLMBody.newline) }
        bytes.append(contentsOf: piece)
        while try step(&items) {}
        drop()
    }

    /// The body is complete. Throws `empty_body`.
    public mutating func end(into items: inout [DoorItem]) throws(BodyError) {
        if state == .object { fallBackToLines() }
        if case .objectEnd(let end) = state { finishObject(end, &items) }
        while try step(&items) {}
        switch state {
        case .start:
            throw BodyError(code: "empty_body", detail: "The body is empty.")
        case .beforeItem, .afterItem:
            park(unexpectedEnd, "the array is not closed", &items)
        case .inItem:
            if isOversize {
                parkOversize(&items)
            } else if valueEnd.isContainer || valueEnd.isInString {
                park(fault(in: itemStart..<bytes.count) ?? unexpectedEnd, "the array is broken from here on", &items)
            } else {
                read(itemStart..<bytes.count, "broken item", &items)
                park(unexpectedEnd, "the array is not closed", &items)
            }
        case .lines:
            if isOversize { parkOversize(&items) } else { line(itemStart..<bytes.count, &items) }
        case .object, .objectEnd, .afterArray, .rest:
            break
        }
        state = .rest
    }

    /// Goes as far as the next change of state; false when that takes more bytes.
    private mutating func step(_ items: inout [DoorItem]) throws(BodyError) -> Bool {
        switch state {
        case .start:
            next = bytes[next...].firstIndex { $0 > 0x20 } ?? bytes.count
            guard next < bytes.count else { return false }
            try begin()
        case .beforeItem(let isFirst):
            guard let byte = nextByte() else { return false }
            if byte == closeBracket || byte == comma {
                if byte == comma || !isFirst {
                    park(fault(in: next..<next + 1) ?? unexpectedEnd, "broken item", &items)
                }
                state = byte == comma ? .beforeItem(isFirst: false) : .afterArray
                next += 1
            } else {
                beginValue(byte)
                state = .inItem
            }
        case .inItem:
            return inItem(&items)
        case .afterItem:
            guard let byte = nextByte() else { return false }
            if byte == comma || byte == closeBracket {
                state = byte == comma ? .beforeItem(isFirst: false) : .afterArray
                next += 1
            } else {
                giveUp(
                    JSONError(offset: next, reason: "neither a comma nor a ]"), "the array is broken from here on",
                    &items)
            }
        case .afterArray:
            guard nextByte() != nil else { return false }
            giveUp(JSONError(offset: next, reason: "something follows the array"), "broken body", &items)
        case .object:
            return object()
        case .objectEnd(let end):
            next = bytes[next...].firstIndex { $0 != 0x20 && $0 != 0x09 && $0 != 0x0D } ?? bytes.count
            guard next < bytes.count else { return false }
            if bytes[next] == LiteLLMBody.newline { finishObject(end, &items) } else { fallBackToLines() }
        case .lines:
            guard let end = bytes[next...].firstIndex(of: LiteLLMBody.newline) else {
                next = bytes.count
                noteOversize()
                return false
            }
            if isOversize || end - itemStart > itemBytesMax {
                parkOversize(&items)
            } else {
                line(itemStart..<end, &items)
            }
            isOversize = false
            next = end + 1
            itemStart = next
        case .rest:
            next = bytes.count
            return false
        }
        return true
    }

    private mutating func begin() throws(BodyError) {
        switch bytes[next] {
        case LiteLLMBody.openBracket:
            state = .beforeItem(isFirst: true)
            next += 1
        case LiteLLMBody.openBrace:
            beginValue(bytes[next])
            hasNewline = bytes[next...].contains(LiteLLMBody.newline)
            state = .object
        case 0x6E:
            itemStart = next
            state = .lines
        default:
            throw BodyError(
                code: "invalid_json", detail: "The body is neither an array, an object nor lines of objects.",
                offset: base + next)
        }
    }

    private mutating func beginValue(_ byte: UInt8) {
        itemStart = next
        isOversize = false
        valueEnd = ValueEnd(isContainer: byte == LiteLLMBody.openBrace || byte == LiteLLMBody.openBracket)
    }

    private mutating func inItem(_ items: inout [DoorItem]) -> Bool {
        switch valueEnd.find(in: bytes, from: next) {
        case .more:
            next = bytes.count
            noteOversize()
            return false
        case .end(let end):
            if isOversize || end - itemStart > itemBytesMax {
                parkOversize(&items)
            } else {
                read(itemStart..<end, "broken item", &items)
            }
            state = .afterItem
            next = end
        case .broken(let index):
            // Quotes and brackets do not add up: nobody can tell where this item ends.
            let error = isOversize ? nil : fault(in: itemStart..<bytes.count)
            giveUp(
                error ?? JSONError(offset: index, reason: "quotes and brackets do not match"),
                "the array is broken from here on", &items)
        }
        return true
    }

    // MARK: Lines

    /// The first object may stretch over lines; what cannot be such an object is read again as lines.
    private mutating func object() -> Bool {
        let most = hasNewline ? min(LiteLLMBody.prettyBytesMax, itemBytesMax) : itemBytesMax
        switch valueEnd.find(in: bytes, from: next) {
        case .more:
            next = bytes.count
            guard next - itemStart > most else { return false }
            fallBackToLines()
        case .end(let end):
            guard end - itemStart <= most else {
                fallBackToLines()
                return true
            }
            state = .objectEnd(end)
            next = end
        case .broken:
            fallBackToLines()
        }
        return true
    }

    private mutating func fallBackToLines() {
        next = itemStart
        state = .lines
    }

    /// The object ends its line, at `next`.
    private mutating func finishObject(_ end: Int, _ items: inout [DoorItem]) {
        guard let judged = try? strictly(itemStart..<end) else { return fallBackToLines() }
        add(judged, &items)
        state = .lines
        itemStart = next
    }

    private mutating func line(_ range: Range<Int>, _ items: inout [DoorItem]) {
        guard let first = bytes[range].firstIndex(where: { !LiteLLMBody.isSpace($0) }) else { return }
        do throws(JSONError) {
            add(try strictly(first..<range.upperBound), &items)
            isLineBroken = false
        } catch {
            if isLineBroken && bytes[first] != LiteLLMBody.openBrace { return }
            isLineBroken = true
            park(error, "broken line", &items)
        }
    }

    // MARK: Items

    private func strictly(_ range: Range<Int>) throws(JSONError) -> LiteLLMMapping.Judged {
        var reader = JSONReader(bytes, range: range)
        let judged = try mapping.judge(&reader)
        try reader.end()
        return judged
    }

    private func fault(in range: Range<Int>) -> JSONError? {
        do throws(JSONError) {
            _ = try strictly(range)
            return nil
        } catch {
            return error
        }
    }

    private mutating func read(_ range: Range<Int>, _ what: String, _ items: inout [DoorItem]) {
        do throws(JSONError) {
            add(try strictly(range), &items)
        } catch {
            park(error, what, &items)
        }
    }

    private mutating func add(_ judged: LiteLLMMapping.Judged, _ items: inout [DoorItem]) {
        if let note = judged.note { tally.add(note) }
        add(judged.outcome, &items)
    }

    private mutating func add(_ outcome: DoorItem.Outcome, _ items: inout [DoorItem]) {
        items.append(DoorItem(index: count, outcome: outcome))
        count += 1
    }

    private var unexpectedEnd: JSONError { JSONError(offset: bytes.count, reason: "unexpected end") }

    /// `error` counts from the first byte held; what is told counts from the body's.
    private mutating func park(_ error: JSONError, _ what: String, _ items: inout [DoorItem]) {
        let told = JSONError(offset: base + error.offset, reason: error.reason)
        add(.parked(Parked(code: "invalid_json", field: "", detail: "\(what): \(told.clause)")), &items)
    }

    private mutating func parkOversize(_ items: inout [DoorItem]) {
        add(
            .parked(
                Parked(
                    code: "item_too_large", field: "",
                    detail: "the item number \(count + 1) is longer than \(itemBytesMax) bytes")),
            &items)
        isLineBroken = false
    }

    private mutating func giveUp(_ error: JSONError, _ what: String, _ items: inout [DoorItem]) {
        park(error, what, &items)
        state = .rest
    }

    // MARK: Bytes

    /// The next byte that is not space, which `next` is moved to.
    private mutating func nextByte() -> UInt8? {
        next = bytes[next...].firstIndex { !LiteLLMBody.isSpace($0) } ?? bytes.count
        return next < bytes.count ? bytes[next] : nil
    }

    private mutating func noteOversize() {
        if isOversize || next - itemStart > itemBytesMax {
            isOversize = true
            itemStart = next
        }
    }

    /// Lets go of what is not needed any more.
    private mutating func drop() {
        var end = next
        switch state {
        case .inItem, .object, .objectEnd, .lines: end = itemStart
        case .start, .beforeItem, .afterItem, .afterArray, .rest: break
        }
        guard end > 0 else { return }
        bytes.removeFirst(end)
        base += end
        next -= end
        itemStart -= min(end, itemStart)
        if case .objectEnd(let index) = state { state = .objectEnd(index - end) }
    }

    static let openBracket: UInt8 = 0x5B
    static let openBrace: UInt8 = 0x7B
    static let newline: UInt8 = 0x0A
    private let comma: UInt8 = 0x2C
    private let closeBracket: UInt8 = 0x5D

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}
