import JSON

/// A firing as the daemon tells it.
struct Firing {
    var number: Int64
    var position: Int64
    var alert: [UInt8]
    /// The object, to be posted as it is.
    var body: [UInt8]
}

/// The daemon's list of firings.
struct Feed {
    static let pageMax = 1000

    let web: Web
    let url: String
    let key: String

    struct Fault: Error, CustomStringConvertible {
        var description: String
        /// The daemon was reached and does not want to answer: a wrong key or address.
        var isRefusal: Bool
    }

    /// At most `limit` firings after `number`, in order.
    func firings(after number: Int64, limit: Int) throws(Fault) -> [Firing] {
        let answer: Web.Answer
        do {
            answer = try web.get(
                "\(url)/v1/alerts/firings?after=\(number)&limit=\(limit)",
                headers: [("Authorization", "Bearer \(key)"), ("Accept", "application/json")])
        } catch {
            throw Fault(description: "the daemon does not answer: \(error)", isRefusal: false)
        }
        guard answer.status == 200 else {
            let said = (try? JSONValue.parse(answer.body))?["detail"]?.string ?? ""
            throw Fault(
                description: "the daemon answers \(answer.status) \(said)",
                isRefusal: (400..<500).contains(answer.status) && answer.status != 429)
        }
        guard let document = try? JSONValue.parse(answer.body), case .array(let items)? = document["firings"] else {
            throw Fault(description: "\(url) is not a daemon that knows alerts", isRefusal: true)
        }
        var firings: [Firing] = []
        for item in items {
            guard let number = item["number"]?.number.flatMap(Int64.init),
                let position = item["position"]?.number.flatMap(Int64.init), let alert = item["alert"]?.string,
                number > firings.last?.number ?? 0
            else { throw Fault(description: "the daemon lists a firing that is none", isRefusal: true) }
            var json = JSONWriter()
            json.value(item)
            firings.append(
                Firing(number: number, position: position, alert: Array(alert.utf8), body: json.bytes))
        }
        return firings
    }
}
