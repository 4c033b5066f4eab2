import Glibc

/// Requests made ahead of time; only the ids in them are written anew before each is sent.
struct Requests {
    static let orgs: UInt64 = 1000
    static let usersPerOrg: UInt64 = 20
    static let models = [
        "gpt-4o", "gpt-4o-mini", "gpt-5-mini", "claude-3.5-sonnet", "claude-sonnet-4-5", "mixtral-8x22b",
        "gemini-2.5-flash", "llama3-70b",
    ]
    /// Different requests made for each connection.
    static let variants = 32

    private var requests: [[UInt8]] = []
    private var idPlaces: [[Int]] = []
    private var next = 0
    private var sequence: UInt32 = 0

    /// `run` and `connection` make the ids of this run and connection its own.
    init(options: Options, run: UInt32, connection: Int) {
        var random = UInt64(connection + 1) &* 0x9E37_79B9_7F4A_7C15
        func roll(_ bound: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 33) % bound
        }
        let prefix = hex(run) + "-" + hex(UInt32(connection)) + "-"
        let time = now()
        let isEvents = options.mode != .look && options.mode != .hold
        let path = isEvents ? "events" : "authorizations"
        for _ in 0..<Requests.variants {
            var body: [UInt8] = []
            var places: [Int] = []
            if options.batch > 1 { body.append(UInt8(ascii: "[")) }
            for index in 0..<options.batch {
                if index > 0 { body.append(UInt8(ascii: ",")) }
                let org = roll(Requests.orgs)
                let input = roll(4000)
                if !isEvents {
                    body += Array("{\"id\":\"\(prefix)".utf8)
                    places.append(body.count)
                    let text =
                        "00000000\",\"org\":\"org-\(org)\",\"user\":\"user-\(org)-\(roll(Requests.usersPerOrg))\","
                        + "\"provider\":\"openai\",\"model\":\"gpt-4o\",\"input_tokens\":\(input),"
                        + "\"max_output_tokens\":1000,\"attributes\":{\"power_level\":\"balanced\"},"
                        + "\"hold\":\(options.mode == .hold)}"
                    body += Array(text.utf8)
                    continue
                }
                body += Array("{\"specversion\":\"1.0\",\"source\":\"bench\",\"id\":\"\(prefix)".utf8)
                places.append(body.count)
                let model = Requests.models[Int(roll(UInt64(Requests.models.count)))]
                let usage =
                    "{\"input_tokens\":\(input),\"output_tokens\":\(roll(1000)),\"cache_read_tokens\":\(input / 2)}"
                let text =
                    "00000000\",\"type\":\"llm.call\",\"time\":\"\(time)\",\"data\":{\"org\":\"org-\(org)\","
                    + "\"user\":\"user-\(org)-\(roll(Requests.usersPerOrg))\",\"provider\":\"openai\","
                    + "\"model\":\"\(model)\",\"operation\":\"chat\",\"status\":\"success\",\"usage\":\(usage),"
                    + "\"cost_usd\":\"0.00\(1000 + roll(9000))\",\"latency_ms\":\(roll(3000)),"
                    + "\"attributes\":{\"power_level\":\"balanced\"}}}"
                body += Array(text.utf8)
            }
            if options.batch > 1 { body.append(UInt8(ascii: "]")) }
            let head = Array(
                ("POST /v1/\(path) HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer \(options.key)\r\n"
                    + "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n").utf8)
            requests.append(head + body)
            idPlaces.append(places.map { $0 + head.count })
        }
    }

    /// Gives the next request, its events under ids never used before.
    mutating func withNext<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let index = next
        next = (next + 1) % requests.count
        for place in idPlaces[index] {
            sequence += 1
            for digit in 0..<8 {
                let nibble = UInt8((sequence >> UInt32(28 - 4 * digit)) & 15)
                requests[index][place + digit] = nibble < 10 ? 48 + nibble : 87 + nibble
            }
        }
        return requests[index].withUnsafeBytes(body)
    }
}

private func hex(_ number: UInt32) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 8 - digits.utf8.count) + digits
}

/// The time as RFC 3339, in seconds.
private func now() -> String {
    var seconds = time(nil)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
        + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
}
