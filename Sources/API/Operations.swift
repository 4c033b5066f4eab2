internal import Audit
internal import Billing
internal import Engine
internal import EventLog
internal import Formats
internal import HTTP
internal import JSON
internal import Projections
internal import Schemas

/// How the daemon itself is: alive, ready, its figures, its description.
extension API {
    func openapi() -> Response {
        Response(status: 200, headers: [("Content-Type", "application/json")], body: Schema.openapi)
    }

    /// Ready: recovered (or this would not be answered), room in the log, projectors moving and near.
    func readyz() async -> Response {
        var reasons: [String] = []
        if writer.statistics.isFull { reasons.append("the log is full") }
        for status in models.statuses {
            if case .stopped(let reason) = status.state {
                reasons.append("projector \(status.name) is stopped: \(reason)")
            } else if status.lag > limits.lagRecordsMax {
                reasons.append("projector \(status.name) is \(status.lag) records behind")
            }
        }
        if let fault = tree.status.fault { reasons.append("the Merkle tree is stopped: \(fault)") }
        let warnings = await self.warnings()
        return Answers.json(reasons.isEmpty ? 200 : 503, position: log.highWater) { writer in
            writer.object { writer in
                writer.member("status", string: reasons.isEmpty ? "ready" : "not ready")
                writer.key("reasons")
                writer.array(reasons) { $0.string($1) }
                writer.key("warnings")
                writer.array(warnings) { $0.string($1) }
            }
        }
    }

    func projections(_ query: Question) async throws -> Response {
        try query.check()
        let wanted = try query.minPosition()
        for status in models.statuses where wanted > status.progress {
            await models.wait(status.name, until: wanted, timeoutMilliseconds: limits.waitMillisecondsMax)
        }
        if wanted <= log.highWater { _ = await tree.view(covering: wanted, milliseconds: limits.waitMillisecondsMax) }
        let statuses = models.statuses
        let tree = self.tree.status
        return Answers.json(position: log.highWater) { writer in
            writer.object { writer in
                writer.member("high_water", integer: log.highWater)
                writer.key("tree")
                writer.object { writer in
                    writer.member("progress", integer: tree.progress)
                    writer.member("lag", integer: log.highWater - min(log.highWater, tree.progress))
                    writer.member("state", string: tree.fault == nil ? "running" : "stopped")
                    if let fault = tree.fault { writer.member("reason", string: fault) }
                }
                writer.key("projections")
                writer.array(statuses) { writer, status in
                    writer.object { writer in
                        writer.member("name", string: status.name)
                        writer.member("progress", integer: status.progress)
                        writer.member("lag", integer: status.lag)
                        writer.member("digest", string: status.digest)
                        writer.member("state", string: status.state.name)
                        if case .stopped(let reason) = status.state { writer.member("reason", string: reason) }
                        if let time = status.recordedAt { writer.member("recorded_at", string: time.rfc3339) }
                    }
                }
            }
        }
    }

