public import Billing
internal import Glibc
internal import Hashing
internal import JSON
internal import Platform
internal import Synchronization

/// The keys of a data folder: `keys.json`, replaced as a whole by `tallystick keys`, followed by the running daemon.
///
/// The file is looked at (one stat) whenever the last look is over a millisecond ago, so that a stat is no part of most
/// requests; whoever changes the file waits that long, so that a revoked key is refused at once. What cannot be read
/// any more takes no key away: the daemon keeps those that it has (decision 33).
public final class KeyStore: Sendable {
    /// What a look at the file's name finds. A replaced file has another inode or time, one whose owner or mode was
    /// changed another time of change.
    private enum Seen: Equatable {
        case nothing
        case unreachable(code: Int32)
        case file(Stamp)
    }

    private struct Stamp: Equatable {
        var inode: UInt64
        var size: Int64
        var modified: Moment
        var changed: Moment
    }

    private struct Moment: Equatable {
        var seconds: Int
        var nanoseconds: Int

        init(_ time: timespec) {
            seconds = time.tv_sec
            nanoseconds = time.tv_nsec
        }
    }

    private struct State {
        /// Nil: never looked.
        var seen: Seen?
        var keys: [String: Key] = [:]
        var fault: Fault?
        /// Whether a file was there and read: one that is gone then is a fault, where a new folder has none.
        var wasRead = false
        /// When a file that could not be read is read again though it looks the same.
        var retryAt: UInt64 = 0
    }

    public static let fileBytesMax = 16 << 20
    private static let lockName = "keys.lock"

    private let folder: String
    public let path: String
    public let uses: KeyUses
    private let state = Lock(State())
    /// When the file was last looked at, by the steady clock; 0: look now.
    private let lookedAt = Atomic<UInt64>(0)
    static let lookNanoseconds: UInt64 = 1_000_000
    static let retryNanoseconds: UInt64 = 1_000_000_000

    public init(folder: String) {
        self.folder = folder
        path = folder + "/keys.json"
        uses = KeyUses(folder: folder)
    }

