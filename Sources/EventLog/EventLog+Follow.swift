internal import CLMDB
import Platform

/// Who follows the log, and how much room it takes.
extension EventLog {
    /// Blocks the calling thread until high water is above `position`, or somebody calls `wake()`, or the time is up.
    /// Gives high water. Wakes at once for appends of this process only.
    public func waitForAppend(after position: UInt64, milliseconds: Int? = nil) -> UInt64 {
        let wakes = followers.withLock { $0.wakes }
        if highWater > position { return highWater }
        _ = followers.wait(milliseconds: milliseconds) { followers in
            self.highWater > position || followers.wakes != wakes ? true : nil
        }
        return highWater
    }

    /// Lets everyone go who waits for an append.
    public func wake() {
        followers.signal { $0.wakes += 1 }
    }

    /// Calls `body` with high water on the writer's thread after each append: it must be quick, and not append. Gives a
    /// token for `removeOnAppend`.
    @discardableResult public func onAppend(_ body: @escaping @Sendable (UInt64) -> Void) -> Int {
        followers.withLock { followers in
            followers.nextToken += 1
            followers.callbacks.append((followers.nextToken, body))
            return followers.nextToken
        }
    }

    /// A call that is under way may still end after this returns.
    public func removeOnAppend(_ token: Int) {
        followers.withLock { $0.callbacks.removeAll { $0.token == token } }
    }

    /// How much room the log takes, for metrics and alarms.
    public struct Usage: Sendable {
        public var frames: Int
        /// Pages that were ever used, in bytes; at `mapBytes` appends fail with `.full`.
        public var bytesUsed: Int
        public var mapBytes: Int
    }

    public func usage() throws(LogError) -> Usage {
        let transaction = try ReadTransaction(environment)
        var statistics = MDB_stat()
        try check(mdb_stat(transaction.handle, frames.number, &statistics), "mdb_stat")
        return Usage(
            frames: statistics.ms_entries, bytesUsed: try environment.bytesUsed(), mapBytes: try environment.mapBytes())
    }

    /// Frees what readers that were killed still pin; call it every minute or so. Gives their number.
    @discardableResult public func dropDeadReaders() throws(LogError) -> Int {
        try environment.dropDeadReaders()
    }
}
