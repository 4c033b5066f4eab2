internal import Billing
internal import JSON
internal import Records

/// Reads the values of an event. The first thing that is wrong is noted and the reading goes on, so that every value is
/// consumed and the next item can be read: what the functions give after a fault does not count.
struct NativeParser {
    struct Options {
        var defaultOrg: Name?
        /// Takes all that a log can hold: the daemon's own types, subscriptions beside the owner, long texts.
        var isImport: Bool
    }

    /// What a record can hold.
    static let storedTextBytesMax = 65_535

    var reader: JSONReader
    let options: Options
    /// The first fault of the item.
    var fault: FieldError?
    /// Path of the object that is being read.
    var prefix = ""

    init(reader: JSONReader, options: Options) {
        self.reader = reader
        self.options = options
    }

    mutating func note(_ code: String, _ field: String, _ detail: String) {
        guard fault == nil else { return }
        let path = prefix.isEmpty ? field : field.isEmpty ? prefix : prefix + "." + field
        fault = FieldError(code: code, field: path, detail: detail)
    }

    mutating func missing(_ field: StaticString) {
        note("missing_field", "\(field)", "is required")
    }

    /// Passes over a member that nobody knows.
    mutating func unknown(_ key: JSONKey) throws(JSONError) {
        if fault == nil {
            // A name from outside: cut, so that an answer stays small.
            let name = String(decoding: key.utf8.prefix(64), as: UTF8.self)
            note("unknown_field", name, "is not a member of this event")
        }
        try reader.skip()
    }

    /// True when the next value is of `kind`. Null counts as absent; anything else is noted. Both are passed over.
    mutating func has(_ kind: JSONReader.Kind, _ field: StaticString) throws(JSONError) -> Bool {
        let found = try reader.peek()
        if found == kind { return true }
        if found != .null { note("wrong_type", "\(field)", "must be \(kind.phrase), not \(found.phrase)") }
        try reader.skip()
        return false
    }

    mutating func object(_ field: StaticString) throws(JSONError) -> Bool {
        guard try has(.object, field) else { return false }
        try reader.beginObject()
        return true
    }

    mutating func array(_ field: StaticString) throws(JSONError) -> Bool {
        guard try has(.array, field) else { return false }
        try reader.beginArray()
        return true
    }

    /// Goes one level down for the values of `field`, and gives the path to go back to.
    mutating func descend(_ field: String) -> String {
        let outer = prefix
        prefix = outer.isEmpty ? field : outer + "." + field
        return outer
    }

    mutating func string(_ field: StaticString) throws(JSONError) -> String? {
        try has(.string, field) ? try reader.string() : nil
    }

    mutating func bool(_ field: StaticString) throws(JSONError) -> Bool? {
        try has(.bool, field) ? try reader.bool() : nil
    }

    mutating func name(_ field: StaticString) throws(JSONError) -> Name? {
        guard let text = try string(field) else { return nil }
        guard let name = Name(text) else {
            note("invalid_id", "\(field)", "must be 1 to \(Name.bytesMax) bytes without control characters")
            return nil
        }
        return name
    }

    /// The id of an event.
    mutating func eventID(_ text: String, _ field: StaticString) -> EventID? {
        let id = EventID(text)
        if id == nil {
            note("invalid_id", "\(field)", "must be 1 to \(EventID.bytesMax) bytes without control characters")
        }
        return id
    }

    /// What names an event by its id: the id's key.
    mutating func reference(_ field: StaticString) throws(JSONError) -> Name? {
        guard let text = try string(field) else { return nil }
        return eventID(text, field)?.key
    }

    mutating func text(_ field: StaticString) throws(JSONError) -> String? {
        guard let text = try string(field) else { return nil }
        check(text, "\(field)")
        return text
    }

    /// Notes a text that is too long or holds control characters.
    mutating func check(_ text: String, _ field: @autoclosure () -> String) {
        let count = text.utf8.count
        let countMax = options.isImport ? NativeParser.storedTextBytesMax : NativeFormat.textBytesMax
        if count > countMax { note("out_of_range", field(), "has \(count) bytes, at most \(countMax) are taken") }
        var text = text
        if !options.isImport && text.withUTF8({ Name.hasControl(UnsafeRawBufferPointer($0)) }) {
            note("invalid_text", field(), "holds a control character")
        }
    }

    mutating func time(_ field: StaticString) throws(JSONError) -> Timestamp? {
        guard let text = try string(field) else { return nil }
        guard let time = Timestamp(rfc3339: text) else {
            note("invalid_time", "\(field)", "must be an RFC 3339 time such as 2026-11-22T07:52:05.320818Z")
            return nil
        }
        return time
    }

