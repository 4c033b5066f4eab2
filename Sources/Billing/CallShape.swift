/// What a call says of who, what and where, apart from how much: the same for many calls, and most of their bytes.
/// Calls share it, so that copying a call counts one reference and not one for each of its names.
public final class CallShape: Sendable {
    /// What a shape says. The members are those of `Call`.
    public struct Dimensions: Hashable, Sendable {
        public var org: Name?
        public var user: Name?
        public var subscription: Name?
        public var service: Name?
        public var team: Name?
        public var apiKey: Name?
        public var endUser: Name?
        public var provider: Name
        public var model: Name
        public var requestedModel: Name?
        public var operation: Call.Operation
        public var keySource: Call.KeySource
        public var status: Call.Status
        public var attributes: [Attribute]
    }

    /// Shapes numbered together: a number means something within its family only.
    public final class Family: Sendable {
        public init() {}
    }

    // First, and beside org and user, the first of the dimensions: what every fold asks for is on one cache line.
    /// Nil for a shape that was made for one call.
    public let family: Family?
    /// From 0 without gaps within the family; -1 without one.
    public let number: Int
    public let dimensions: Dimensions

    init(_ dimensions: Dimensions) {
        self.dimensions = dimensions
        family = nil
        number = -1
    }

    /// A shape that many calls will have.
    public init(_ dimensions: Dimensions, number: Int, of family: Family) {
        precondition(number >= 0, "shape number \(number)")
        self.dimensions = dimensions
        self.family = family
        self.number = number
    }
}

/// What somebody worked out once for a shape, found again by its number: an index instead of hashing several names.
/// Only shapes with a family are remembered, and those of one family: another one starts it afresh, so it grows no
/// larger than the family.
@frozen
public struct ShapeMemory<Value: Sendable>: Sendable {
    @usableFromInline var family: CallShape.Family?
    @usableFromInline var values: [Value?] = []

    @inlinable
    public init() {}

    // Inlined into other modules: a generic that is not specialized there costs more than what it saves.
    @inlinable
    public subscript(shape: CallShape) -> Value? {
        @inline(__always) get {
            guard let family = shape.family, family === self.family, shape.number < values.count else { return nil }
            return values[shape.number]
        }
        set {
            guard let family = shape.family else { return }
            if family !== self.family {
                self.family = family
                values.removeAll(keepingCapacity: true)
            }
            while values.count <= shape.number { values.append(nil) }
            values[shape.number] = newValue
        }
    }
}
