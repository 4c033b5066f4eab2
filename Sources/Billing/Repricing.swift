/// The events that put an alternative into force for calls that came already, as one set that can be taken back: what
/// is published, and an amendment for each call that then costs otherwise.
///
/// An amended call is rated by what is published by then and in force at its own time. So the set publishes the
/// alternative from its start on, again wherever the log has something else coming into force within its time, and at
/// its end what was in force there without it. Every id follows from the set's, so that no event is stored twice.
public struct Repricing: Sendable {
    /// A record of `prices.published` or `plan.defined`.
    public struct Published: Sendable {
        public var position: UInt64
        public var event: Event
        public var occurredAt: Timestamp

        public init(position: UInt64, event: Event, occurredAt: Timestamp) {
            self.position = position
            self.event = event
            self.occurredAt = occurredAt
        }
    }

    /// The `source` of the set's events.
    public static let source = Name(checked: "what-if")

    /// What `--revert` takes: a hash of what was asked for, and which time it is put into force.
    public let id: String
    /// What has to be published yet, in order.
    public let publications: [Event]
    private let isBack: Bool

    /// The amendment that charges a call by what the set publishes. It says of the call what was said before; the owner
    /// that was found behind a subscription stands for that.
    public func amendment(of difference: WhatIf.Difference) -> Event {
        var call = difference.call
        call.subscription = nil
        return event(
            "call/\(difference.position)", time: nil,
            .callAmended(
                CallAmended(
                    source: difference.source, id: difference.id, org: difference.spaceOrg,
                    reason: isBack ? "reprice \(id) taken back" : "reprice \(id)", call: call)))
    }

    private func event(_ name: String, time: Timestamp?, _ fact: Fact) -> Event {
        Repricing.event(Repricing.prefix(id, isBack: isBack) + name, time: time, fact)
    }

    private static func event(_ id: String, time: Timestamp?, _ fact: Fact) -> Event {
        Event(source: source, id: Name(checked: id), time: time, fact: fact)
    }

    private static func prefix(_ id: String, isBack: Bool) -> String { id + (isBack ? "/back/" : "/") }

    /// Whether an event publishes something for the set `id`: what the alternative of taking it back does not know of.
    public static func publishes(_ event: Event, for id: String) -> Bool {
        guard event.source == source else { return false }
        return ["prices/", "plans/"].contains { event.id.text.utf8.starts(with: (id + "/" + $0).utf8) }
    }

    // MARK: - Putting into force

    /// - Parameters:
    ///   - hash: names prices, plans and time.
    ///   - published: of the whole log, in order.
    public init(_ substitution: Substitution, hash: String, published: [Published]) {
        let times = Repricing.times(of: substitution, in: published)
        let isInForce = times.allSatisfy { subject, times in
            times.allSatisfy { time in
                Repricing.inForce(subject, at: time, in: published).map { subject.isStated(by: $0, like: substitution) }
                    ?? false
            }
        }
        isBack = false
        // The last time it was put into force goes on, unless something else was published since.
        var round = 0
        while published.contains(where: { Repricing.publishes($0.event, for: "\(hash).\(round + 1)") }) { round += 1 }
        let last = "\(hash).\(round)"
        let first = published.first { Repricing.publishes($0.event, for: last) }?.position
        let isSuperseded = published.contains { other in
            guard let first, other.position > first, !Repricing.publishes(other.event, for: last) else { return false }
            return times.contains { $0.subject.isSubject(of: other.event.fact) }
        }
        id = round > 0 && (isInForce || !isSuperseded) ? last : "\(hash).\(round + 1)"
        guard !isInForce else {
            publications = []
            return
        }
        let id = id
        let others = published.filter { !Repricing.publishes($0.event, for: id) }
        var events: [Event] = []
        for (number, (subject, times)) in times.enumerated() {
            var statements: [(time: Timestamp, fact: Fact?)] = []
            // What was in force beside it comes first: whoever is interrupted has changed nothing yet.
            if let until = substitution.until {
                statements.append((until, Repricing.inForce(subject, at: until, in: others)))
            }
            if case .plan = subject, let from = substitution.from,
                !others.contains(where: { subject.isSubject(of: $0.event.fact) && subject.start(of: $0) <= from })
            {
                // Before its first definition a plan is as first defined.
                statements.append((.earliest, Repricing.inForce(subject, at: from, in: others)))
            }
            for time in times.reversed() { statements.append((time, subject.statement(in: substitution))) }
            for (index, statement) in statements.enumerated() {
                events.append(subject.event(id: "\(id)/", number, index, at: statement.time, statement.fact))
            }
        }
        let known = Set(published.map(\.event.id))
        publications = events.filter { !known.contains($0.id) }
    }

    // MARK: - Taking back

