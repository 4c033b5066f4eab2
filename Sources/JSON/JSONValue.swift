/// A JSON value as a tree: for small documents and for tests. Two are equal when they have the same members in the same
/// order, strings and names byte by byte, numbers as written.
public indirect enum JSONValue: Sendable {
    case object([Member])
    case array([JSONValue])
    case string(String)
    /// As written, RFC 8259 section 6.
    case number(String)
    case bool(Bool)
    case null

    public struct Member: Hashable, Sendable {
        public var name: String
        public var value: JSONValue

        public init(name: String, value: JSONValue) {
            self.name = name
            self.value = value
        }

        public static func == (left: Member, right: Member) -> Bool {
            left.name.utf8.elementsEqual(right.name.utf8) && left.value == right.value
        }

        public func hash(into hasher: inout Hasher) {
            name.hash(into: &hasher)
            value.hash(into: &hasher)
        }
    }

    /// One document, nothing after it but white space.
    public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        var reader = JSONReader(bytes)
        let value = try reader.value()
        try reader.end()
        return value
    }

    /// The member with exactly these bytes as its name; nil when there is none, or this is no object.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The element at `index`; nil when there is none, or this is no array.
    public subscript(index: Int) -> JSONValue? {
        guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    /// The string, when it is one.
    public var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The number as written, when it is one.
    public var number: String? {
        if case .number(let text) = self { text } else { nil }
    }
}

extension JSONValue: Hashable {
    public static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.object(let a), .object(let b)): a == b
        case (.array(let a), .array(let b)): a == b
        case (.string(let a), .string(let b)), (.number(let a), .number(let b)): a.utf8.elementsEqual(b.utf8)
        case (.bool(let a), .bool(let b)): a == b
        case (.null, .null): true
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .object(let members): hasher.combine(members)
        case .array(let elements): hasher.combine(elements)
        case .string(let text), .number(let text): hasher.combine(text)
        case .bool(let flag): hasher.combine(flag)
        case .null: hasher.combine(0)
        }
    }
}
