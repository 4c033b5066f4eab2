import EventLog
import Glibc
import Hashing
import Platform
import Projections

/// `verify`: the pages of the log's file, every hash and position of the log, the tiles and the key index beside it,
/// then everything folded again from position 1 and compared with the read models as they are. Two threads share the
/// work: one walks over the log, checks it and folds what needs no book, the other folds the rest with one book;
/// whoever is done first takes what is left.
func verify(_ arguments: Arguments) throws -> Int32 {
    let path = try arguments.folder()
    let saved = try arguments["checkpoint"].map { try SavedCheckpoint($0) }
    let started = SteadyClock.nanoseconds()
    let report = Report()
    guard Folder.isFolder(path + "/log") else { throw Refusal(text: "\(path) is no data folder: it has no log/") }
    if let folder = open(path, report) {
        try check(folder, against: saved, into: report)
    }
    let milliseconds = max(1, (SteadyClock.nanoseconds() - started) / 1_000_000)
    report.print(json: arguments.json, milliseconds: milliseconds)
    return report.exitCode
}

/// Opens the log once its pages are known to be good: LMDB believes them. Nil when it cannot be opened, as reported.
private func open(_ path: String, _ report: Report) -> DataFolder? {
    do {
        let pages = try EventLog.checkPages(folder: path + "/log")
        report.add("pages", position: 0, .holds("\(pages) pages in use, each in one place"))
        return try DataFolder(path)
    } catch {
        report.add("log", error)
        return nil
    }
}

/// What read models of a running daemon get at the end to see what the log had at the beginning.
private let catchUpNanoseconds: UInt64 = 5_000_000_000

private func check(_ folder: DataFolder, against saved: SavedCheckpoint?, into report: Report) throws {
    let highWater = folder.log.highWater
    report.highWater = highWater
    // Those that fold a book, all the same one, and the others.
    let withBook: [any Projection.Type] = [Credits.self, Lago.self, Alerts.self]
    let others: [any Projection.Type] = [Tokens.self, Calls.self]
    precondition(withBook.count + others.count == ReadModels.all.count, "a read model is not verified")
    // The rows of this moment; the log ends there or after.
    let withLog = try ReadModelCheck.open(others, in: folder, report: report)
    let apart = try ReadModelCheck.open(withBook, in: folder, report: report)
    var jobs: [@Sendable () -> Void] = [
        { refold(apart, in: folder, into: report) },
        {
            do {
                try LogCheck(folder, through: highWater, against: saved, into: report).run(folding: withLog)
            } catch {
                report.add("log", error)
                for check in withLog { check.fail(error) }
            }
        },
        { checkIndex(folder, through: highWater, into: report) },
    ]
    // The most rows first.
    for check in apart + withLog { jobs.append { check.readRows() } }
    let parts = UInt64(ReadModels.all.count + 2)
    run(jobs, meter: Meter("verify", total: highWater * parts), report: report)
    let deadline = SteadyClock.nanoseconds() + catchUpNanoseconds
    for check in apart + withLog {
        check.followProgress(to: highWater, deadline: deadline)
        check.conclude(highWater: highWater, into: report)
    }
}

/// Runs the jobs on two threads, in order, with one progress bar.
private func run(_ jobs: [@Sendable () -> Void], meter: Meter, report: Report) {
    let next = Lock(0)
    let running = Condition(2)
    let threads = (0..<2).map { number in
        Thread(name: "verify \(number)") {
            while true {
                let index = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard index < jobs.count else { break }
                jobs[index]()
            }
            running.signal { $0 -= 1 }
        }
    }
    var meter = meter
    while running.wait(milliseconds: 100, until: { $0 == 0 ? true : nil }) == nil {
        meter.reach(report.recordsDone)
    }
    _ = meter.end()
    for thread in threads { thread.join() }
}

/// Folds the read models of `checks` by themselves.
func refold(_ checks: [ReadModelCheck], in folder: DataFolder, into report: Report) {
    let highWater = report.highWater
    let fold = ReadModelCheck.fold(checks, in: folder, highWater: highWater)
    ReadModelCheck.finish(fold, checks) { reached in
        for check in checks { report.reach(check.name, min(reached, highWater)) }
    }
}
