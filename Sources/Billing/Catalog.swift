/// Plans, assignments and prices as published so far: the part of the book that says what rules hold when.
///
/// It is folded from control events only (`plan.*`, `prices.published`, `alert.defined`), so it comes back from
/// those records alone. Whatever holds "in force" is judged by the time asked for: among what the log holds so far, the
/// greatest effective time not after it; of two with the same time, the one published later.
public struct Catalog: Sendable {
    /// Definitions of a plan in order of (time, position).
    private var plans: [Name: [Definition]] = [:]
    /// Assignments of an owner in order of (effective time, position).
    private var assignments: [Owner: [Assigned]] = [:]
    /// Owners that were ever assigned a Lago subscription, each once, the last assignment's last.
    private var subscriptions: [Name: [Owner]] = [:]
    /// Those that have not ended, and how many of them each owner has.
    private var alerts: [Name: Alert] = [:]
    private var alertCounts: [Owner: Int] = [:]
    /// In order of (effective time, position).
    private var prices: [PriceIndex] = []
    /// What takes the place of prices and plans for a time, when somebody asks what if.
    private let substitute: SubstituteIndex?
    /// Rules found before: a list of 20,000 rules is searched once a model, not once a call.
    private var found: [Sought: Int32] = [:]
    private static let foundMax = 4096
    private static let noRule: Int32 = -1
    /// Rules that terms were made with, each made ready once: calls of many shapes are priced by few.
    private var boxed: [RulePlace: BoxedRule] = [:]
    /// What was said of shapes before: good while the revision is the same, that is until the next control event.
    private var remembered = ShapeMemory<Terms>()
    private var revision: UInt64 = 0
    /// Records from this position on are as if they were not there: see `before`.
    private var end = UInt64.max

    /// Classes that never change: what a call is judged by is handed around without copying it.
    final class Definition: Sendable {
        let plan: Plan
        let position: UInt64
        let time: Timestamp
        init(_ plan: Plan, position: UInt64, time: Timestamp) {
            self.plan = plan
            self.position = position
            self.time = time
        }
    }
    final class Assigned: Sendable {
        let assignment: Assignment
        let position: UInt64
        let effective: Timestamp
        init(_ assignment: Assignment, position: UInt64, effective: Timestamp) {
            self.assignment = assignment
            self.position = position
            self.effective = effective
        }
    }
    private struct RulePlace: Hashable {
        /// Of a price index that the catalog keeps.
        var list: ObjectIdentifier
        var rule: Int
    }
    private struct Sought: Hashable {
        var list: UInt64
        var provider: Name
        var model: Name
        var operation: Call.Operation
        var band: Int32

        init(_ call: Call, of index: PriceIndex) {
            list = index.position
            provider = call.provider
            model = call.model
            operation = call.operation
            band = index.band(of: call)
        }
    }

    public init() {
        substitute = nil
    }

    /// A catalog in which other prices and plans are in force for a time, whatever is folded into it.
    public init(substituting substitution: Substitution) {
        substitute = SubstituteIndex(substitution)
    }

    /// Folds `plan.defined`, `plan.assigned`, `prices.published` and `alert.defined`; anything else changes nothing.
    public mutating func apply(_ fact: Fact, position: UInt64, at occurredAt: Timestamp) {
        revision += 1
        switch fact {
        case .planDefined(let plan):
            let definition = Definition(plan, position: position, time: occurredAt)
            Catalog.insert(definition, into: &plans[plan.name, default: []]) { $0.time }
        case .planAssigned(let assignment):
            let assigned = Assigned(
                assignment, position: position, effective: assignment.effectiveAt ?? occurredAt)
            Catalog.insert(assigned, into: &assignments[assignment.owner, default: []]) { $0.effective }
            if let lago = assignment.lago {
                var owners = subscriptions[lago.externalSubscriptionID] ?? []
                owners.removeAll { $0 == assignment.owner }
                subscriptions[lago.externalSubscriptionID] = owners + [assignment.owner]
            }
        case .pricesPublished(let list):
            let index = PriceIndex(list, position: position, effective: list.effectiveAt ?? occurredAt)
            Catalog.insert(index, into: &prices) { $0.effective }
            found = [:]
        case .alertDefined(let alert):
            set(alert)
        default:
            break
        }
    }

    /// This catalog as it was before the record at `position` was folded, to be asked what governs and prices a call:
    /// what a charge was made with. It looks past what was published since, so it costs nothing to make. Alerts, and
    /// owners of subscriptions, are those of now.
    public func before(_ position: UInt64) -> Catalog {
        var earlier = self
        earlier.end = position
        // No terms are remembered under it: what is known of shapes is of now.
        earlier.revision = .max
        return earlier
    }

