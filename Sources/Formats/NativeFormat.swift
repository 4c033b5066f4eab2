public import Billing
public import JSON

/// Why one event of a body is refused.
public struct FieldError: Error, Hashable, Sendable {
    /// For the client as it is: `unknown_field`, `wrong_type`, `missing_field`, ...
    public var code: String
    /// Dotted path of the member at fault: "data.usage.input_tokens", "data.rules.0.per"; "" for the whole item.
    public var field: String
    /// A clause for a person: "must be a string, not a number".
    public var detail: String

    public init(code: String, field: String, detail: String) {
        self.code = code
        self.field = field
        self.detail = detail
    }
}

/// The verdict on the shape of one item.
public struct ParsedItem: Hashable, Sendable {
    /// The item's `id` as written, when it is a string, even if the item is refused.
    public var id: String?
    public var result: Result<Event, FieldError>

    public init(id: String?, result: Result<Event, FieldError>) {
        self.id = id
        self.result = result
    }
}

/// The native format: events as CloudEvents 1.0 JSON (contract 3), to `Event` and back.
public enum NativeFormat {
    /// How a body holds its items.
    public enum Form: Hashable, Sendable {
        case single, array, ndjson
    }

    public struct Parsed: Hashable, Sendable {
        public var form: Form
        public var items: [ParsedItem]
    }

    /// Longest `reason`, `reference`, `detail` or attribute value that a client may send, in bytes.
    public static let textBytesMax = 1024

    /// Reads one object, an array, or NDJSON (objects on lines of their own), told by the body itself. Each item gets a
    /// verdict of its own. A line of NDJSON that is not JSON spoils that line only; in the other forms it spoils the
    /// body, since nothing after the fault can be trusted.
    ///
    /// - Parameters:
    ///   - eventsMax: more items than this are a `BodyError`.
    ///   - defaultOrg: the org of calls that name no owner.
    ///   - allowDaemonTypes: takes what `write` gives for every event of a log, for `import`; else the daemon's own
    ///     types are refused.
    ///   - isNDJSON: the sender said that it is NDJSON: then one line is a batch of one.
    public static func parse(
        body: [UInt8], eventsMax: Int, defaultOrg: Name? = nil, allowDaemonTypes: Bool = false, isNDJSON: Bool = false
    ) throws(BodyError) -> Parsed {
        let options = NativeParser.Options(defaultOrg: defaultOrg, isImport: allowDaemonTypes)
        guard let first = body.firstIndex(where: { !isSpace($0) }) else {
            throw BodyError(code: "empty_body", detail: "The body holds no event.")
        }
        do throws(JSONError) {
            if body[first] == UInt8(ascii: "[") && !isNDJSON {
                return try array(body, eventsMax: eventsMax, options: options)
            }
            let lines = lines(of: body)
            if isNDJSON || isLines(body, lines) {
                guard lines.count <= eventsMax else { return try tooMany(eventsMax) }
                return Parsed(form: .ndjson, items: lines.map { line(body, $0, options: options) })
            }
            var parser = NativeParser(reader: JSONReader(body), options: options)
            let item = try parser.item()
            try parser.reader.end()
            return Parsed(form: .single, items: [item])
        } catch {
            if error.offset == tooManyOffset { throw tooManyError(eventsMax) }
            if error.isDuplicateName, let parsed = apart(body, from: first, eventsMax: eventsMax, options: options) {
                return parsed
            }
            throw BodyError(error, in: body)
        }
    }

