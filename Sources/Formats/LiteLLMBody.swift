public import Billing
internal import Hashing
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
    /// Of the bytes of the item under way that are not kept.
    private var hasher = SHA256()
    /// What stands for the rest of the body, behind which nothing is believed; parked when the rest has come.
    private var broken: Parked?
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
            park(unexpectedEnd, "the array is not closed", bytes.count..<bytes.count, &items)
        case .inItem:
            let rest = itemStart..<bytes.count
            if isOversize {
                parkOversize(rest, &items)
            } else if valueEnd.isContainer || valueEnd.isInString {
                park(fault(in: rest) ?? unexpectedEnd, "the array is broken from here on", rest, &items)
            } else {
                read(rest, "broken item", &items)
                park(unexpectedEnd, "the array is not closed", bytes.count..<bytes.count, &items)
            }
        case .lines:
            let rest = itemStart..<bytes.count
            if isOversize { parkOversize(rest, &items) } else { line(rest, &items) }
        case .rest:
            if let broken { add(.parked(broken), hasher.finalize(), &items) }
            broken = nil
        case .object, .objectEnd, .afterArray:
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
                    park(fault(in: next..<next + 1) ?? unexpectedEnd, "broken item", next..<next, &items)
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
                itemStart = next
                giveUp(JSONError(offset: next, reason: "neither a comma nor a ]"), "the array is broken from here on")
            }
        case .afterArray:
            guard nextByte() != nil else { return false }
            itemStart = next
            giveUp(JSONError(offset: next, reason: "something follows the array"), "broken body")
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
                parkOversize(itemStart..<end, &items)
            } else {
                line(itemStart..<end, &items)
            }
            isOversize = false
            next = end + 1
            itemStart = next
        case .rest:
            next = bytes.count
            hash(itemStart..<next)
            itemStart = next
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
                parkOversize(itemStart..<end, &items)
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
                "the array is broken from here on")
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
        add(judged, hashed(itemStart..<end), &items)
        state = .lines
        itemStart = next
    }

    private mutating func line(_ range: Range<Int>, _ items: inout [DoorItem]) {
        guard let first = bytes[range].firstIndex(where: { !LiteLLMBody.isSpace($0) }),
            let last = bytes[range].lastIndex(where: { !LiteLLMBody.isSpace($0) })
        else { return }
        do throws(JSONError) {
            let outcome = try strictly(first..<range.upperBound)
            add(outcome, hashed(first..<last + 1), &items)
            isLineBroken = false
        } catch {
            if isLineBroken && bytes[first] != LiteLLMBody.openBrace { return }
            isLineBroken = true
            park(error, "broken line", first..<last + 1, &items)
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
        // A value without brackets ends at a comma: there may be white space before that.
        let last = bytes[range].lastIndex { !LiteLLMBody.isSpace($0) } ?? range.lowerBound
        let item = range.lowerBound..<last + 1
        do throws(JSONError) {
            let outcome = try strictly(range)
            add(outcome, hashed(item), &items)
        } catch {
            park(error, what, item, &items)
        }
    }

    private mutating func add(_ judged: LiteLLMMapping.Judged, _ hash: Digest, _ items: inout [DoorItem]) {
        if let note = judged.note { tally.add(note) }
        add(judged.outcome, hash, &items)
    }

    private mutating func add(_ outcome: DoorItem.Outcome, _ hash: Digest, _ items: inout [DoorItem]) {
        items.append(DoorItem(index: count, outcome: outcome, hash: hash))
        count += 1
    }

    private var unexpectedEnd: JSONError { JSONError(offset: bytes.count, reason: "unexpected end") }

    private func clause(_ error: JSONError, _ what: String) -> Parked {
        // `error` counts from the first byte held; what is told counts from the body's.
        let told = JSONError(offset: base + error.offset, reason: error.reason)
        return Parked(code: "invalid_json", field: "", detail: "\(what): \(told.clause)")
    }

    private mutating func park(
        _ error: JSONError, _ what: String, _ range: Range<Int>, _ items: inout [DoorItem]
    ) {
        add(.parked(clause(error, what)), hashed(range), &items)
    }

    /// - Parameter rest: of the item, all that is kept of it.
    private mutating func parkOversize(_ rest: Range<Int>, _ items: inout [DoorItem]) {
        hash(rest)
        add(
            .parked(
                Parked(
                    code: "item_too_large", field: "",
                    detail: "the item number \(count + 1) is longer than \(itemBytesMax) bytes")),
            hasher.finalize(), &items)
        isLineBroken = false
    }

    /// From `itemStart` on, the rest of the body is one item: which one is told by all of its bytes.
    private mutating func giveUp(_ error: JSONError, _ what: String) {
        broken = clause(error, what)
        state = .rest
    }

    private func hashed(_ range: Range<Int>) -> Digest {
        bytes.withUnsafeBytes { SHA256.hash(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Bytes that are let go of before their item is over.
    private mutating func hash(_ range: Range<Int>) {
        bytes.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[range])) }
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
            hash(itemStart..<next)
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
