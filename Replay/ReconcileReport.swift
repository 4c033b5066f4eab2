import Billing
import Formats
import JSON
import Platform

/// What a reconciliation found. With `json` every difference is written as it is found; else the first `limit` of them.
struct ReconcileReport {
    fileprivate struct Side {
        var calls = 0
        var inputTokens: Int128 = 0
        var outputTokens: Int128 = 0
        var picodollars: Int128 = 0
        var costUnknown = 0
    }
    private struct Model {
        var here = Side()
        var there = Side()
    }

    private let json: Bool
    private let limit: Int
    private var models: [String: Model] = [:]
    private var matched: [Reconciliation.By: Int] = [:]
    private var different = 0
    private var missingHere = 0
    private var missingThere = 0
    private var conflictsThere = 0
    private var listed = 0
    private var lines = ""

    init(json: Bool, limit: Int) {
        self.json = json
        self.limit = limit
        if json { Console.output("{\"differences\":[") }
    }

    private var differences: Int { different + missingHere + missingThere + conflictsThere }
    var agrees: Bool { differences == 0 }

    mutating func countHere(_ call: Reconciliation.Call) {
        models[call.model, default: Model()].here.add(call.inputTokens, call.outputTokens, call.cost)
    }

    mutating func countThere(_ row: SpendRow) {
        models[row.model ?? "", default: Model()].there.add(row.inputTokens, row.outputTokens, row.cost)
    }

    /// `call`: ours, where there is one.
    mutating func add(_ finding: Reconciliation.Finding, _ call: Reconciliation.Call?) {
        switch finding {
        case .matched(let row, let by, let differing):
            matched[by, default: 0] += 1
            // Logs from before bookkeeping was told from calls hold it as calls.
            if row.isBookkeeping { countThere(row) }
            guard !differing.isEmpty else { return }
            different += 1
            list("different", call, row, by: by, differing: differing)
        case .missingHere(let row):
            missingHere += 1
            list("missing_here", nil, row)
        case .missingThere:
            missingThere += 1
            list("missing_there", call, nil)
        case .conflictThere(let row):
            conflictsThere += 1
            list("twice_there", nil, row)
        }
    }