    /// Reads the next value of `reader` as an event. Throws only what makes the rest of the document unreadable.
    public static func parseEvent(
        _ reader: inout JSONReader, defaultOrg: Name? = nil, allowDaemonTypes: Bool = false
    ) throws(JSONError) -> ParsedItem {
        var parser = NativeParser(
            reader: reader, options: .init(defaultOrg: defaultOrg, isImport: allowDaemonTypes))
        let item = try parser.item()
        reader = parser.reader
        return item
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// The ranges of the lines that hold anything.
    private static func lines(of body: [UInt8]) -> [Range<Int>] {
        var lines: [Range<Int>] = []
        var start = 0
        var isBlank = true
        body.withUnsafeBufferPointer { bytes in
            // Nearly always one line: this loop vectorizes.
            var feeds = 0
            for byte in bytes { feeds += byte == 0x0A ? 1 : 0 }
            if feeds == 0 {
                isBlank = bytes.allSatisfy(isSpace)
                return
            }
            for index in 0..<bytes.count {
                let byte = bytes[index]
                if byte == 0x0A {
                    if !isBlank { lines.append(start..<index) }
                    start = index + 1
                    isBlank = true
                } else if isBlank && !isSpace(byte) {
                    isBlank = false
                }
            }
        }
        if !isBlank { lines.append(start..<body.count) }
        return lines
    }

    /// Whether these are lines of NDJSON rather than one value over several lines: the first line is an object by
    /// itself, or, in case it is the broken one, the last line starts as an object does.
    private static func isLines(_ body: [UInt8], _ lines: [Range<Int>]) -> Bool {
        guard lines.count > 1 else { return false }
        if body[lines[lines.count - 1].lowerBound] == UInt8(ascii: "{") { return true }
        var reader = JSONReader(body, range: lines[0])
        do throws(JSONError) {
            guard try reader.peek() == .object else { return false }
            try reader.skip()
            try reader.end()
            return true
        } catch {
            return false
        }
    }

    private static func line(
        _ body: [UInt8], _ range: Range<Int>, options: NativeParser.Options
    ) -> ParsedItem {
        var parser = NativeParser(reader: JSONReader(body, range: range), options: options)
        do throws(JSONError) {
            let item = try parser.item()
            try parser.reader.end()
            return item
        } catch {
            let field = error.path(in: body, from: range.lowerBound)
            if error.isDuplicateName {
                let fault = FieldError(code: "duplicate_field", field: field, detail: "is given twice")
                return ParsedItem(id: nil, result: .failure(fault))
            }
            let detail = "the line is not JSON: \(error)"
            return ParsedItem(id: nil, result: .failure(.init(code: "invalid_json", field: field, detail: detail)))
        }
    }

    /// Each event of a body by itself, for when one gives a name twice. Nil when that is not all that is wrong.
    private static func apart(
        _ body: [UInt8], from first: Int, eventsMax: Int, options: NativeParser.Options
    ) -> Parsed? {
        let isArray = body[first] == UInt8(ascii: "[")
        guard let ranges = isArray ? NativeSplit.elements(of: body) : [first..<body.count], ranges.count <= eventsMax
        else { return nil }
        let items = ranges.map { line(body, $0, options: options) }
        let isReadable = items.allSatisfy { item in
            if case .failure(let error) = item.result { error.code != "invalid_json" } else { true }
        }
        return isReadable ? Parsed(form: isArray ? .array : .single, items: items) : nil
    }

    private static func array(
        _ body: [UInt8], eventsMax: Int, options: NativeParser.Options
    ) throws(JSONError) -> Parsed {
        var parser = NativeParser(reader: JSONReader(body), options: options)
        var items: [ParsedItem] = []
        try parser.reader.beginArray()
        while try parser.reader.nextElement() {
            guard items.count < eventsMax else { return try tooMany(eventsMax) }
            items.append(try parser.item())
        }
        try parser.reader.end()
        return Parsed(form: .array, items: items)
    }

    /// No byte is there: says that it is the count that is at fault.
    private static let tooManyOffset = -1

    private static func tooMany(_ eventsMax: Int) throws(JSONError) -> Parsed {
        throw JSONError(offset: tooManyOffset, reason: "more than \(eventsMax) events")
    }

    private static func tooManyError(_ eventsMax: Int) -> BodyError {
        BodyError(code: "too_many_items", detail: "The body holds more than \(eventsMax) events.")
    }
}
