import Billing
import Glibc
import JSON
import Platform

/// What the amendments of a set will do, told before anybody says yes: each call is rated again by all that is
/// published by now and in force at its own time, which may be more than when it came.
struct Forecast {
    private var before: Catalog
    private var after: Catalog
    private(set) var amendments: UInt64 = 0
    /// Charged otherwise than the table says: plans or lists of their time were published after they came.
    private(set) var otherwise: UInt64 = 0
    /// Would not come back to the digit when the set is taken back, for the same reason.
    private(set) var oneWay: UInt64 = 0

    init(_ hindsight: Hindsight) {
        before = hindsight.actual
        after = hindsight.alternative
    }

    mutating func add(_ difference: WhatIf.Difference) {
        amendments += 1
        if charge(difference, by: &after) != difference.now { otherwise += 1 }
        if charge(difference, by: &before) != difference.then { oneWay += 1 }
    }

    private func charge(_ difference: WhatIf.Difference, by catalog: inout Catalog) -> Money? {
        try? catalog.rateRemembering(
            difference.call, at: difference.occurredAt, countsCall: difference.isCall
        ).charge
    }
}

/// A set of events to be written: what it publishes, then its amendments.
struct Change {
    private let repricing: Repricing
    private let forecast: Forecast

    init(_ repricing: Repricing, forecast: Forecast) {
        self.repricing = repricing
        self.forecast = forecast
    }

    private static let batchEvents = 2000

    var isEmpty: Bool { repricing.publications.isEmpty && forecast.amendments == 0 }

    /// For whoever has to say yes.
    var notes: String {
        var lines: [String] = []
        if forecast.otherwise > 0 {
            lines.append(
                "\(forecast.otherwise) of these calls will be charged otherwise than shown: lists or plans of their "
                    + "time were published after they came, and an amendment knows them.")
        }
        if forecast.oneWay > 0 {
            lines.append(
                "\(forecast.oneWay) of these calls will not come back to the digit with --revert, for the same reason.")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    private var summary: String {
        "set \(repricing.id): \(repricing.publications.count) events of prices and plans, "
            + "\(forecast.amendments) amendments"
    }

    /// Asks on a terminal; nobody there says no.
    func confirm() throws {
        guard isatty(STDIN_FILENO) == 1 else {
            throw Refusal(text: "\(summary). Nothing was written: say --yes to write them")
        }
        Console.error("\(summary). Write them? Only yes is yes: ")
        guard readLine() == "yes" else { throw Refusal(text: "nothing was written") }
    }

    /// Every event in order; `each` gives every call to amend. An event that is refused is counted, and the rest goes
    /// on; unless it publishes: then amendments would be wrong.
    func write(
        through door: some EventDoor, each: ((WhatIf.Difference) throws -> Void) throws -> Void
    ) throws -> Posted {
        var posted = Posted()
        for event in repricing.publications { posted.add(try door.post([event])) }
        if let refusal = posted.refusal {
            throw Refusal(text: "\(refusal). No call was amended")
        }
        var batch: [Event] = []
        try each { difference in
            batch.append(repricing.amendment(of: difference))
            if batch.count == Change.batchEvents {
                posted.add(try door.post(batch))
                batch.removeAll(keepingCapacity: true)
            }
        }
        if !batch.isEmpty { posted.add(try door.post(batch)) }
        try door.close()
        return posted
    }

    /// `posted`: nil when there was nothing to write.
    func text(json: Bool, posted: Posted?) -> String {
        if json {
            var writer = JSONWriter()
            writer.beginObject()
            writer.member("set", string: repricing.id)
            writer.member("publications", integer: repricing.publications.count)
            writer.member("amendments", integer: forecast.amendments)
            writer.member("charged_otherwise", integer: forecast.otherwise)
            writer.member("one_way", integer: forecast.oneWay)
            writer.member("stored", integer: posted?.stored ?? 0)
            writer.member("duplicates", integer: posted?.duplicates ?? 0)
            writer.member("refused", integer: posted?.refused ?? 0)
            writer.member("refusal", string: posted?.refusal)
            writer.endObject()
            return writer.text + "\n"
        }
        guard let posted else { return "nothing to write: no call would cost otherwise\n" }
        var text = "\(summary): \(posted.stored) stored"
        if posted.duplicates > 0 { text += ", \(posted.duplicates) there already" }
        if posted.refused > 0 { text += ", \(posted.refused) REFUSED, the first: \(posted.refusal ?? "")" }
        return text + "\n"
    }
}
