import Billing
import Formats
import Glibc
import HTTP
import JSON
import Records

/// libFuzzer's entry: one program, which target is in FUZZ_TARGET. What must never happen traps: libFuzzer keeps the
/// input. See README.md.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    switch target {
    case "http": fuzzHTTP(input)
    case "json": fuzzJSON(input)
    case "native": fuzzNative(input)
    case "litellm": fuzzLiteLLM(input)
    case "lago": fuzzLago(input)
    case "openmeter": fuzzOpenMeter(input)
    case "record": fuzzRecord(input)
    case "costmap": fuzzCostMap(input)
    case "canary": precondition(!input.starts(with: Array("boom".utf8)), "the canary: this must be found")
    default: preconditionFailure("FUZZ_TARGET is \(target)")
    }
    return 0
}

private let target = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? "unset"

// MARK: HTTP

/// What a parser made of the bytes, when it got them in these pieces.
private struct Reading: Equatable {
    var requests: [String] = []
    var bodies: [[UInt8]] = []
    var error: FramingError?
}

private func read(_ input: [UInt8], pieces: [Int]) -> Reading {
    var parser = RequestParser()
    var reading = Reading()
    var pending: [UInt8] = []
    var done = 0
    for end in pieces + [input.count] where end >= done && end <= input.count {
        pending += input[done..<end]
        done = end
        var consumed = 0
        parsing: while true {
            switch parser.next(pending.span, consumed: &consumed) {
            case .more:
                break parsing
            case .head(let head):
                look(at: head)
                if let error = parser.expectBody(bytesMax: 1000) {
                    reading.error = error
                    return reading
                }
            case .request(let request):
                reading.requests.append("\(request.head.methodName) \(request.target) \(request.head.keepAlive)")
                reading.bodies.append(request.body)
                precondition(request.body.count <= 1000, "a body of \(request.body.count) bytes over the limit")
            case .failed(let error):
                reading.error = error
                return reading
            }
            precondition(consumed <= pending.count, "consumed \(consumed) of \(pending.count)")
        }
        pending.removeFirst(consumed)
    }
    return reading
}

private func look(at head: RequestHead) {
    _ = (head.pathSegments, head.query, head.headers, head.header("host"), head.headerValues("prefer"), head.target)
}

/// The first byte says how many cuts there are, the bytes after it where; the rest is what a client sends. However it
/// is cut, the same requests must come out: no request is ever read out of another's body.
private func fuzzHTTP(_ input: [UInt8]) {
    guard let cuts = input.first.map({ Int($0 % 8) }), input.count > cuts + 1 else { return }
    let bytes = Array(input[(cuts + 1)...])
    let pieces = input[1..<(cuts + 1)].map { Int($0) * bytes.count / 255 }.sorted()
    let whole = read(bytes, pieces: [])
    precondition(read(bytes, pieces: pieces) == whole, "cut at \(pieces) other requests come out")
    precondition(read(bytes, pieces: Array(0..<min(bytes.count, 300))) == whole, "byte by byte other requests come out")
}

// MARK: JSON

/// Reading and skipping agree; what is read can be written and read again; an error is inside of the bytes and has a
/// path.
private func fuzzJSON(_ input: [UInt8]) {
    let read = Result { () throws(JSONError) in try JSONValue.parse(input) }
    let skipped = Result { () throws(JSONError) in
        var reader = JSONReader(input)
        try reader.skip()
        try reader.end()
    }
    switch (read, skipped) {
    case (.success(let value), .success):
        var writer = JSONWriter()
        writer.value(value)
        guard let again = try? JSONValue.parse(writer.bytes) else { preconditionFailure("written, it is not JSON") }
        precondition(again == value, "written and read again it is another")
    case (.failure(let error), .failure(let other)):
        precondition(error == other, "\(error), skipping \(other)")
        precondition((0...input.count).contains(error.offset), "\(error) in \(input.count) bytes")
        precondition(error.path(in: input).utf8.count <= 600, "a long path")
    default:
        preconditionFailure("reading and skipping do not agree: \(read), \(skipped)")
    }
}

// MARK: Doors

/// An event that a door made can be stored and comes back as it was.
private func store(_ event: Event, _ door: Door) {
    var bytes: [UInt8] = []
    RecordCodec.encode(event, door: door, key: nil, into: &bytes)
    let record = bytes.withUnsafeBytes { raw in try? RecordCodec.decode(raw) }
    precondition(record?.event == event, "stored, the event is another")
}

