import Glibc

/// What came out of a run.
struct Measurement: Sendable {
    var events = 0
    var failures = 0
    /// One a request, in microseconds.
    var latencies: [UInt32] = []

    mutating func add(_ other: Measurement) {
        events += other.events
        failures += other.failures
        latencies += other.latencies
    }

    /// One line of JSON.
    func line(options: Options, nanoseconds: UInt64) -> String {
        let sorted = latencies.sorted()
        func percentile(_ thousandths: Int) -> String {
            guard !sorted.isEmpty else { return "null" }
            let micros = sorted[min(sorted.count - 1, sorted.count * thousandths / 1000)]
            return thousandth(UInt64(micros))
        }
        let perSecond = nanoseconds == 0 ? 0 : UInt64(events) * 1_000_000 / max(1, nanoseconds / 1000)
        var line =
            "{\"mode\":\"\(options.mode.rawValue)\",\"connections\":\(options.connections),"
            + "\"batch\":\(options.batch),\"events\":\(events),\"seconds\":\(thousandth(nanoseconds / 1_000_000)),"
            + "\"events_per_second\":\(perSecond),\"p50_ms\":\(percentile(500)),\"p99_ms\":\(percentile(990)),"
            + "\"max_ms\":\(percentile(1000)),\"failures\":\(failures)"
        if let pid = options.pid, let kilobytes = anonymousMemory(of: pid) {
            line += ",\"rss_anon_mb\":\(thousandth(kilobytes * 1000 / 1024))"
        }
        return line + "}"
    }
}

private func thousandth(_ number: UInt64) -> String {
    let rest = String(number % 1000)
    return "\(number / 1000)." + String(repeating: "0", count: 3 - rest.utf8.count) + rest
}

/// RssAnon of a process in KiB: what it holds itself, without the pages of mapped files. proc(5).
private func anonymousMemory(of pid: Int32) -> UInt64? {
    guard let file = fopen("/proc/\(pid)/status", "r") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 256)
    while fgets(&buffer, Int32(buffer.count), file) != nil {
        let line = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        guard line.starts(with: "RssAnon:".utf8) else { continue }
        return line.filter { (48...57).contains($0) }.reduce(0) { $0 * 10 + UInt64($1 - 48) }
    }
    return nil
}
