import Glibc
import Platform

/// Writes zeros ahead of where LMDB appends, so that a commit's fsync finds blocks that are there and need no change of
/// file metadata. The zeros go through a descriptor of our own: an error of the disk that it takes note of is then
/// still
/// reported to LMDB's. (LMDB 0.9 holds its locks on lock.mdb, so closing a descriptor of data.mdb loses none.)
///
/// What makes it safe: LMDB never writes at or past `frontier` (used pages + what the append needs + a generous slack,
/// raised before each append and checked after it), and zeros are only written at or past `frontier` or `zeroedEnd`,
/// whichever is higher, in pieces that the writer waits for before it raises `frontier` into them.
///
/// `@unchecked Sendable`: the descriptor never changes; the rest is behind `state`.
final class Prezero: @unchecked Sendable {
    /// More than any append takes besides its frame: copied branch pages and the free list. 1,024 pages of 4 KiB hold
    /// half a million free page numbers.
    static let slackBytes = 4 << 20
    static let pieceBytes = 4 << 20
    static let pageBytes = 4096
    /// What the writer fills itself at least when it has caught up with the helper.
    static let inlineBytes = 1 << 20

    private struct State {
        /// LMDB writes below this only.
        var frontier: Int
        /// Up to here the file is written and synced.
        var zeroedEnd: Int
        /// Up to here the helper should go.
        var goal = 0
        var busy: Range<Int>?
        /// After a full disk: nothing is tried before so many bytes are used.
        var pausedUntilUsed = 0
        var failure: Int32?
        var isStopping = false
    }

    private let environment: Environment
    private let file: Descriptor
    private let bytesMax: Int
    private let mapBytes: Int
    private let state: Condition<State>
    private let zeros = [UInt8](repeating: 0, count: 1 << 20)
    /// Set once, by `start`, before the log is seen by anyone.
    private var helper: Thread?

    init(_ environment: Environment, bytesMax: Int) throws(LogError) {
        let path = environment.folder + "/data.mdb"
        self.environment = environment
        self.bytesMax = bytesMax
        do throws(FileError) { file = try Descriptor(path: path, flags: O_WRONLY) } catch { throw LogError(error) }
        mapBytes = try environment.mapBytes()
        let size = try filing { () throws(FileError) in try File.size(path) }
        state = Condition(State(frontier: try environment.bytesUsed(), zeroedEnd: size))
    }

    /// The helper holds this object until `stop`.
    func start() {
        helper = Thread(name: "log-prezero") { self.run() }
    }

    func stop() {
        state.signal { $0.isStopping = true }
        helper?.join()
        helper = nil
    }

    /// Makes sure that LMDB may write a frame of `bytes`. On the writer's thread, outside of a transaction. Gives the
    /// code
    /// of an error after which the disk cannot be trusted.
    func reserve(_ bytes: Int, used: Int) -> Int32? {
        // Two pages are LMDB's own: the header of the overflow pages and the rest of the last.
        let bound = used + bytes + 2 * Prezero.pageBytes + Prezero.slackBytes
        let ahead = min(bytesMax, used)
        let missing = state.wait { state -> Range<Int>? in
            // The piece under way may reach below the new frontier.
            if let busy = state.busy, busy.lowerBound < bound { return nil }
            let start = max(state.zeroedEnd, state.frontier)
            state.frontier = max(state.frontier, bound)
            guard used >= state.pausedUntilUsed, state.failure == nil else { return 0..<0 }
            let isBehind = start < bound && state.busy == nil
            return isBehind ? start..<min(bound + max(Prezero.inlineBytes, ahead / 4), mapBytes) : 0..<0
        }
        if let missing, !missing.isEmpty { fill(missing, used: used) }
        state.signal { state in
            if used >= state.pausedUntilUsed && state.zeroedEnd < bound + ahead / 2 {
                state.goal = min(bound + ahead, mapBytes)
            }
        }
        return state.withLock { $0.failure }
    }

    /// After a commit: LMDB kept within what it was given.
    func committed(used: Int) {
        let frontier = state.withLock { $0.frontier }
        precondition(used <= frontier, "LMDB used \(used) bytes of the \(frontier) that were set aside")
    }

    private func run() {
        while true {
            let piece = state.wait { state -> Range<Int>? in
                if state.isStopping { return 0..<0 }
                let start = max(state.zeroedEnd, state.frontier)
                guard start < state.goal, state.failure == nil else { return nil }
                let piece = start..<min(start + Prezero.pieceBytes, state.goal)
                state.busy = piece
                return piece
            }
            guard let piece, !piece.isEmpty else { return }
            fill(piece, used: piece.lowerBound)
        }
    }

    /// Writes and syncs zeros, then says so.
    private func fill(_ range: Range<Int>, used: Int) {
        var code: Int32 = 0
        var offset = range.lowerBound
        zeros.withUnsafeBytes { source in
            while offset < range.upperBound && code == 0 {
                let count = min(source.count, range.upperBound - offset)
                let written = pwrite(file.number, source.baseAddress, count, off_t(offset))
                if written > 0 { offset += written } else if errno != EINTR { code = errno }
            }
        }
        if code == 0 && fdatasync(file.number) != 0 { code = errno }
        state.signal { state in
            if state.busy == range { state.busy = nil }
            if code == 0 {
                state.zeroedEnd = max(state.zeroedEnd, range.upperBound)
            } else if LogError.isFull(code) {
                // Harmless: LMDB goes on without, or finds the disk full itself.
                state.goal = 0
                state.pausedUntilUsed = used + bytesMax
            } else {
                state.failure = code
            }
        }
    }
}
