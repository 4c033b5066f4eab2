public import Billing
internal import JSON

/// The body of LiteLLM's generic API callback (measured with LiteLLM 1.106.2): a JSON array of items, one item, or one
/// item a line, whatever the content type says. Each item is judged alone; nothing good is lost to a bad neighbour,
/// because LiteLLM never sends a batch twice when the answer is not 2xx.
public enum LiteLLMFormat {
    static let openBracket: UInt8 = 0x5B
    static let openBrace: UInt8 = 0x7B
    static let newline: UInt8 = 0x0A

    /// Every item of `body`, in order: an event, a skipped null, or parked.
    ///
    /// - `keyName`: the posting key; `source` of the events is `litellm/` and this.
    /// - `defaultOrg`: the owner of items that name none; without it they are parked.
    /// - `itemsMax`: more items are refused as a whole (`too_many_items`).
    /// - Throws `empty_body`, `invalid_json` (the body begins no item), `too_many_items`, `invalid_key_name`.
    public static func parse(
        body: [UInt8], keyName: Name, defaultOrg: Name?, itemsMax: Int
    ) throws(BodyError) -> [DoorItem] {
        guard let source = Name("litellm/" + keyName.text) else {
            throw BodyError(code: "invalid_key_name", detail: "The posting key's name is too long for a source.")
        }
        guard let first = body.firstIndex(where: { $0 > 0x20 }) else {
            throw BodyError(code: "empty_body", detail: "The body is empty.")
        }
        var split = LiteLLMSplit(
            body: body, mapping: LiteLLMMapping(source: source, defaultOrg: defaultOrg), itemsMax: itemsMax)
        switch body[first] {
        case openBracket: try split.array(from: first)
        case openBrace, 0x6E: try split.objects(from: first)
        default:
            throw BodyError(
                code: "invalid_json", detail: "The body is neither an array, an object nor lines of objects.",
                offset: first)
        }
        return split.items
    }
}