    /// Nil when the log holds nothing of the set `id`.
    public init?(takingBack id: String, published: [Published]) {
        let own = published.filter { Repricing.publishes($0.event, for: id) }
        guard !own.isEmpty else { return nil }
        let others = published.filter { !Repricing.publishes($0.event, for: id) }
        self.id = id
        isBack = true
        var subjects: [Subject] = []
        for one in own {
            if let subject = Subject(one.event.fact), !subjects.contains(subject) { subjects.append(subject) }
        }
        var events: [Event] = []
        for (number, subject) in subjects.enumerated() {
            let times = Set(own.filter { subject.isSubject(of: $0.event.fact) }.map { subject.start(of: $0) }).sorted()
            for (index, time) in times.enumerated() {
                let before = Repricing.inForce(subject, at: time, in: others)
                let now = Repricing.inForce(subject, at: time, in: published)
                if let now, subject.isSame(before ?? .pricesPublished(Subject.noPrices(at: time)), now) { continue }
                events.append(subject.event(id: "\(id)/back/", number, index, at: time, before))
            }
        }
        let known = Set(published.map(\.event.id))
        publications = events.filter { !known.contains($0.id) }
    }

    // MARK: - What is in force when

    /// What takes the place of its like: the price list, or one plan.
    private enum Subject: Hashable {
        case prices
        case plan(Name)

        init?(_ fact: Fact) {
            switch fact {
            case .pricesPublished: self = .prices
            case .planDefined(let plan): self = .plan(plan.name)
            default: return nil
            }
        }

        func isSubject(of fact: Fact) -> Bool { Subject(fact) == self }

        func start(of published: Published) -> Timestamp {
            if case .pricesPublished(let list) = published.event.fact, let time = list.effectiveAt { return time }
            return published.occurredAt
        }

        /// What the substitution says of it.
        func statement(in substitution: Substitution) -> Fact? {
            switch self {
            case .prices: substitution.prices.map { .pricesPublished($0) }
            case .plan(let name): substitution.plans.last { $0.name == name }.map { .planDefined($0) }
            }
        }

        func isStated(by fact: Fact, like substitution: Substitution) -> Bool {
            statement(in: substitution).map { isSame($0, fact) } ?? false
        }

        /// The time a list says for itself apart.
        func isSame(_ one: Fact, _ other: Fact) -> Bool {
            guard case .pricesPublished(var left) = one, case .pricesPublished(var right) = other else {
                return one == other
            }
            left.effectiveAt = nil
            right.effectiveAt = nil
            return left == right
        }

        /// No list can be unpublished; one without rules prices nothing either.
        static func noPrices(at time: Timestamp) -> PriceList {
            PriceList(effectiveAt: time, unit: .credits, rules: [])
        }

        /// `number`: of the subject within its set.
        func event(id prefix: String, _ number: Int, _ index: Int, at time: Timestamp, _ fact: Fact?) -> Event {
            switch (self, fact) {
            case (.prices, .pricesPublished(var list)?):
                list.effectiveAt = time
                return Repricing.event("\(prefix)prices/\(index)", time: nil, .pricesPublished(list))
            case (.prices, _):
                return Repricing.event(
                    "\(prefix)prices/\(index)", time: nil, .pricesPublished(Subject.noPrices(at: time)))
            case (.plan, let fact?):
                return Repricing.event("\(prefix)plans/\(number)-\(index)", time: time, fact)
            case (.plan(let name), nil):
                preconditionFailure("the plan \(name) was never defined")
            }
        }
    }

    /// When the alternative must come into force: at its start, and wherever something else does within its time.
    private static func times(
        of substitution: Substitution, in published: [Published]
    ) -> [(subject: Subject, times: [Timestamp])] {
        let subjects = (substitution.prices == nil ? [] : [Subject.prices]) + substitution.plans.map { .plan($0.name) }
        return subjects.map { subject in
            let from = substitution.from ?? .earliest
            let within = published.filter { subject.isSubject(of: $0.event.fact) }.map { subject.start(of: $0) }
                .filter { $0 > from && substitution.covers($0) }
            return (subject, [from] + Set(within).sorted())
        }
    }

    /// Of what starts at or before `time` the last, of the same start the one published last. A plan before its first
    /// definition is as first defined.
    private static func inForce(_ subject: Subject, at time: Timestamp, in published: [Published]) -> Fact? {
        var found: (start: Timestamp, fact: Fact)?
        var first: (start: Timestamp, fact: Fact)?
        for one in published where subject.isSubject(of: one.event.fact) {
            let start = subject.start(of: one)
            if start <= time && start >= found?.start ?? .earliest { found = (start, one.event.fact) }
            if start < first?.start ?? .latest || first == nil { first = (start, one.event.fact) }
        }
        if case .plan = subject { return found?.fact ?? first?.fact }
        return found?.fact
    }
}
