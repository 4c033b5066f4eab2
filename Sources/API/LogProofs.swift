internal import Audit
internal import Billing
internal import EventLog
internal import Formats
internal import Hashing
internal import HTTP
internal import JSON
internal import Platform
internal import Records

/// What the log says of itself, for those who trust nobody: checkpoints and the proofs of RFC 6962 (contract 4).
extension API {
    /// C2SP tlog-checkpoint, unsigned: signing is done elsewhere, with a key that the daemon never sees.
    func getCheckpoint(_ query: Question) async throws -> Response {
        try query.check("size")
        let wanted = try query.integer("size", in: 0...UInt64(Int64.max))
        let view = try await view(covering: [("size", wanted)], query)
        let size = wanted ?? view.size
        let root = try await read { try view.root(of: size) }
        let checkpoint = Checkpoint(origin: logOrigin, size: size, root: root)
        return Response(
            status: 200,
            headers: [("Content-Type", "text/plain; charset=utf-8"), ("X-Position", String(view.size))],
            body: Array(checkpoint.text.utf8))
    }

    func proveInclusion(_ query: Question) async throws -> Response {
        try query.check("position", "size")
        guard let position = try query.integer("position", in: 1...UInt64(Int64.max)) else {
            throw ProblemError(
                400, "invalid_parameter", "position is needed: whose record is proved", field: "position")
        }
        let wanted = try query.integer("size", in: 1...UInt64(Int64.max))
        guard position <= wanted ?? log.highWater else {
            if wanted != nil {
                throw ProblemError(
                    400, "invalid_parameter", "position \(position) is not in a tree of that size", field: "size")
            }
            throw ProblemError(404, "not_found", "there is no event at position \(position)")
        }
        // A confined key learns of other orgs' records not even that they are there.
        guard let stored = try await reader.record(at: position),
            query.key.org == nil || stored.record.event.fact.org == query.key.org
        else { throw ProblemError(404, "not_found", "there is no event at position \(position)") }
        let view = try await view(covering: [("position", position), ("size", wanted)], query)
        let size = wanted ?? view.size
        let (hash, hashes) = try await read { try view.inclusion(of: position, size: size) }
        guard hash == stored.hash else {
            throw ProblemError(
                500, "tiles_differ",
                "the record at position \(position) is not the one that was hashed into the tree: run "
                    + "tallystick-replay verify")
        }
        return Answers.json(position: view.size) { writer in
            writer.object { writer in
                writer.member("position", integer: position)
                writer.member("size", integer: size)
                writer.member("record_hash", string: hash.base64)
                writer.key("hashes")
                writer.array(hashes) { $0.string($1.base64) }
            }
        }
    }

    func proveConsistency(_ query: Question) async throws -> Response {
        try query.check("first", "second")
        guard let first = try query.integer("first", in: 0...UInt64(Int64.max)) else {
            throw ProblemError(
                400, "invalid_parameter", "first is needed: the size of the earlier tree", field: "first")
        }
        let wanted = try query.integer("second", in: 0...UInt64(Int64.max))
        guard first <= wanted ?? log.highWater else {
            throw ProblemError(
                400, "invalid_parameter", "first \(first) is after second \(wanted ?? log.highWater)", field: "first")
        }
        let view = try await view(covering: [("first", first), ("second", wanted)], query)
        let second = wanted ?? view.size
        let hashes = try await read { try view.consistency(first: first, second: second) }
        return Answers.json(position: view.size) { writer in
            writer.object { writer in
                writer.member("first", integer: first)
                writer.member("second", integer: second)
                writer.key("hashes")
                writer.array(hashes) { $0.string($1.base64) }
            }
        }
    }

    /// The tree once it has the records that are asked about and what the asker must see.
    private func view(covering sizes: [(name: String, size: UInt64?)], _ query: Question) async throws -> TreeView {
        for (name, size) in sizes {
            guard let size, size > log.highWater else { continue }
            throw ProblemError(400, "invalid_parameter", "the log ends at position \(log.highWater)", field: name)
        }
        let wanted = sizes.reduce(try query.minPosition()) { max($0, $1.size ?? 0) }
        let view = await tree.view(covering: wanted, milliseconds: limits.waitMillisecondsMax)
        guard view.size >= wanted else {
            let fault = tree.status.fault.map { ": \($0)" } ?? "; nothing is lost, ask again"
            throw ProblemError(
                problem: Problem(
                    503, "not_caught_up", "the tree has \(view.size) records, not yet \(wanted)\(fault)",
                    headers: [("Retry-After", "1"), ("X-Position", String(view.size))]))
        }
        return view
    }

    /// Reads tiles. One that is damaged gives no proof.
    private func read<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        do {
            return try await reader.run(body)
        } catch let error as TileError {
            LogLine.write(.error, "a proof could not be given", ["reason": "\(error)"])
            throw ProblemError(500, "tiles_damaged", "\(error)")
        }
    }
}