    /// The owner behind a subscription id at `time`: who has it then by his plan, the newest assignment winning; when
    /// nobody has, whose it was last, and before all who had it, whose it is first.
    public func owner(ofSubscription subscription: Name, at time: Timestamp) -> Owner? {
        guard let owners = subscriptions[subscription] else { return nil }
        // Nearly every subscription is one owner's for ever.
        if owners.count == 1 { return owners[0] }
        let holder = owners.last {
            assigned($0, at: time)?.assignment.lago?.externalSubscriptionID == subscription
        }
        if let holder { return holder }
        var last: Assigned?
        var first: Assigned?
        for assigned in owners.flatMap({ assignments[$0] ?? [] })
        where assigned.assignment.lago?.externalSubscriptionID == subscription {
            if assigned.effective <= time {
                if last.map({ $0.effective <= assigned.effective }) ?? true { last = assigned }
            } else if first.map({ assigned.effective < $0.effective }) ?? true {
                first = assigned
            }
        }
        return (last ?? first)?.assignment.owner
    }

    /// An owner besides `owner` whose plan has the subscription at `time` or any time after it.
    func holder(ofSubscription subscription: Name, from time: Timestamp, besides owner: Owner) -> Owner? {
        subscriptions[subscription]?.last { other in
            guard other != owner, let all = assignments[other] else { return false }
            return all.indices.contains { index in
                guard all[index].assignment.lago?.externalSubscriptionID == subscription else { return false }
                // It holds until the next one takes effect.
                guard index + 1 < all.count else { return true }
                return all[index + 1].effective > max(time, all[index].effective)
            }
        }
    }

    /// Whether any assigned plan ever had a Lago subscription.
    public var hasSubscriptions: Bool { !subscriptions.isEmpty }

    /// Whether an owner was ever assigned a plan.
    func knows(owner: Owner) -> Bool { assignments[owner] != nil }

    /// Whether some `plan.defined` names it.
    public func knows(plan: Name) -> Bool { plans[plan] != nil }

    /// The last definition of an alert; nil when there is none or it has ended.
    public func alert(_ name: Name) -> Alert? { alerts[name] }

    /// How many alerts of an owner have not ended.
    public func alertCount(of owner: Owner) -> Int { alertCounts[owner] ?? 0 }

    private mutating func set(_ alert: Alert) {
        if let earlier = alerts.removeValue(forKey: alert.name) {
            let count = alertCount(of: earlier.owner) - 1
            alertCounts[earlier.owner] = count == 0 ? nil : count
        }
        guard alert.isEnabled else { return }
        alerts[alert.name] = alert
        alertCounts[alert.owner, default: 0] += 1
    }

    /// The definition of a plan in force at `time`; before the first one, the first.
    public func plan(_ name: Name, at time: Timestamp) -> Plan? {
        definition(name, at: time)?.plan
    }

    /// The plan `owner` has at `time`.
    public func standing(of owner: Owner, at time: Timestamp) -> Standing? {
        assigned(owner, at: time).flatMap { standing($0, at: time) }
    }

    /// The standing that governs a call: the user's own if he has one at that time, else the org's.
    public func standing(for call: Call, at time: Timestamp) -> Standing? {
        governing(call, at: time).flatMap { standing($0, at: time) }
    }

    /// The Lago subscription that a call's usage goes to: of the standing that governs it. Nil when that has none.
    public func subscription(for call: Call, at time: Timestamp) -> Name? {
        governing(call, at: time)?.assignment.lago?.externalSubscriptionID
    }

    /// Every owner that was ever assigned a plan, orgs first, in byte order of names.
    public var owners: [Owner] { assignments.keys.sorted() }

    mutating func forgetShapes() { remembered = ShapeMemory() }

    // MARK: - Inside the module

    /// What governs and prices `call` at `time`.
    func terms(for call: Call, at time: Timestamp) -> Terms {
        if let known = remembered[call.shape], known.hold(for: call, at: time, revision: revision) { return known }
        return makeTerms(for: call, at: time) { index in
            rule(of: index, for: call).map { ($0, BoxedRule(index.list.rules[$0])) }
        }
    }

    /// The same, and remembers it for the next call of that shape.
    mutating func rememberTerms(for call: Call, at time: Timestamp) -> Terms {
        if let known = remembered[call.shape], known.hold(for: call, at: time, revision: revision) { return known }
        let rule = priceIndex(at: time).flatMap { index in
            findRule(of: index, for: call).map { ($0, boxedRule($0, of: index)) }
        }
        let terms = makeTerms(for: call, at: time) { _ in rule }
        remembered[call.shape] = terms
        return terms
    }

    private mutating func boxedRule(_ rule: Int, of index: PriceIndex) -> BoxedRule {
        let place = RulePlace(list: ObjectIdentifier(index), rule: rule)
        if let known = boxed[place] { return known }
        if boxed.count >= Catalog.foundMax { boxed = [:] }
        let made = BoxedRule(index.list.rules[rule])
        boxed[place] = made
        return made
    }