private func check(_ items: [DoorItem], _ door: Door, itemsMax: Int) {
    precondition(items.count <= itemsMax, "\(items.count) items")
    for item in items {
        switch item.outcome {
        case .event(let event), .job(let event): store(event, door)
        case .parked(let parked):
            precondition(!parked.code.isEmpty, "parked without a code")
            precondition(parked.itemHash != nil, "parked without the item's hash")
            for fact in parked.facts { precondition(fact.value.utf8.count <= EventID.bytesMax, "a fact is long") }
        case .skipped: break
        }
    }
}

/// What is taken is written as it would be in an answer, and read from that the same.
private func fuzzNative(_ input: [UInt8]) {
    guard let flags = input.first else { return }
    let body = Array(input.dropFirst())
    let org = flags & 2 == 0 ? nil : Name("org_default")
    guard let parsed = try? NativeFormat.parse(body: body, eventsMax: 20, defaultOrg: org, isNDJSON: flags & 1 == 1)
    else { return }
    precondition(parsed.items.count <= 20, "\(parsed.items.count) items")
    for case .success(let event) in parsed.items.map(\.result) {
        store(event, .native)
        var writer = JSONWriter()
        NativeFormat.write(event, into: &writer)
        let again = try? NativeFormat.parse(body: writer.bytes, eventsMax: 1, allowDaemonTypes: true)
        precondition(again?.items.first?.result == .success(event), "written and read again it is another event")
    }
}

private func fuzzLiteLLM(_ input: [UInt8]) {
    let org = (input.first ?? 0) & 1 == 0 ? nil : Name("org_default")
    let whole = litellm([input], org)
    check(whole ?? [], .litellm, itemsMax: input.count + 1)
    let middle = input.count / 2
    let cut = litellm([Array(input[..<middle]), Array(input[middle...])], org)
    precondition(cut == whole, "the items depend on how the body was cut")
}

private func litellm(_ pieces: [[UInt8]], _ org: Name?) -> [DoorItem]? {
    guard var body = try? LiteLLMBody(keyName: Name(checked: "key"), defaultOrg: org, itemBytesMax: 1 << 20) else {
        preconditionFailure("a short key name")
    }
    var items: [DoorItem] = []
    do {
        for piece in pieces { try body.take(piece, into: &items) }
        try body.end(into: &items)
        return items
    } catch {
        return nil
    }
}

private func fuzzLago(_ input: [UInt8]) {
    let items = (try? LagoFormat.batch(body: input)) ?? (try? [LagoFormat.event(body: input)]) ?? []
    let doorItems = items.map { item in
        guard let hash = item.itemHash else { preconditionFailure("an item of a body without a hash") }
        return DoorItem(index: item.index, outcome: item.outcome, hash: hash)
    }
    check(doorItems, .lago, itemsMax: LagoFormat.batchMax)
    if items.count == 1 { _ = LagoAnswer.stored(items[0], recordedAt: Timestamp(microseconds: 0)).body }
    _ = LagoAnswer.invalid(batch: items.map { ($0.index, $0.faults) }).body
}

private func fuzzOpenMeter(_ input: [UInt8]) {
    _ = OpenMeterFormat.recognizes(contentType: nil, body: input)
    let items = try? OpenMeterFormat.parse(body: input, defaultOrg: Name("org_default"), itemsMax: 20)
    check(items ?? [], .openmeter, itemsMax: 20)
}

private func fuzzCostMap(_ input: [UInt8]) {
    guard let map = try? JSONValue.parse(input), let conversion = try? LiteLLMCostMap.convert(map) else { return }
    _ = (conversion.report.lines, conversion.report.losses)
    let event = conversion.event(source: Name(checked: "s"), id: nil)
    store(event, .native)
    var writer = JSONWriter()
    NativeFormat.write(event, into: &writer)
    let again = try? NativeFormat.parse(body: writer.bytes, eventsMax: 1)
    precondition(again?.items.first?.result == .success(event), "the price list cannot be posted")
}

// MARK: Records

/// Any bytes are a record or an error; a record has exactly one spelling; a decoder that remembers agrees.
private func fuzzRecord(_ input: [UInt8]) {
    let outcome = input.withUnsafeBytes { raw in Result { () throws(RecordError) in try RecordCodec.decode(raw) } }
    let remembered = input.withUnsafeBytes { raw in
        Result { () throws(RecordError) in
            let decoder = RecordDecoder()
            _ = try decoder.decode(raw)
            return try decoder.decode(raw)
        }
    }
    guard case .success(let record) = outcome else {
        if case .success = remembered { preconditionFailure("only the decoder that remembers takes it") }
        return
    }
    guard case .success(record) = remembered else { preconditionFailure("the decoder that remembers has another") }
    var bytes: [UInt8] = []
    RecordCodec.encode(record, into: &bytes)
    precondition(bytes == input, "encoded again it is spelled otherwise")
}
