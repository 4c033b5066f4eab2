import JSON
import Platform

/// Which firings are done with, on disk: everything up to `through`, and some after it.
struct Delivered {
    static let bytesMax = 4 << 20

    /// The last firing of which all before it are done; 0 when there is none.
    var through: Int64 = 0
    /// Of the firing `through`: numbers of another log would not agree with it.
    var position: Int64 = 0
    /// Done, after `through`.
    var beyond: Set<Int64> = []

    struct Fault: Error, CustomStringConvertible {
        var description: String
    }

    /// Nil when there is no such file.
    static func read(_ path: String) throws -> Delivered? {
        guard File.exists(path) else { return nil }
        let document: JSONValue
        do {
            document = try JSONValue.parse(try File.read(path, bytesMax: bytesMax))
        } catch {
            throw Fault(description: "\(path) cannot be read: \(error)")
        }
        func number(_ value: JSONValue?) -> Int64? {
            value?.number.flatMap(Int64.init).flatMap { $0 >= 0 ? $0 : nil }
        }
        guard let through = number(document["through"]), let position = number(document["position"]),
            case .array(let elements)? = document["beyond"]
        else { throw Fault(description: "\(path) is not a state file of this program") }
        var delivered = Delivered(through: through, position: position)
        for element in elements {
            guard let number = number(element) else { throw Fault(description: "\(path): not a number in beyond") }
            delivered.beyond.insert(number)
        }
        return delivered
    }

    /// On disk when it returns; the old file or the new one after a crash.
    func write(_ path: String) throws {
        var json = JSONWriter()
        json.beginObject()
        json.member("through", integer: through)
        json.member("position", integer: position)
        json.key("beyond")
        json.beginArray()
        for number in beyond.sorted() { json.integer(number) }
        json.endArray()
        json.endObject()
        try DurableFile.replace(path, with: json.bytes + [0x0A])
    }
}
