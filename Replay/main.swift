import EventLog
import Glibc
import Platform
import Snapshots

let usage = """
    tallystick-replay: proves that every number follows from the log

      tallystick-replay verify  --data DIR    hashes, frames, gaps, tiles, index; refolds all, compares the read models
          --checkpoint FILE                   and that the log still begins with what a saved checkpoint covers
      tallystick-replay rebuild --data DIR    deletes the read models, folds them again (daemon stopped)
      tallystick-replay export  --data DIR    every record as NDJSON on standard output, lossless
      tallystick-replay import  --data DIR    an export from standard input into a new folder
      tallystick-replay diff    DIR OTHER     the first difference between two logs; their read models
      tallystick-replay diff    --data DIR --between A B --org ORG | --user USER
                                              what was told at A and is at B, and the records that explain it;
                                              A and B are positions or times of recording
      tallystick-replay as-of   --data DIR [--org ORG | --user USER] [--what credits|calls|tokens|all]
                                [--known POSITION|TIME] [--effective TIME] [--period 2025-11]
                                [--from DAY] [--to DAY] [--group-by day,org,model,...]
                                              as it was known then; of facts of times to the effective one
      tallystick-replay explain --data DIR [--known POSITION|TIME] and one of
                                --position N                      a record: rules, factors, slices
                                --balance   --org ORG | --user U  movements and lots
                                --calls     --org ORG | --user U  [--period 2025-11]
                                --tokens   [--org ORG | --user U] [--from DAY] [--to DAY] [--group-by ...]
                                --lago-line ID                    a line's records
                                              a number down to its records; whether the parts add up
      tallystick-replay statement --data DIR --org ORG | --user USER [--period 2025-11 | --from T --to T]
                                [--known POSITION|TIME] [--format text|json|csv|html]
                                              opening balance, every movement, closing balance
      tallystick-replay prove   --data DIR    the log's checkpoint (C2SP): origin, size, root; with
          --position N [--size S]             that record N is in the log (RFC 6962 inclusion proof)
          --first A [--second B]              that the log of B records begins with that of A (consistency proof)
          --checkpoint FILE                   that the log still begins with what a saved checkpoint covers
      tallystick-replay what-if --data DIR --prices FILE [--plans FILE] [--from TIME] [--to TIME] [--org ORG]
                                              what calls would have cost with other prices or plans
          --apply [--yes]                     writes it as one set: the daemon stopped, or through it with
                                              --url URL --key KEY, or for curl with --events FILE
          --revert SET [--yes]                takes a set back, by the same ways
      tallystick-replay reconcile --data DIR --against FILE [--format litellm|csv] [--from TIME] [--to TIME]
                                              the log against a gateway's spend log or a provider's export
          --org ORG, --source PREFIX          only these calls
          --by id|facts, --tolerance-ms N     how a call is found
          --columns id=NAME,cost_usd=NAME     which columns of a CSV say what
          --tolerance-usd X, --limit N        what agrees; how many differences are listed
      tallystick-replay snapshot --data DIR --to PATH    log and read models at one position; PATH a folder or a .tar
          --incremental PREVIOUS              only what came after an earlier snapshot
      tallystick-replay verify  SNAPSHOT...   every byte of a snapshot and those before it; refolds, compares
      tallystick-replay restore SNAPSHOT... --data DIR   a new data folder; the last one and what it goes on from
      tallystick-replay pack    --data DIR --org ORG --period 2025-11 --to PATH
                                              what an auditor needs to recompute it all, with verify.py
          --checkpoint FILE                   and the proof that it is the log of a checkpoint that he has

    --json prints the result as one JSON object. All but import, rebuild and restore work beside a running daemon.
    Nothing is ever overwritten.
    Exit codes: 0 it holds, 1 it does not (and says where), 2 it could not run.
    """

/// What the usage says of one verb; all of it for a verb that there is not.
func usage(of verb: String) -> String {
    var isOf = false
    let lines = usage.split(separator: "\n").filter { line in
        if line.hasPrefix("  tallystick-replay ") {
            isOf = line.dropFirst("  tallystick-replay ".count).prefix { $0 != " " } == verb
        } else if !line.hasPrefix("    ") {
            isOf = false
        }
        return isOf
    }
    return lines.isEmpty ? usage : lines.joined(separator: "\n")
}

enum ExitCode {
    static let holds: Int32 = 0
    static let differs: Int32 = 1
    static let couldNotRun: Int32 = 2
}

/// It could not run: said on standard error, exit code 2.
struct Refusal: Error {
    var text: String
}

let arguments = Array(CommandLine.arguments.dropFirst())
umask(0o077)
// The log is read through a mapping: what the disk cannot give, or a file that is cut short meanwhile, is a signal.
signal(SIGBUS) { _ in
    let text: StaticString = "tallystick-replay: a page of the log could not be read: look at the disk\n"
    _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
    _exit(ExitCode.couldNotRun)
}
do {
    guard let verb = arguments.first else {
        Console.error(usage + "\n")
        exit(ExitCode.couldNotRun)
    }
    let rest = Array(arguments.dropFirst())
    if rest.contains("--help") || rest.contains("-h") {
        print(usage(of: verb))
        exit(ExitCode.holds)
    }
    switch verb {
    case "verify":
        let words = try Arguments(rest, options: ["checkpoint"])
        if words.data == nil, let last = words.folders.last, isSnapshot(last) {
            exit(try verify(snapshots: words.folders, words))
        }
        exit(try verify(words))
    case "rebuild": exit(try rebuild(Arguments(rest)))
    case "export": exit(try export(Arguments(rest)))
    case "import": exit(try importRecords(Arguments(rest)))
    case "diff": exit(try diff(rest))
    case "as-of": exit(try asOf(rest))
    case "explain": exit(try explain(rest))
    case "statement": exit(try statement(rest))
    case "prove":
        exit(
            try prove(
                Arguments(rest, options: ["position", "size", "first", "second", "checkpoint", "log-origin"])))
    case "what-if": exit(try whatIf(rest))
    case "reconcile": exit(try reconcile(rest))
    case "snapshot": exit(try snapshot(Arguments(rest, options: ["to", "incremental", "log-origin"])))
    case "restore": exit(try restore(Arguments(rest)))
    case "pack": exit(try pack(Arguments(rest, options: ["to", "org", "period", "checkpoint", "log-origin"])))
    case "help", "--help", "-h":
        print(usage)
    default:
        throw Refusal(text: "unknown verb \(verb); see `tallystick-replay help`")
    }
} catch let refusal as Refusal {
    Console.error("tallystick-replay: \(refusal.text)\n")
    exit(ExitCode.couldNotRun)
} catch {
    Console.error("tallystick-replay: \(error)\n")
    // A log that is damaged at its end is refused when it is opened: it does not hold, it is not that nobody could
    // look.
    switch error {
    case LogError.corrupt, LogError.tooShort, SnapshotError.differs: exit(ExitCode.differs)
    default: exit(ExitCode.couldNotRun)
    }
}
