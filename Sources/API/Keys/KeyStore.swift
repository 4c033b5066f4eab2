public import Billing
internal import Glibc
internal import Hashing
internal import JSON
internal import Platform
internal import Synchronization

/// The keys of a data folder: `keys.json`, replaced as a whole by `tallystick keys`, followed by the running daemon.
///
/// The file is looked at (one stat) whenever the last look is over a millisecond ago, so that a stat is no part of most
/// requests; whoever changes the file waits that long, so that a revoked key is refused at once.
public final class KeyStore: Sendable {
    /// Which version of the file is loaded: a replaced file has another inode or time.
    private struct Stamp: Equatable {
        var inode: UInt64
        var seconds: Int
        var nanoseconds: Int
        var size: Int64
    }

    private struct State {
        var stamp: Stamp?
        var keys: [String: Key] = [:]
        var fault: String?
    }

    public enum StoreError: Error, CustomStringConvertible {
        case unreadable(path: String, reason: String)
        case nameTaken(Name)
        case unknownName(Name)
        case unknownID(String)
        case busy

        public var description: String {
            switch self {
            case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
            case .nameTaken(let name): "there is a key named \(name) already; revoke it or choose another name"
            case .unknownName(let name): "there is no live key named \(name)"
            case .unknownID(let id): "there is no live key with the id \(id)"
            case .busy: "another program is changing the keys at this moment; try again"
            }
        }
    }

    public static let fileBytesMax = 16 << 20

    private let folder: String
    public let path: String
    public let uses: KeyUses
    private let state = Lock(State())
    /// When the file was last looked at, by the steady clock; 0: look now.
    private let lookedAt = Atomic<UInt64>(0)
    static let lookNanoseconds: UInt64 = 1_000_000

    public init(folder: String) {
        self.folder = folder
        path = folder + "/keys.json"
        uses = KeyUses(folder: folder)
    }

    /// The live key that `text` is, or nil; its use is noted. The comparison takes the same time whatever differs.
    public func key(for text: some Collection<UInt8>, at now: Timestamp) -> Key? {
        reloadIfChanged()
        let presented = KeyText(text)
        let known = presented.flatMap { presented in state.withLock { $0.keys[presented.id] } }
        // An unknown id does the same work as a known one.
        let given = presented?.secretHash ?? SHA256.hash([])
        let expected = known?.secretHash ?? .zero
        let difference = zip(given.bytes, expected.bytes).reduce(0) { $0 | ($1.0 ^ $1.1) }
        guard let known, difference == 0, known.isLive(at: now) else { return nil }
        uses.note(known.id, at: now)
        return known
    }

    /// Why the file cannot be used, for `/readyz`; nil when it can.
    public var fault: String? {
        reloadIfChanged()
        return state.withLock { $0.fault }
    }

    public func all() throws(StoreError) -> [Key] {
        guard currentStamp() != nil else { return [] }
        do {
            return try KeyFile.parse(try File.read(path, bytesMax: KeyStore.fileBytesMax))
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
    }

    /// Adds a key and gives its text, which is kept nowhere. A revoked or expired key's name may be used again.
    public func add(
        name: Name, scopes: Set<Scope>, org: Name?, defaultOrg: Name?, lagoOwnerIsUser: Bool, expiresAt: Timestamp?,
        now: Timestamp
    ) throws -> KeyText {
        try changing { keys in
            guard !keys.contains(where: { $0.name == name && $0.isLive(at: now) }) else {
                throw StoreError.nameTaken(name)
            }
            let text = KeyText()
            keys.append(
                Key(
                    id: text.id, name: name, secretHash: text.secretHash, scopes: scopes, org: org,
                    defaultOrg: defaultOrg, lagoOwnerIsUser: lagoOwnerIsUser, createdAt: now, expiresAt: expiresAt))
            return text
        }
    }

    /// Revokes every key of this name that is not revoked yet, the ones in the overlap of a rotation too.
    public func revoke(name: Name, now: Timestamp) throws {
        try changing { keys in
            var isKnown = false
            for index in keys.indices where keys[index].name == name && keys[index].revokedAt == nil {
                keys[index].revokedAt = now
                isKnown = true
            }
            guard isKnown else { throw StoreError.unknownName(name) }
        }
    }

    /// Revokes one key alone.
    public func revoke(id: String, now: Timestamp) throws {
        try changing { keys in
            guard let index = keys.firstIndex(where: { $0.id == id && $0.revokedAt == nil }) else {
                throw StoreError.unknownID(id)
            }
            keys[index].revokedAt = now
        }
    }

    /// A new key in the place of the live one of this name: same name, scopes and org. The old one opens for
    /// `overlapSeconds` more, then ends; it never lives longer than it would have.
    ///
    /// - Parameter expiresAt: when the new key ends; nil: it lives as long as the old one was made for.
    public func rotate(
        name: Name, overlapSeconds: Int64, expiresAt: Timestamp?, now: Timestamp
    ) throws -> KeyText {
        try changing { keys in
            guard let newest = keys.last(where: { $0.name == name && $0.isLive(at: now) }) else {
                throw StoreError.unknownName(name)
            }
            let end = now.adding(seconds: overlapSeconds)
            for index in keys.indices where keys[index].name == name && keys[index].isLive(at: now) {
                keys[index].expiresAt = min(keys[index].expiresAt ?? end, end)
            }
            let text = KeyText()
            var key = newest
            key.id = text.id
            key.secretHash = text.secretHash
            key.createdAt = now
            key.expiresAt =
                expiresAt
                ?? newest.expiresAt.map { end in
                    Timestamp(microseconds: now.microseconds + end.microseconds - newest.createdAt.microseconds)
                }
            keys.append(key)
            return text
        }
    }

    /// Reads, changes and replaces the file, one program at a time. Returns when every daemon that runs on it will look
    /// before it opens for another key: with the return of `tallystick keys revoke` the key is refused.
    private func changing<Result>(_ body: (inout [Key]) throws -> Result) throws -> Result {
        guard let lock = try FolderLock(folder: folder, name: "keys.lock") else { throw StoreError.busy }
        defer { withExtendedLifetime(lock) {} }
        var keys = try all()
        let result = try body(&keys)
        try DurableFile.replace(path, with: KeyFile.write(keys))
        lookedAt.store(0, ordering: .relaxed)
        usleep(UInt32(2 * KeyStore.lookNanoseconds / 1000))
        return result
    }

    private func reloadIfChanged() {
        let now = SteadyClock.nanoseconds()
        let looked = lookedAt.load(ordering: .relaxed)
        guard looked == 0 || now > looked + KeyStore.lookNanoseconds else { return }
        let current = currentStamp()
        state.withLock { state in
            guard state.stamp != current || (current == nil && !state.keys.isEmpty) else { return }
            do {
                let keys = current == nil ? [] : try KeyFile.parse(try File.read(path, bytesMax: KeyStore.fileBytesMax))
                state.keys = Dictionary(keys.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
                state.fault = nil
            } catch {
                // A file that cannot be read opens nothing. Said once a change of the file.
                LogLine.write(.error, "no key opens: the keys cannot be read", ["reason": "\(error)"])
                state.keys = [:]
                state.fault = "\(path): \(error)"
            }
            state.stamp = current
        }
        lookedAt.store(now, ordering: .relaxed)
    }

    private func currentStamp() -> Stamp? {
        var status = FileStatus()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            inode: UInt64(status.st_ino), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec,
            size: Int64(status.st_size))
    }
}

/// `stat` names both the structure and the call.
private typealias FileStatus = stat
