public import Billing
internal import Hashing

/// Id of an event as its sender states it: 1 to 1,024 bytes of UTF-8 without control characters. Up to 256 it is its
/// own key; a longer one (ids of OpenAI's Responses through LiteLLM have some 400 bytes) is keyed by its hash and kept
/// whole beside it.
public struct EventID: Hashable, Sendable {
    public static let bytesMax = 1024

    /// Name that stands for the id in keys, corrections and lots: the id itself, or `sha256:` and 64 hexadecimal
    /// digits.
    public let key: Name
    /// The id where the key is its hash; else nil.
    public let whole: String?

    /// Nil for what no id can be.
    public init?(_ text: String) {
        if let name = Name(text) {
            (key, whole) = (name, nil)
            return
        }
        var text = text
        let isSound = text.withUTF8 { bytes in
            (Name.bytesMax + 1...EventID.bytesMax).contains(bytes.count)
                && !Name.hasControl(UnsafeRawBufferPointer(bytes))
        }
        guard isSound else { return nil }
        (key, whole) = (Name(checked: "sha256:" + SHA256.hash(Array(text.utf8)).hex), text)
    }
}

extension Event {
    /// - Parameter id: as its sender states it.
    public init(source: Name, id: EventID, time: Timestamp?, fact: Fact) {
        self.init(source: source, id: id.key, wholeID: id.whole, time: time, fact: fact)
    }
}