    private mutating func list(
        _ kind: String, _ call: Reconciliation.Call?, _ row: SpendRow?, by: Reconciliation.By? = nil,
        differing: [String] = []
    ) {
        listed += 1
        guard json else {
            guard listed <= limit else { return }
            let id = row?.id ?? call?.id ?? "?"
            let place = call.map { " (position \($0.position))" } ?? ""
            let sides = [call.map { "here \(Self.text($0.inputTokens, $0.outputTokens, $0.cost))" },
                row.map { "there \(Self.text($0.inputTokens, $0.outputTokens, $0.cost))" }]
            lines += "\(kind.replacing("_")): \(id)\(place) \(row?.model ?? call?.model ?? "") "
                + "\((call?.time ?? row?.time)?.rfc3339 ?? ""): \(sides.compactMap { $0 }.joined(separator: ", "))\n"
            return
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("kind", string: kind)
        writer.member("id", string: row?.id ?? call?.id)
        writer.member("position", integer: call?.position)
        writer.member("time", string: (call?.time ?? row?.time)?.rfc3339)
        writer.member("model", string: row?.model ?? call?.model)
        writer.member("by", string: by?.rawValue)
        if !differing.isEmpty {
            writer.key("differing")
            writer.beginArray()
            for member in differing { writer.string(member) }
            writer.endArray()
        }
        if let call { Self.write("here", call.inputTokens, call.outputTokens, call.cost, into: &writer) }
        if let row { Self.write("there", row.inputTokens, row.outputTokens, row.cost, into: &writer) }
        writer.endObject()
        Console.output((listed > 1 ? "," : "") + "\n" + writer.text)
    }

    func finish(duplicatesThere: Int, bookkeepingThere: Int, range: Range<Timestamp>) {
        let counts = [
            ("matched", matched.values.reduce(0, +)), ("matched_by_id", matched[.id] ?? 0),
            ("matched_by_facts", matched[.facts] ?? 0), ("different", different), ("missing_here", missingHere),
            ("missing_there", missingThere), ("twice_there", conflictsThere), ("duplicates_there", duplicatesThere),
            ("bookkeeping_there", bookkeepingThere),
        ]
        let sorted = models.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        var totals = Model()
        for (_, model) in sorted {
            totals.here.add(model.here)
            totals.there.add(model.there)
        }
        if json {
            Console.output("\n]," + summary(counts, sorted.map { ($0.key, $0.value) }, totals, range) + "\n")
            return
        }
        Console.output(lines)
        if listed > limit { Console.output("... and \(listed - limit) more: --limit, or --json for all\n") }
        var table = TextTable([
            .init("model", isText: true), .init("calls here"), .init("there"), .init("tokens here"), .init("there"),
            .init("$ here"), .init("$ there"), .init("$ difference"),
        ])
        for (name, model) in sorted { table.add(cells(name.isEmpty ? "(none said)" : name, model)) }
        table.add(cells("total", totals), isTotal: true)
        Console.output(table.text)
        for (name, count) in counts { Console.output("\(name.replacing("_")): \(Amount.grouped(String(count)))\n") }
        if totals.here.costUnknown > 0 {
            Console.output("calls here without a cost, which agree with any: \(totals.here.costUnknown)\n")
        }
        Console.output(agrees ? "agrees\n" : "DOES NOT AGREE: \(Amount.grouped(String(differences))) differences\n")
    }

    private func summary(
        _ counts: [(String, Int)], _ models: [(String, Model)], _ totals: Model, _ range: Range<Timestamp>
    ) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("agrees", bool: agrees)
        writer.member("from", string: range.lowerBound.rfc3339)
        writer.member("to", string: range.upperBound.rfc3339)
        for (name, count) in counts {
            writer.key(name)
            writer.integer(count)
        }
        Self.write(totals, into: &writer)
        writer.key("models")
        writer.beginArray()
        for (name, model) in models {
            writer.beginObject()
            writer.member("model", string: name)
            Self.write(model, into: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return "\"summary\":\(writer.text)}"
    }

    private static func write(_ model: Model, into writer: inout JSONWriter) {
        for (name, side) in [("here", model.here), ("there", model.there)] {
            writer.key(name)
            writer.beginObject()
            writer.member("calls", integer: side.calls)
            writer.member("input_tokens", integer: side.inputTokens)
            writer.member("output_tokens", integer: side.outputTokens)
            writer.member("cost_usd", string: dollars(side.picodollars))
            writer.member("cost_unknown", integer: side.costUnknown)
            writer.endObject()
        }
        writer.member("difference_usd", string: dollars(model.there.picodollars - model.here.picodollars))
    }

    private static func write(
        _ name: String, _ input: Int64?, _ output: Int64?, _ cost: Decimal?, into writer: inout JSONWriter
    ) {
        writer.key(name)
        writer.beginObject()
        writer.member("input_tokens", integer: input)
        writer.member("output_tokens", integer: output)
        writer.member("cost_usd", string: cost?.text)
        writer.endObject()
    }

    private static func text(_ input: Int64?, _ output: Int64?, _ cost: Decimal?) -> String {
        "\(input.map(String.init) ?? "?")+\(output.map(String.init) ?? "?") tokens $\(cost?.text ?? "?")"
    }

    private func cells(_ name: String, _ model: Model) -> [String] {
        let (here, there) = (model.here, model.there)
        let counts = [
            Int128(here.calls), Int128(there.calls), here.inputTokens + here.outputTokens,
            there.inputTokens + there.outputTokens,
        ]
        let amounts = [here.picodollars, there.picodollars, there.picodollars - here.picodollars]
        return [name] + counts.map { Amount.grouped(String($0)) }
            + amounts.map { Amount.grouped(Self.dollars($0)) }
    }

    private static func dollars(_ picodollars: Int128) -> String { Amount.text(picodollars, decimals: 12) }
}

extension ReconcileReport.Side {
    fileprivate mutating func add(_ input: Int64?, _ output: Int64?, _ cost: Decimal?) {
        calls += 1
        inputTokens += Int128(input ?? 0)
        outputTokens += Int128(output ?? 0)
        picodollars += cost?.picodollars ?? 0
        if cost == nil { costUnknown += 1 }
    }

    fileprivate mutating func add(_ other: Self) {
        calls += other.calls
        inputTokens += other.inputTokens
        outputTokens += other.outputTokens
        picodollars += other.picodollars
        costUnknown += other.costUnknown
    }
}

extension String {
    /// "missing_here" as "missing here".
    fileprivate func replacing(_ mark: Character) -> String { String(map { $0 == mark ? " " : $0 }) }
}
