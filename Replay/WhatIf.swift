import Billing
import EventLog
import Formats
import Glibc
import Hashing
import JSON
import Platform
import Records

/// `what-if`: what calls would have cost with other prices or plans, and on request the events that charge them so.
func whatIf(_ words: [String]) throws -> Int32 {
    let arguments = try Arguments(
        words,
        options: ["prices", "plans", "from", "to", "org", "revert", "events", "url", "key"], flags: ["apply", "yes"])
    let org = try arguments.name("org")
    let isWriting = arguments.has("apply") || arguments["revert"] != nil
    guard !isWriting || org == nil else {
        throw Refusal(text: "prices and plans hold for every org: --org cannot stand beside --apply or --revert")
    }
    let place = try Place(arguments, isWriting: isWriting)
    let history = History(place.log)
    let published = try history.published()
    let question = try Question(arguments, published: published)
    let hindsight = try history.hindsight(of: question.alternative)
    var forecast = Forecast(hindsight)
    let (whatIf, milliseconds) = try history.fold(question.alternative, hindsight) { forecast.add($0) }
    let report = WhatIfReport(
        whatIf, question: question, org: org, records: history.highWater, milliseconds: milliseconds)
    guard isWriting else {
        Console.output(arguments.json ? report.json + "\n" : report.table)
        return ExitCode.holds
    }
    let change = Change(try question.set(published: published), forecast: forecast)
    if !arguments.json { Console.output(report.table) }
    Console.error(change.notes)
    guard !change.isEmpty else {
        Console.output(change.text(json: arguments.json, posted: nil))
        return ExitCode.holds
    }
    if !arguments.has("yes") { try change.confirm() }
    let posted = try change.write(through: try place.door()) { amend in
        _ = try history.fold(question.alternative, hindsight, title: "amending", each: amend)
    }
    Console.output(change.text(json: arguments.json, posted: posted))
    return posted.refused == 0 ? ExitCode.holds : ExitCode.differs
}

/// What is asked: the alternative, and how it would be put into force.
struct Question {
    let alternative: WhatIf.Alternative
    let substitution: Substitution
    /// Of the set to take back.
    let reverts: String?
    private let hash: String

    init(_ arguments: Arguments, published: [Repricing.Published]) throws {
        if let id = arguments["revert"] {
            guard arguments["prices"] == nil, arguments["plans"] == nil, arguments["from"] == nil,
                arguments["to"] == nil, !arguments.has("apply")
            else { throw Refusal(text: "--revert takes a whole set back: no prices, plans or times beside it") }
            guard published.contains(where: { Repricing.publishes($0.event, for: id) }) else {
                throw Refusal(text: "the log holds no set \(id)")
            }
            reverts = id
            hash = ""
            substitution = Substitution()
            alternative = WhatIf.Alternative(ignoring: { Repricing.publishes($0, for: id) })
            return
        }
        reverts = nil
        var substitution = Substitution(from: try arguments.time("from"), until: try arguments.time("to"))
        if let file = arguments["prices"] { substitution.prices = try Question.read(file, PublishedFile.prices) }
        if let file = arguments["plans"] { substitution.plans = try Question.read(file, PublishedFile.plans) }
        guard substitution.prices != nil || !substitution.plans.isEmpty else {
            throw Refusal(text: "what if what? --prices FILE, --plans FILE, or --revert SET")
        }
        if let from = substitution.from, let until = substitution.until, until <= from {
            throw Refusal(text: "--to is not after --from")
        }
        for plan in substitution.plans where !published.contains(where: { $0.event.fact.defines(plan.name) }) {
            throw Refusal(text: "no plan.defined of the log names \(plan.name): nobody can have it")
        }
        let now = Timestamp(microseconds: WallClock.microseconds())
        if !substitution.plans.isEmpty && arguments.has("apply") {
            guard substitution.from ?? now <= now, substitution.until ?? now <= now else {
                throw Refusal(text: "a plan is defined at its time: with --plans, --apply takes no time to come")
            }
        }
        self.substitution = substitution
        hash = Question.hash(of: substitution)
        alternative = WhatIf.Alternative(substitution: substitution)
    }

