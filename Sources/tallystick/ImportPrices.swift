import Billing
import Formats
import Glibc
import JSON
import Platform

/// `tallystick import-prices FILE`: LiteLLM's cost map to one `prices.published` event on standard output, to be posted
/// with a key of scope admin; what it could not carry over on standard error.
func importPrices(_ arguments: [String]) {
    do {
        try importPrices(Flags(arguments[...], known: ["effective-at", "id", "source", "file"], positional: "file"))
    } catch let fault as Settings.Fault {
        fail(fault.text)
    } catch let fault as LiteLLMCostMap.Fault {
        fail("\(fault)", code: 65)
    } catch {
        fail("\(error)", code: 74)
    }
}

/// The map has some 2 MB.
private let mapBytesMax = 256 << 20

private func importPrices(_ flags: Flags) throws {
    guard let file = flags["file"], !file.isEmpty else {
        throw Settings.Fault(text: "import-prices needs the file of LiteLLM's cost map")
    }
    var effectiveAt: Timestamp?
    if let text = flags["effective-at"] {
        guard let time = Timestamp(rfc3339: text) else {
            throw Settings.Fault(text: "--effective-at must be an RFC 3339 time such as 2027-01-01T00:00:00Z")
        }
        effectiveAt = time
    }
    let id = try flags.id("id")
    let source = try flags.id("source") ?? Name(checked: "import-prices")

    let bytes = try File.read(file, bytesMax: mapBytesMax)
    let map: JSONValue
    do throws(JSONError) {
        map = try JSONValue.parse(bytes)
    } catch {
        fail("\(file) is not JSON: \(error)", code: 65)
    }
    let conversion = try LiteLLMCostMap.convert(map, effectiveAt: effectiveAt)
    for line in conversion.report.lines { Console.error(line + "\n") }
    guard !conversion.list.rules.isEmpty else { fail("\(file) has no price that a rule can say", code: 65) }

    let event = conversion.event(source: source, id: id)
    var writer = JSONWriter(reservingCapacity: bytes.count)
    NativeFormat.write(event, into: &writer)
    // What is printed is what the daemon reads, or it is a bug.
    let parsed = try NativeFormat.parse(body: writer.bytes, eventsMax: 1)
    guard parsed.items.count == 1, parsed.items[0].result == .success(event) else {
        fail("the event is not what the daemon would read: \(parsed.items)", code: 70)
    }
    Console.output(String(decoding: writer.bytes, as: UTF8.self) + "\n")
}