    /// The live key that `text` is, or nil; its use is noted. The comparison takes the same time whatever differs.
    public func key(for text: some Collection<UInt8>, at now: Timestamp) -> Key? {
        look()
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

    /// What is wrong with the file; nil when nothing is.
    public var fault: Fault? {
        look()
        return state.withLock { $0.fault }
    }

    /// How many keys are known, those that open nothing any more among them.
    public var count: Int { state.withLock { $0.keys.count } }

    /// Reads the file now, changed or not, and says again what is wrong with it.
    public func reread() {
        let seen = see()
        state.withLock { take(seen, &$0, saysAgain: true) }
    }

    /// What the file holds now, as far as it is whole.
    public func listed() throws -> (keys: [Key], damagedLines: [Int]) {
        try saying {
            switch see() {
            case .nothing:
                // Who used keys here would lose them all to the first new one.
                guard uses.lastUses.isEmpty else { throw StoreError.gone(path: path) }
                return ([], [])
            case .unreachable(let code): throw FileError(operation: "stat", path: path, code: code)
            case .file: break
            }
            let bytes = try File.read(path, bytesMax: KeyStore.fileBytesMax)
            do {
                let content = try KeyFile.parse(bytes)
                return (content.keys, content.damagedLines)
            } catch {
                throw StoreError.unreadable(path: path, reason: "\(error)")
            }
        }
    }

    /// Why `listed` gave not all.
    public func damage(_ lines: [Int]) -> StoreError { .damaged(path: path, lines: lines) }

    /// Adds a key and gives its text, which is kept nowhere. A revoked or expired key's name may be used again. The
    /// folder is made when it is not there.
    public func add(
        name: Name, scopes: Set<Scope>, org: Name?, defaultOrg: Name?, lagoOwnerIsUser: Bool, expiresAt: Timestamp?,
        now: Timestamp
    ) throws -> KeyText {
        try saying { try Folder.make(folder) }
        return try changing { keys in
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
        try saying {
            // Before a lock is made that is nobody else's to take.
            if let owner = try? FileOwner(path: path), owner.user != FileOwner.processUser, FileOwner.processUser != 0 {
                throw StoreError.notOurs(path: path, owner: owner)
            }
            guard let lock = try FolderLock(folder: folder, name: KeyStore.lockName) else { throw StoreError.busy }
            defer { withExtendedLifetime(lock) {} }
            var (keys, damagedLines) = try listed()
            // What is damaged would be gone for good.
            guard damagedLines.isEmpty else { throw damage(damagedLines) }
            let result = try body(&keys)
            try DurableFile.replace(path, with: KeyFile.write(keys))
            lookedAt.store(0, ordering: .relaxed)
            usleep(UInt32(2 * KeyStore.lookNanoseconds / 1000))
            return result
        }
    }

    /// Says whose the keys are when the system refuses because they are not ours.
    private func saying<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as FileError where error.code == EACCES || error.code == EPERM {
            guard let owner = owner(), owner.user != FileOwner.processUser else { throw error }
            throw StoreError.notOurs(path: path, owner: owner)
        }
    }

    /// Of the file, else of its folder, else of the nearest folder on the way there that lets nobody further.
    private func owner() -> FileOwner? {
        var place = path
        while true {
            do {
                return try FileOwner(path: place)
            } catch {
                let above = Folder.parent(of: place)
                let goesOn = error.code == EACCES || (error.code == ENOENT && place == path)
                guard goesOn, above != place else { return nil }
                place = above
            }
        }
    }

    // MARK: Following the file

    private func look() {
        let now = SteadyClock.nanoseconds()
        let looked = lookedAt.load(ordering: .relaxed)
        guard looked == 0 || now > looked + KeyStore.lookNanoseconds else { return }
        let seen = see()
        state.withLock { state in
            var isDue = state.seen != seen
            // An error of the moment (no descriptor, a disk that answers again) is over without a change of the file.
            if case .unreadable = state.fault, now >= state.retryAt { isDue = true }
            if isDue { take(seen, &state) }
        }
        lookedAt.store(now, ordering: .relaxed)
    }

    /// Takes over what the file says. Every change of what is wrong with it is said once.
    private func take(_ seen: Seen, _ state: inout State, saysAgain: Bool = false) {
        let (known, isNew) = (state.fault, saysAgain || state.seen != seen)
        switch seen {
        case .nothing:
            // Where keys were made before, the lock is left, by which a start knows.
            if state.seen == nil && File.exists(folder + "/" + KeyStore.lockName) { state.wasRead = true }
            state.fault = state.wasRead ? .unreadable("it is gone") : nil
        case .unreachable(let code):
            state.fault = .unreadable("\(FileError(operation: "stat", path: path, code: code))")
        case .file:
            do {
                let content = try KeyFile.parse(try File.read(path, bytesMax: KeyStore.fileBytesMax))
                var keys = Dictionary(content.keys.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
                state.fault = nil
                if !content.damagedLines.isEmpty {
                    // A key that was read before and is on no whole line may be the one on the damaged line: it stays
                    // as it was. What a whole line says of a key, that it is revoked too, holds.
                    keys.merge(state.keys) { whole, _ in whole }
                    state.fault = .damaged(lines: content.damagedLines)
                }
                state.keys = keys
                state.wasRead = true
            } catch {
                state.fault = .unreadable("\(error)")
            }
        }
        state.seen = seen
        state.retryAt = SteadyClock.nanoseconds() + KeyStore.retryNanoseconds
        say(state.fault, known, isNew: isNew, keys: state.keys.count)
    }

    private func say(_ fault: Fault?, _ known: Fault?, isNew: Bool, keys: Int) {
        switch fault {
        case nil where known == nil: return
        case nil: LogLine.write(.info, "keys.json is whole again", ["keys": String(keys)])
        case known where !isNew: return
        case .unreadable(let reason)?:
            let text = keys == 0 ? "no key opens" : "the keys read before go on opening"
            LogLine.write(
                .error, "keys.json cannot be read: " + text, ["path": path, "reason": reason, "keys": String(keys)])
        case .damaged(let lines)?:
            LogLine.write(
                .error, "keys.json is damaged: a key on a damaged line opens only if it was read before",
                ["path": path, "lines": lines.map(String.init).joined(separator: ","), "keys": String(keys)])
        }
    }

    private func see() -> Seen {
        var status = FileStatus()
        guard stat(path, &status) == 0 else {
            let code = errno
            return code == ENOENT ? .nothing : .unreachable(code: code)
        }
        // To open a pipe is to wait for who writes into it.
        guard status.st_mode & S_IFMT == S_IFREG else { return .unreachable(code: EINVAL) }
        return .file(
            Stamp(
                inode: UInt64(status.st_ino), size: Int64(status.st_size), modified: Moment(status.st_mtim),
                changed: Moment(status.st_ctim)))
    }
}

/// `stat` names both the structure and the call.
private typealias FileStatus = stat
