import Billing
import Formats

/// A callback's body given whole, for tests of what becomes of its items.
enum LiteLLMFormat {
    static func parse(
        body: [UInt8], keyName: Name, defaultOrg: Name?, itemBytesMax: Int = 1 << 24
    ) throws(BodyError) -> [DoorItem] {
        try parse(pieces: [body], keyName: keyName, defaultOrg: defaultOrg, itemBytesMax: itemBytesMax)
    }

    static func parse(
        pieces: [[UInt8]], keyName: Name, defaultOrg: Name?, itemBytesMax: Int
    ) throws(BodyError) -> [DoorItem] {
        var body = try LiteLLMBody(keyName: keyName, defaultOrg: defaultOrg, itemBytesMax: itemBytesMax)
        var items: [DoorItem] = []
        for piece in pieces { try body.take(piece, into: &items) }
        try body.end(into: &items)
        return items
    }
}
