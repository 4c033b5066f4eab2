public import Billing
internal import JSON
internal import Platform

/// When each key was last used. Noted in memory with every request and written beside `keys.json`, to a file of its own
/// that only the daemon writes, once a minute, and at once when a key is used for the first time: so that no request
/// waits for the disk, and so that `tallystick keys` and the daemon never change the same file. A daemon that is killed
/// forgets the uses since the last writing.
public final class KeyUses: Sendable {
    public static let writeSeconds = 60
    private static let version = 1
    private static let fileBytesMax = 16 << 20

    private struct State {
        /// By key id.
        var lastUses: [String: Timestamp]
        var isWritten = true
    }

    /// Why the thread is to write before its minute is over.
    private struct Wakes {
        var isStopping = false
        var hasFirstUse = false
    }

    private let path: String
    private let state: Lock<State>
    private let wakes = Condition(Wakes())
    private let thread = Lock<Thread?>(nil)

    /// What an earlier daemon wrote is kept. A file that cannot be read is begun anew: it decides nothing.
    public init(folder: String) {
        path = folder + "/key-uses.json"
        state = Lock(State(lastUses: KeyUses.read(path)))
    }

    /// By key id, as far as it is known here: in the daemon all of it, in another program what the daemon wrote last.
    public var lastUses: [String: Timestamp] { state.withLock { $0.lastUses } }

    /// `now`, to the second: what is noted within one second changes nothing.
    func note(_ id: String, at now: Timestamp) {
        let isFirst = state.withLock { state in
            let last = state.lastUses[id]
            if let last, now.microseconds - last.microseconds < Timestamp.microsecondsPerSecond { return false }
            state.lastUses[id] = now
            state.isWritten = false
            return last == nil
        }
        if isFirst { wakes.signal { $0.hasFirstUse = true } }
    }

    /// Writes from now on, by a thread of its own, until `stop`.
    public func start() {
        thread.withLock { thread in
            precondition(thread == nil, "started twice")
            thread = Thread(name: "key-uses") { [self] in
                var isStopping = false
                while !isStopping {
                    let wake = wakes.wait(milliseconds: KeyUses.writeSeconds * 1000) { wakes -> Wakes? in
                        guard wakes.isStopping || wakes.hasFirstUse else { return nil }
                        defer { wakes.hasFirstUse = false }
                        return wakes
                    }
                    writeOrWarn()
                    isStopping = wake?.isStopping ?? false
                }
            }
        }
    }

    /// Writes what is left.
    public func stop() {
        wakes.signal { $0.isStopping = true }
        let thread = thread.withLock { $0 }
        thread?.join()
    }

    private func writeOrWarn() {
        do {
            try write()
        } catch {
            LogLine.write(.warning, "when keys were last used was not written", ["reason": "\(error)"])
        }
    }

    /// Durable when it returns; nothing is done when nothing was noted.
    func write() throws {
        let uses = state.withLock { state -> [String: Timestamp]? in
            guard !state.isWritten else { return nil }
            state.isWritten = true
            return state.lastUses
        }
        guard let uses else { return }
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("version", integer: KeyUses.version)
        writer.key("last_used_at")
        writer.beginObject()
        for (id, time) in uses.sorted(by: { $0.key < $1.key }) {
            writer.key(id)
            writer.string(time.rfc3339)
        }
        writer.endObject()
        writer.endObject()
        do {
            try DurableFile.replace(path, with: writer.bytes + [0x0A])
        } catch {
            state.withLock { $0.isWritten = false }
            throw error
        }
    }

    private static func read(_ path: String) -> [String: Timestamp] {
        guard let bytes = try? File.read(path, bytesMax: fileBytesMax), let document = try? JSONValue.parse(bytes),
            document["version"] == .number(String(version)), case .object(let members)? = document["last_used_at"]
        else { return [:] }
        var uses: [String: Timestamp] = [:]
        for member in members {
            if case .string(let text) = member.value, let time = Timestamp(rfc3339: text) { uses[member.name] = time }
        }
        return uses
    }
}