    func set(published: [Repricing.Published]) throws -> Repricing {
        guard let id = reverts else { return Repricing(substitution, hash: hash, published: published) }
        guard let set = Repricing(takingBack: id, published: published) else {
            throw Refusal(text: "the log holds no set \(id)")
        }
        return set
    }

    private static let bytesMax = 256 << 20

    private static func read<Value>(
        _ file: String, _ parse: ([UInt8]) throws -> Value
    ) throws -> Value {
        do {
            return try parse(try File.read(file, bytesMax: bytesMax))
        } catch {
            throw Refusal(text: "\(file): \(error)")
        }
    }

    /// Of all that the set publishes: the same content in the same time is the same set.
    private static func hash(of substitution: Substitution) -> String {
        var writer = JSONWriter()
        writer.beginArray()
        writer.string(substitution.from?.rfc3339 ?? "")
        writer.string(substitution.until?.rfc3339 ?? "")
        var facts = substitution.plans.sorted { $0.name < $1.name }.map { Fact.planDefined($0) }
        if var list = substitution.prices {
            list.effectiveAt = nil
            facts.append(.pricesPublished(list))
        }
        for fact in facts {
            let event = Event(source: Repricing.source, id: Repricing.source, time: nil, fact: fact)
            NativeFormat.write(event, into: &writer)
        }
        writer.endArray()
        return String(SHA256.hash(writer.bytes).hex.prefix(12))
    }
}

extension Fact {
    fileprivate func defines(_ plan: Name) -> Bool {
        if case .planDefined(let defined) = self { return defined.name == plan }
        return false
    }
}

/// The log up to where it ended when the question was asked.
struct History {
    let log: EventLog
    let highWater: UInt64

    private static let chunkRecords = 10_000
    private static let chunkBytes = 8 << 20

    init(_ log: EventLog) {
        self.log = log
        highWater = log.highWater
    }

    /// Every list and plan.
    func published() throws -> [Repricing.Published] {
        var published: [Repricing.Published] = []
        try read(only: [.planDefined, .pricesPublished]) { record in
            published.append(
                Repricing.Published(position: record.position, event: record.event, occurredAt: record.occurredAt))
        }
        return published
    }

    func hindsight(of alternative: WhatIf.Alternative) throws -> Hindsight {
        var hindsight = Hindsight(alternative)
        try read(only: [.planDefined, .planAssigned, .pricesPublished, .callVoided, .callAmended]) { record in
            try hindsight.apply(record.event, position: record.position, at: record.occurredAt)
        }
        return hindsight
    }

    /// `each`: called with every call that costs otherwise, in order.
    func fold(
        _ alternative: WhatIf.Alternative, _ hindsight: Hindsight, title: String = "what-if",
        each: (WhatIf.Difference) throws -> Void
    ) throws -> (WhatIf, milliseconds: UInt64) {
        var whatIf = WhatIf(alternative, hindsight: hindsight)
        var meter = Meter(title, total: highWater)
        try read(reached: { meter.reach($0) }) { record in
            let difference = try whatIf.apply(
                record.event, position: record.position, at: record.occurredAt, recordedAt: record.recordedAt,
                spaceOrg: record.space.org)
            if let difference { try each(difference) }
        }
        return (whatIf, meter.end())
    }

    /// Records of other kinds are passed over undecoded.
    func read(
        only kinds: Set<RecordKind>? = nil, reached: (UInt64) -> Void = { _ in }, _ body: (Record) throws -> Void
    ) throws {
        let decoder = RecordDecoder()
        var after: UInt64 = 0
        while after < highWater {
            let last = try log.read(
                after: after, recordsMax: History.chunkRecords, bytesMax: History.chunkBytes
            ) { position, bytes in
                guard position <= highWater else { return }
                if let kinds {
                    guard let kind = RecordCodec.kind(bytes) else {
                        throw LogError.corrupt(position: position, reason: "it is of no kind that this version knows")
                    }
                    guard kinds.contains(kind) else { return }
                }
                let record: Record
                do throws(RecordError) {
                    record = try decoder.decode(bytes)
                } catch {
                    throw LogError.corrupt(position: position, reason: "\(error)")
                }
                try body(record)
            }
            guard last > after else { throw LogError.corrupt(position: after + 1, reason: "the log ends before it") }
            after = last
            reached(min(last, highWater))
        }
    }
}
