internal import Billing
internal import Formats
internal import Platform

/// The named limits of what is kept of items that could not be taken.
public struct ParkedLimits: Sendable {
    public var itemsMax = 100_000
    /// How long an item keeps its place against newcomers of its own key, when there is no other place for them.
    public var keptSeconds: Int64 = 30 * 86_400
    /// Counts of what found no room, one a key, code and hour, and the items named in each.
    public var bucketsMax = 1000
    public var hashesPerBucketMax = 32
    /// Orgs for which counts that are older are added up apart.
    public var earlierOrgsMax = 10_000
    /// Lines of the file that say nothing any more; with one more it is written anew.
    public var spentLinesMax = 100_000
    /// How long `/readyz` warns of what found no room.
    public var warningSeconds: Int64 = 7 * 86_400
    /// Of a line when the file is read: facts are names and few.
    static let lineBytesMax = 64 << 10
    /// Items that are written together.
    static let groupItems = 1000

    public init() {}
}

/// Items that came in by a compatible door and could not be taken: kept with the reason and a few harmless facts, never
/// with what they said. One NDJSON file in `parked/`, appended to and synced before the sender is answered; what is in
/// memory is a fold of its lines (`ParkedShelf`).
///
/// Nothing here can fail a callback: what finds no room, in the store or on the disk, is counted. An actor on a thread
/// of its own, since it waits for the disk.
public actor ParkedStore {
    private let executor = ThreadExecutor(name: "parked")
    private let limits: ParkedLimits
    private let file: AppendFile
    private var shelf: ParkedShelf
    /// In the file.
    private var lines = 0
    /// How many there may be before it is written anew.
    private var linesMax = 0
    /// Why the file could not be written the last time.
    private var fault: FileError?

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(folder: String, limits: ParkedLimits = ParkedLimits()) throws {
        try Folder.make(folder + "/parked")
        self.limits = limits
        file = try AppendFile(path: folder + "/parked/parked.ndjson")
        var shelf = ParkedShelf(limits: limits)
        var lines = 0
        try file.lines(bytesMax: ParkedLimits.lineBytesMax) { line in
            lines += 1
            shelf.apply(line)
        }
        shelf.begin()
        self.shelf = shelf
        self.lines = lines
        linesMax = shelf.linesNeeded + limits.spentLinesMax
    }

    /// What became of items that could not be taken.
    struct Added: Hashable, Sendable {
        /// Kept, now or before.
        var parked = 0
        var dropped = 0
    }

    /// Durable when it returns, as far as the disk takes it; what it does not take is counted as dropped.
    @discardableResult
    func add(_ parked: [Parked], door: Door, key: Name?, org: Name?, now: Timestamp) -> Added {
        var added = Added()
        for start in stride(from: 0, to: parked.count, by: ParkedLimits.groupItems) {
            let group = parked[start..<min(parked.count, start + ParkedLimits.groupItems)].map { one in
                ParkedItem(receivedAt: now, door: door, key: key, org: org, parked: one)
            }
            add(group, &added)
        }
        return added
    }

    private func add(_ group: [ParkedItem], _ added: inout Added) {
        let before = added
        var bytes: [UInt8] = []
        shelf.mark()
        for item in group {
            switch shelf.take(item) {
            case .placed(let placed):
                added.parked += 1
                bytes += placed.line
            case .repeated:
                added.parked += 1
            case .dropped:
                added.dropped += 1
            }
        }
        guard !write(bytes) else { return }
        // Nothing of it is on disk: what is new has no place. What was there before has it still.
        added = before
        shelf.undo()
        for item in group {
            if shelf.drop(unlessKept: item) { added.dropped += 1 } else { added.parked += 1 }
        }
        // The counts are short: there may be room for them.
        _ = write([], isRest: true)
    }

    /// Writes these lines and what the shelf owes the file; whether they are there now.
    ///
    /// - Parameter isRest: of what could not be written; that it can be does not mend the fault.
    private func write(_ newLines: [UInt8], isRest: Bool = false) -> Bool {
        shelf.fold()
        do throws(FileError) {
            if shelf.owesAll {
                try rewrite()
            } else {
                let bytes = newLines + shelf.owedLines()
                if !bytes.isEmpty {
                    try file.append(bytes)
                    lines += bytes.count { $0 == 0x0A }
                }
            }
            shelf.settle()
            if fault != nil, !isRest {
                LogLine.write(.info, "parked items are written again")
                fault = nil
            }
        } catch {
            if fault?.code != error.code {
                LogLine.write(
                    .error, "parked items cannot be written: they are counted as dropped", ["reason": "\(error)"])
            }
            fault = error
            return false
        }
        compact()
        return true
    }

    /// Writes the file anew when much of it says nothing any more.
    private func compact() {
        guard lines > linesMax else { return }
        do throws(FileError) {
            try rewrite()
        } catch {
            // All is in the old file: it stays, and is tried again when it has grown as much again.
            LogLine.write(.warning, "the file of parked items was not written anew", ["reason": "\(error)"])
            linesMax = lines + limits.spentLinesMax
        }
    }

    private func rewrite() throws(FileError) {
        var pieces = shelf.pieces()
        let shelf = self.shelf
        try file.rewrite { shelf.next(&pieces) }
        lines = shelf.linesNeeded
        linesMax = lines + limits.spentLinesMax
    }

    /// Tries for a last time to write what could not be written.
    public func stop() {
        _ = write([])
    }

    // MARK: Questions

    /// Items after number `after`, oldest first, and what found no room; for a confined reader only those of keys
    /// confined alike.
    func page(after: Int, limit: Int, org: Name?) -> ([ParkedItem], ParkedDropped.Seen) {
        (shelf.items(after: after, limit: limit, org: org), shelf.dropped.seen(by: org, hoursMax: limit))
    }

    public var count: Int { shelf.count }

    /// Items that found no room, since the file was begun.
    public var droppedTotal: Int { shelf.dropped.total }

    func warnings(now: Timestamp) -> [String] {
        var warnings: [String] = []
        if let last = shelf.dropped.lastAt, now.microseconds - last.microseconds
            < limits.warningSeconds * Timestamp.microsecondsPerSecond
        {
            warnings.append("items that could not be taken found no room to be kept: see dropped of /v1/parked")
        }
        if let fault {
            warnings.append("parked items cannot be written to disk: \(FileError.text(of: fault.code))")
        }
        return warnings
    }
}
