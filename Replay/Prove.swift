import EventLog
import Glibc
import Hashing
import JSON
import Platform

/// `prove`: what the log says of itself, for somebody who trusts nobody: a checkpoint, that a record is in it, that a
/// later one begins with an earlier one, or that the log still has what a saved checkpoint covers. All of it from the
/// log's own records, each hashed anew.
func prove(_ arguments: Arguments) throws -> Int32 {
    let folder = try DataFolder(try arguments.folder())
    let highWater = folder.log.highWater
    let origin = arguments["log-origin"] ?? Checkpoint.standardOrigin(logID: folder.log.id)
    guard Checkpoint.isOrigin(origin) else { throw Refusal(text: "--log-origin: \(origin) cannot be an origin") }
    let positions = 1...UInt64(Int64.max)
    let size = try arguments.integer("size", in: 0...UInt64(Int64.max))
    let position = try arguments.integer("position", in: positions)
    let first = try arguments.integer("first", in: 0...UInt64(Int64.max))
    let second = try arguments.integer("second", in: 0...UInt64(Int64.max))
    for (name, end) in [("size", size), ("second", second), ("position", position), ("first", first)] {
        if let end, end > highWater { throw Refusal(text: "--\(name) \(end): the log ends at position \(highWater)") }
    }
    let answer: Proof
    switch (arguments["checkpoint"], position, first, second) {
    case (let path?, nil, nil, nil) where size == nil:
        answer = try Proof.stillHolds(SavedCheckpoint(path), folder.log, origin: origin)
    case (nil, let position?, nil, nil):
        let size = size ?? highWater
        guard position <= size else { throw Refusal(text: "position \(position) is not in the first \(size) records") }
        answer = try Proof.inclusion(of: position, size: size, folder.log, origin: origin)
    case (nil, nil, let first?, let second) where size == nil:
        let second = second ?? highWater
        guard first <= second else { throw Refusal(text: "--first \(first) is after --second \(second)") }
        answer = try Proof.consistency(first: first, second: second, folder.log, origin: origin)
    case (nil, nil, nil, nil):
        answer = try Proof.checkpoint(size: size ?? highWater, folder.log, origin: origin)
    default:
        throw Refusal(
            text: "one of: --position N [--size S], --first A [--second B], --checkpoint FILE, or [--size S] alone")
    }
    print(arguments.json ? answer.json : answer.text, terminator: "")
    return answer.holds ? ExitCode.holds : ExitCode.differs
}

/// One answer of `prove`, as text and as JSON.
private struct Proof {
    var holds = true
    var text: String
    var json: String

    private init(holds: Bool = true, text: String, _ members: (inout JSONWriter) -> Void) {
        self.holds = holds
        self.text = text
        var writer = JSONWriter()
        writer.beginObject()
        members(&writer)
        writer.endObject()
        json = String(decoding: writer.bytes, as: UTF8.self) + "\n"
    }

    static func checkpoint(size: UInt64, _ log: EventLog, origin: String) throws -> Proof {
        let checkpoint = Checkpoint(origin: origin, size: size, root: try collect([], size: size, log).range.root)
        return Proof(text: checkpoint.text) { $0.members(of: checkpoint) }
    }

    static func inclusion(of position: UInt64, size: UInt64, _ log: EventLog, origin: String) throws -> Proof {
        let plan = MerkleProof.inclusion(of: position - 1, size: size)
        let leaf = MerkleNode(level: 0, index: position - 1)
        let tree = try collect(plan.flatMap(\.self) + [leaf], size: size, log)
        let hashes = MerkleProof.hashes(plan, node: tree.hash)
        let hash = tree.hash(of: leaf)
        let checkpoint = Checkpoint(origin: origin, size: size, root: tree.range.root)
        precondition(MerkleProof.includes(hash, at: position - 1, size: size, root: checkpoint.root, hashes))
        let text = """
            record \(position) is leaf \(position - 1) of this tree (RFC 6962), leaf hash \(hash.base64)
            \(checkpoint.text)\(hashes.map { "  \($0.base64)\n" }.joined())
            """
        return Proof(text: text) { writer in
            writer.member("position", integer: position)
            writer.member("size", integer: size)
            writer.member("record_hash", string: hash.base64)
            writer.hashes(hashes)
            writer.member("root", string: checkpoint.root.base64)
            writer.member("checkpoint", string: checkpoint.text)
        }
    }

    static func consistency(first: UInt64, second: UInt64, _ log: EventLog, origin: String) throws -> Proof {
        let plan = MerkleProof.consistency(first: first, second: second)
        let before = MerkleProof.root(size: first)
        let tree = try collect(plan.flatMap(\.self) + before, size: second, log)
        let hashes = MerkleProof.hashes(plan, node: tree.hash)
        let roots = (Merkle.fold(before.map(tree.hash)), tree.range.root)
        precondition(MerkleProof.isConsistent(first: first, roots.0, second: second, roots.1, hashes))
        let checkpoint = Checkpoint(origin: origin, size: second, root: roots.1)
        let text = """
            this tree begins with the tree of the first \(first) records, root \(roots.0.base64)
            \(checkpoint.text)\(hashes.map { "  \($0.base64)\n" }.joined())
            """
        return Proof(text: text) { writer in
            writer.member("first", integer: first)
            writer.member("second", integer: second)
            writer.hashes(hashes)
            writer.member("first_root", string: roots.0.base64)
            writer.member("second_root", string: roots.1.base64)
        }
    }

    static func stillHolds(_ saved: SavedCheckpoint, _ log: EventLog, origin: String) throws -> Proof {
        let root = saved.size <= log.highWater ? try collect([], size: saved.size, log).range.root : nil
        let fault = saved.fault(root: root, highWater: log.highWater)
        let note = saved.note(origin: origin)
        let verdict = fault.map { "DOES NOT HOLD: \($0)" }
            ?? "holds: the log begins with the \(saved.size) records of \(saved.path)"
        return Proof(holds: fault == nil, text: verdict + "\n" + (note.map { "note: \($0)\n" } ?? "")) { writer in
            writer.member("holds", bool: fault == nil)
            writer.member("high_water", integer: log.highWater)
            writer.member("size", integer: saved.size)
            writer.member("checkpoint_root", string: saved.checkpoint.root.base64)
            if let root { writer.member("root", string: root.base64) }
            writer.member("detail", string: fault ?? "")
            if let note { writer.member("note", string: note) }
        }
    }

    /// One walk over the first `size` records, in the memory of the nodes that are wanted. Every hash of the log on
    /// the way is checked.
    private static func collect(_ wanted: [MerkleNode], size: UInt64, _ log: EventLog) throws -> MerkleCollector {
        var collector = MerkleCollector(wanted)
        var meter = Meter("prove", total: size)
        _ = try log.verify(
            through: size, progress: { meter.reach(min($0, size)) },
            record: { position, _, hash in if position <= size { collector.append(hash) } })
        _ = meter.end()
        return collector
    }
}

extension JSONWriter {
    fileprivate mutating func hashes(_ hashes: [Digest]) {
        key("hashes")
        beginArray()
        for hash in hashes { string(hash.base64) }
        endArray()
    }

    fileprivate mutating func members(of checkpoint: Checkpoint) {
        member("origin", string: checkpoint.origin)
        member("size", integer: checkpoint.size)
        member("root", string: checkpoint.root.base64)
        member("checkpoint", string: checkpoint.text)
    }
}
