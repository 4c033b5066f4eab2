public import Billing
public import Hashing

/// Space of idempotency keys: a (`source`, `id`) is one key within its space and another in the next one. Which space a
/// record is in follows from who posted it, never from what he said, so that no client's bytes reach the daemon's own
/// keys or those that another org's call will have.
public enum KeySpace: Hashable, Sendable {
    /// Of senders that are confined to no org, and of every record that was stored before there were spaces.
    case common
    /// Of the events that the daemon itself writes.
    case daemon
    /// Of senders that are confined to this org.
    case org(Name)

    /// The org whose space it is.
    public var org: Name? {
        if case .org(let org) = self { org } else { nil }
    }
}

/// Idempotency key of a record: exact, for ever.
public struct IdempotencyKey: Hashable, Sendable {
    public var space: KeySpace
    public var source: Name
    public var id: Name

    public init(space: KeySpace = .common, source: Name, id: Name) {
        self.space = space
        self.source = source
        self.id = id
    }

    /// SHA-256 of the key, under which the index has it (`Schemas/RECORD.md`).
    public var hash: Digest {
        IdempotencyKey.hash(space) { writer in
            writer.name(source)
            writer.name(id)
        }
    }

    /// Hash under which the index has every record in some org's space that has this `source` and `id`, beside the
    /// one of its key: for a correction that does not say whose call it means.
    public static func hashInAnyOrg(source: Name, id: Name) -> Digest {
        hash(prefix: anyOrg) { writer in
            writer.name(source)
            writer.name(id)
        }
    }

    // The first two bytes of a hashed key in the common space are the length of the source less one, and its first
    // byte, which is no control character: so no source begins as these do.
    private static let daemon: [UInt8] = [0, 0]
    private static let ofOrg: [UInt8] = [0, 1]
    private static let anyOrg: [UInt8] = [0, 2]

    /// What is hashed before `source` and `id` as the key section of a record spells them.
    static func hash(_ space: KeySpace, _ write: (inout RecordWriter) -> Void) -> Digest {
        switch space {
        case .common: hash(prefix: [], write)
        case .daemon: hash(prefix: daemon, write)
        case .org(let org):
            hash(prefix: ofOrg) { writer in
                writer.name(org)
                write(&writer)
            }
        }
    }

    static func hashInAnyOrg(_ write: (inout RecordWriter) -> Void) -> Digest { hash(prefix: anyOrg, write) }

    private static func hash(prefix: [UInt8], _ write: (inout RecordWriter) -> Void) -> Digest {
        var writer = RecordWriter(bytes: prefix)
        writer.bytes.reserveCapacity(128)
        write(&writer)
        return SHA256.hash(writer.bytes)
    }
}