    /// A whole number written as plain digits: 1e3 and 1.0 are `wrong_type`, what is out of `range` is `out_of_range`.
    mutating func integer(_ field: StaticString, in range: ClosedRange<Int64>) throws(JSONError) -> Int64? {
        guard try has(.number, field) else { return nil }
        let digits = try reader.number()
        let value = reader.bytes.withUnsafeBufferPointer { bytes -> (value: Int64, isWhole: Bool, fits: Bool) in
            var value: Int64 = 0
            var fits = true
            let isNegative = bytes[digits.lowerBound] == UInt8(ascii: "-")
            for index in digits.dropFirst(isNegative ? 1 : 0) {
                let byte = bytes[index]
                guard (0x30...0x39).contains(byte) else { return (0, false, false) }
                // Nothing here is allowed to reach 10^17.
                if value > 10_000_000_000_000_000 { fits = false } else { value = value * 10 + Int64(byte - 0x30) }
            }
            return (isNegative ? -value : value, true, fits)
        }
        guard value.isWhole else {
            note("wrong_type", "\(field)", "must be a whole number in plain digits, without fraction or exponent")
            return nil
        }
        guard value.fits && range.contains(value.value) else {
            note("out_of_range", "\(field)", "must be from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value.value
    }

    /// A number, or a string that holds one; from the digits as written, rounded half to even to `decimalsMax`.
    mutating func decimal(_ field: String, decimalsMax: Int = 12) throws(JSONError) -> Decimal? {
        let kind = try reader.peek()
        do {
            switch kind {
            case .number:
                let range = try reader.number()
                return try Decimal(parsing: reader.bytes[range], decimalsMax: decimalsMax)
            case .string:
                return try Decimal(parsing: try reader.string().utf8, decimalsMax: decimalsMax)
            case .null:
                try reader.skip()
            case .object, .array, .bool:
                note("wrong_type", field, "must be a decimal number or a string that holds one, not \(kind.phrase)")
                try reader.skip()
            }
            return nil
        } catch let error as Decimal.ParseError {
            switch error {
            case .notANumber: note("invalid_amount", field, "is not a decimal number")
            case .tooLarge: note("out_of_range", field, "has more digits than an amount can have")
            }
            return nil
        } catch let error as JSONError {
            throw error
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// A price or factor: from 0 to below 10^6.
    mutating func factor(_ field: String) throws(JSONError) -> Decimal? {
        guard let value = try decimal(field) else { return nil }
        // At most 12 decimals: below 10^6 it fits.
        guard value.mantissa >= 0, let scaled = value.rescaled(to: 12), scaled < 1_000_000_000_000_000_000 else {
            note("out_of_range", field, "must not be negative, and below 1000000")
            return nil
        }
        return value
    }

    enum MoneyUnit {
        case credits, dollars
    }

    /// An amount of credits or dollars, rounded once, half to even, to a nano-dollar.
    mutating func money(_ field: StaticString, _ unit: MoneyUnit, least: Int64 = .min) throws(JSONError) -> Money? {
        guard let value = try decimal("\(field)", decimalsMax: unit == .credits ? 6 : 9) else { return nil }
        guard let money = unit == .credits ? Money(credits: value) : Money(dollars: value) else {
            note("out_of_range", "\(field)", "is more than a balance can hold")
            return nil
        }
        guard money.nanos >= least else {
            note("out_of_range", "\(field)", least > 0 ? "must be over 0" : "must not be negative")
            return nil
        }
        return money
    }

    mutating func choice<Value: Sendable>(
        _ field: StaticString, _ choices: Choices<Value>
    ) throws(JSONError) -> Value? {
        guard let text = try string(field) else { return nil }
        if let value = choices[text] { return value }
        note("invalid_value", "\(field)", "must be one of \(choices.list)")
        return nil
    }

    /// An org or a user, one of them.
    mutating func owner(org: Name?, user: Name?) -> Owner? {
        switch (org, user) {
        case (let org?, nil): return .org(org)
        case (nil, let user?): return .user(user)
        case (nil, nil): note("missing_owner", "org", "org or user is required")
        case (_?, _?): note("ambiguous_owner", "user", "org or user, not both")
        }
        return nil
    }
}

/// The spellings of an enumeration.
struct Choices<Value: Sendable>: Sendable {
    private let entries: [(name: String, value: Value)]

    init(_ values: [Value], _ name: (Value) -> String) {
        entries = values.map { (name($0), $0) }
    }

    /// The value spelled so, byte for byte.
    subscript(text: String) -> Value? {
        for entry in entries where entry.name == text && entry.name.utf8.count == text.utf8.count {
            return entry.value
        }
        return nil
    }

    var list: String { entries.map(\.name).joined(separator: ", ") }
}