    private func makeTerms(
        for call: Call, at time: Timestamp, rule find: (PriceIndex) -> (number: Int, rule: BoxedRule)?
    ) -> Terms {
        var span = Terms.Span()
        let assigned = governing(call, at: time, &span)
        var definition: Definition?
        if let assigned { definition = self.definition(assigned.assignment.plan, at: time, &span) }
        let index = priceIndex(at: time, &span)
        let found = index.flatMap(find)
        return Terms(
            span: span, revision: revision, assigned: assigned, definition: definition, prices: index,
            band: index?.band(of: call) ?? 0, rule: found?.number, priceRule: found?.rule,
            factors: index.map { Catalog.factors(of: $0.list, for: call) } ?? [])
    }

    func governing(_ call: Call, at time: Timestamp) -> Assigned? {
        if let known = remembered[call.shape], known.hold(at: time, revision: revision) { return known.assigned }
        var span = Terms.Span()
        return governing(call, at: time, &span)
    }

    private func governing(_ call: Call, at time: Timestamp, _ span: inout Terms.Span) -> Assigned? {
        if let user = call.user, let own = assigned(.user(user), at: time, &span) { return own }
        guard let org = call.org else { return nil }
        return assigned(.org(org), at: time, &span)
    }

    private func assigned(_ owner: Owner, at time: Timestamp, _ span: inout Terms.Span) -> Assigned? {
        guard let all = assignments[owner] else { return nil }
        return span.inForce(all, at: time, before: end) { ($0.effective, $0.position) }
    }

    func assigned(_ owner: Owner, at time: Timestamp) -> Assigned? {
        var span = Terms.Span()
        return assigned(owner, at: time, &span)
    }

    func definition(_ name: Name, at time: Timestamp) -> Definition? {
        var span = Terms.Span()
        return definition(name, at: time, &span)
    }

    /// Before the first definition, the first.
    private func definition(_ name: Name, at time: Timestamp, _ span: inout Terms.Span) -> Definition? {
        guard let all = plans[name] else { return nil }
        if let substitute, let plan = substitute.plans[name], substitute.covers(time, &span) { return plan }
        return span.inForce(all, at: time, before: end) { ($0.time, $0.position) }
            ?? all.first { $0.position < end }
    }

    func priceIndex(at time: Timestamp) -> PriceIndex? {
        var span = Terms.Span()
        return priceIndex(at: time, &span)
    }

    private func priceIndex(at time: Timestamp, _ span: inout Terms.Span) -> PriceIndex? {
        if let substitute, let list = substitute.prices, substitute.covers(time, &span) { return list }
        return span.inForce(prices, at: time, before: end) { ($0.effective, $0.position) }
    }

    /// The first rule of `index` that matches, looked up only.
    func rule(of index: PriceIndex, for call: Call) -> Int? {
        // Small lists are searched as fast as remembered.
        if index.list.rules.count > Catalog.smallList, let known = found[Sought(call, of: index)] {
            return known == Catalog.noRule ? nil : Int(known)
        }
        return index.rule(for: call)
    }

    /// The first rule of `index` that matches, and remembers it.
    mutating func findRule(of index: PriceIndex, for call: Call) -> Int? {
        guard index.list.rules.count > Catalog.smallList else { return index.rule(for: call) }
        let sought = Sought(call, of: index)
        if let known = found[sought] { return known == Catalog.noRule ? nil : Int(known) }
        let rule = index.rule(for: call)
        // Models come from outside: the memory of them is bounded, and starting afresh costs one search each.
        if found.count >= Catalog.foundMax { found = [:] }
        found[sought] = rule.map(Int32.init) ?? Catalog.noRule
        return rule
    }

    private static let smallList = 4

    private func standing(_ assigned: Assigned, at time: Timestamp) -> Standing {
        guard let definition = definition(assigned.assignment.plan, at: time) else {
            preconditionFailure("plan \(assigned.assignment.plan) was assigned and never defined")
        }
        return Standing(assignment: assigned.assignment, plan: definition.plan, effective: assigned.effective)
    }

    /// Keeps `items` in order of (time, arrival). New ones nearly always go last.
    private static func insert<Item>(_ item: Item, into items: inout [Item], by time: (Item) -> Timestamp) {
        var index = items.count
        while index > 0 && time(items[index - 1]) > time(item) { index -= 1 }
        items.insert(item, at: index)
    }
}

/// A plan in force for an owner.
public struct Standing: Hashable, Sendable {
    public var assignment: Assignment
    /// As defined at the time asked for.
    public var plan: Plan
    /// When the assignment took effect.
    public var effective: Timestamp

    public init(assignment: Assignment, plan: Plan, effective: Timestamp) {
        self.assignment = assignment
        self.plan = plan
        self.effective = effective
    }
}

extension Owner: Comparable {
    /// Orgs before users, then by bytes of the name.
    public static func < (left: Owner, right: Owner) -> Bool {
        switch (left, right) {
        case (.org, .user): true
        case (.user, .org): false
        default: left.name < right.name
        }
    }
}