    /// Prometheus text format, version 0.0.4.
    func metrics() async -> Response {
        var page = MetricsPage()
        let writer = self.writer.statistics
        page.counter("tallystick_events_stored_total", "Events stored.", writer.stored)
        page.counter("tallystick_events_duplicate_total", "Events that were stored before.", writer.duplicates)
        page.counter(
            "tallystick_events_conflict_total", "Events refused: same key, other content.", writer.conflicts)
        page.counter("tallystick_events_rejected_total", "Events that admission refused.", writer.rejected)
        page.counter(
            "tallystick_submissions_overloaded_total", "Requests refused: too much was waiting.", writer.overloaded)
        page.counter("tallystick_submissions_full_total", "Requests refused: the log was full.", writer.full)
        page.gauge(
            "tallystick_own_events_refused", "Kinds of events of the daemon's own that are due and not taken.",
            UInt64(writer.ownRefused.count))
        page.gauge(
            "tallystick_foreign_records", "Records of clients that were met under ids of the daemon's own events.",
            UInt64(writer.foreign.count))
        page.counter("tallystick_record_bytes_total", "Bytes of records stored.", writer.recordBytes)
        page.gauge("tallystick_writer_pending_bytes", "Bytes waiting for the writer.", UInt64(writer.pendingBytes))
        page.gauge(
            "tallystick_writer_pending_submissions", "Requests waiting for the writer.",
            UInt64(writer.pendingSubmissions))
        page.histogram(
            "tallystick_commit_seconds", "Time of a commit with its fsync.",
            boundsMicroseconds: WriterStatistics.commitBoundsMicroseconds, buckets: writer.commitBuckets,
            sumMicroseconds: writer.commitMicroseconds)
        page.gauge("tallystick_log_high_water", "Last durable position.", log.highWater)
        if let usage = try? log.usage() {
            page.gauge("tallystick_log_bytes", "Bytes of the log in use.", UInt64(usage.bytesUsed))
            page.gauge("tallystick_log_map_bytes", "How large the log may become.", UInt64(usage.mapBytes))
        }
        page.gauge("tallystick_parked_items", "Items that could not be taken.", UInt64(await parked.count))
        let litellm = litellmTally
        page.labelled(
            "tallystick_litellm_bookkeeping_total", "Items of LiteLLM that are no call and state no tokens or cost.",
            "counter", label: "call_type", litellm.bookkeeping.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        page.labelled(
            "tallystick_litellm_unknown_call_types_total", "Items of LiteLLM taken for calls, their type unknown.",
            "counter", label: "call_type", litellm.unknown.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        page.counter(
            "tallystick_parked_dropped_total", "Items that could not be taken and found no room to be kept.",
            UInt64(await parked.droppedTotal))
        let statuses = models.statuses
        page.family("tallystick_projector_progress", "gauge", "Last position folded.", statuses) {
            ($0.name, $0.progress)
        }
        page.family("tallystick_projector_lag", "gauge", "Records not yet folded.", statuses) { ($0.name, $0.lag) }
        page.family("tallystick_projector_flushes_total", "counter", "Transactions.", statuses) {
            ($0.name, $0.flushes)
        }
        page.family("tallystick_projector_up", "gauge", "0 when stopped.", statuses) { status in
            if case .stopped = status.state { (status.name, 0) } else { (status.name, 1) }
        }
        page.gauge(
            "tallystick_keys_file_ok", "0 when keys.json cannot be read or has damaged lines.",
            keys.fault == nil ? 1 : 0)
        let tree = tree.status
        page.gauge("tallystick_tree_size", "Records in the Merkle tree.", tree.progress)
        page.gauge("tallystick_tree_up", "0 when the Merkle tree does not go on.", tree.fault == nil ? 1 : 0)
        return Answers.text(type: "text/plain; version=0.0.4; charset=utf-8", page.text + extraMetrics())
    }
}

/// Builds a page of Prometheus text.
public struct MetricsPage: Sendable {
    public private(set) var text = ""

    public init() {}

    private mutating func head(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    public mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        head(name, "counter", help)
        text += "\(name) \(value)\n"
    }

    public mutating func gauge(_ name: String, _ help: String, _ value: UInt64) {
        head(name, "gauge", help)
        text += "\(name) \(value)\n"
    }

    mutating func family<Element>(
        _ name: String, _ type: String, _ help: String, _ elements: [Element],
        _ sample: (Element) -> (label: String, value: UInt64)
    ) {
        labelled(name, help, type, label: "projection", elements.map(sample))
    }

    /// A family of samples told apart by one label.
    public mutating func labelled(
        _ name: String, _ help: String, _ type: String, label: String, _ samples: [(String, UInt64)]
    ) {
        head(name, type, help)
        for (value, count) in samples {
            text += "\(name){\(label)=\"\(MetricsPage.escaped(value))\"} \(count)\n"
        }
    }

    /// The three characters that end a label's value or its line are written with a backslash before them.
    private static func escaped(_ value: String) -> String {
        var text = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }

    mutating func histogram(
        _ name: String, _ help: String, boundsMicroseconds: [UInt64], buckets: [UInt64], sumMicroseconds: UInt64
    ) {
        head(name, "histogram", help)
        var count: UInt64 = 0
        for (index, bucket) in buckets.enumerated() {
            count += bucket
            let bound = index < boundsMicroseconds.count ? MetricsPage.seconds(boundsMicroseconds[index]) : "+Inf"
            text += "\(name)_bucket{le=\"\(bound)\"} \(count)\n"
        }
        text += "\(name)_sum \(MetricsPage.seconds(sumMicroseconds))\n\(name)_count \(count)\n"
    }

    /// Microseconds as seconds, exactly.
    private static func seconds(_ microseconds: UInt64) -> String {
        let (whole, part) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        if part == 0 { return String(whole) }
        let digits = String(part)
        var fraction = String(repeating: "0", count: 6 - digits.utf8.count) + digits
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(whole).\(fraction)"
    }
}
