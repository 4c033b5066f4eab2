public import Billing
public import Hashing

/// What became of one item of a body in somebody else's format.
public struct DoorItem: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        case event(Event)
        /// What a job came to (`LiteLLMJob`). Its sender says it again at each look, with other times and ids around
        /// it: once stored it is there, and a later telling is a duplicate.
        case job(Event)
        /// Counted, nothing to keep: a `null` where an item should be, which the sender could not build; bookkeeping.
        case skipped
        /// Cannot become an event; listed for the operator.
        case parked(Parked)
    }

    /// From 0, in the order of the body.
    public var index: Int
    public var outcome: Outcome
    /// SHA-256 of the item's own bytes, as its sender wrote them, without white space around. An item whose end nobody
    /// can tell is all the rest of its body.
    public var hash: Digest

    /// A parked item gets the hash from here, whichever parser parked it.
    public init(index: Int, outcome: Outcome, hash: Digest) {
        self.index = index
        self.hash = hash
        if case .parked(var parked) = outcome {
            parked.itemHash = hash
            self.outcome = .parked(parked)
        } else {
            self.outcome = outcome
        }
    }
}

/// An item that cannot become an event, and enough about it to find it at its sender. `facts` come from a fixed list of
/// identity fields; prompts, answers, headers, addresses, e-mails and tracebacks are never among them.
public struct Parked: Error, Hashable, Sendable {
    public struct Fact: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// `invalid_json`, `missing_owner`, `subset_exceeds_total`, ...
    public var code: String
    /// Dotted path of the member at fault, in the sender's words; empty when it is the whole item.
    public var field: String
    /// A clause about the member: "is larger than input_tokens, its total".
    public var detail: String
    public var facts: [Fact]
    /// Of the item's own bytes (`DoorItem.hash`): what tells items without facts apart, and lets a sender find its own.
    /// Nil when an earlier version parked it.
    public var itemHash: Digest?

    public init(code: String, field: String, detail: String, facts: [Fact] = [], itemHash: Digest? = nil) {
        self.code = code
        self.field = field
        self.detail = detail
        self.facts = facts
        self.itemHash = itemHash
    }
}
