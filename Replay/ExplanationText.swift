import Billing
import Formats
import JSON

/// An explanation as a page of text.
enum ExplanationText {
    static func lines(_ explanation: Explanation) -> [String] {
        let event = explanation.event
        var lines = [
            "record \(explanation.position): \(event.fact.type) \(event.source) \(event.statedID) at "
                + explanation.occurredAt.rfc3339
        ]
        if let standing = event.fact.unwinds {
            lines.append(
                row("unwinds", "\(standing.charge.total.credits) credits that record \(standing.position) charged"))
        }
        if let charge = explanation.charge { lines += self.lines(charge) }
        for movement in explanation.movements { lines += self.lines(movement) }
        if let settlement = explanation.settlement {
            lines.append(
                row(
                    "settles",
                    "authorization \(settlement.authorization): \(settlement.kind.name), "
                        + "\(settlement.held.credits) held, "
                        + "\((explanation.charge?.rating.charge ?? .zero).credits) charged"))
        }
        for position in explanation.corrections { lines.append(row("corrected", "by record \(position)")) }
        lines.append(row("check", explanation.fault.map { "DOES NOT ADD UP: \($0)" } ?? "the parts add up"))
        return lines
    }

    private static func lines(_ charge: ChargeExplanation) -> [String] {
        let call = charge.call
        var lines = [row("call", "\(call.provider) \(call.model) \(call.operation.name), \(call.status.name)")]
        if let prices = charge.prices {
            lines.append(
                row("price list", "of record \(prices.position), in force from \(prices.effective.rfc3339)"))
            if let index = prices.ruleIndex, let rule = prices.rule {
                var writer = JSONWriter()
                writer.object { $0.rule(rule) }
                lines.append(row("rule", "number \(index) of 0...\(prices.ruleCount - 1): \(writer.text)"))
            }
        }
        if let standing = charge.standing {
            let plan = standing.plan
            lines.append(
                row(
                    "plan", "\(plan.name) of \(text(standing.assignment.owner)), markup \(plan.markup.text), overage "
                        + plan.overage.name))
        }
        if let trace = charge.trace {
            for part in trace.parts {
                let per = part.per == 1 ? "" : " / \(part.per)"
                lines.append(
                    row(part.kind.name, "\(part.quantity.text) x \(part.price.text)\(per) = \(part.amount)"))
            }
            lines.append(row("sum", "\(trace.sum) \(trace.unit)"))
            for step in trace.steps {
                let value = charge.value(of: step).map { " (\($0))" } ?? ""
                lines.append(row("x \(step.name)\(value)", step.factor.text))
            }
            lines.append(row("product", "\(trace.product) credits, before the rounding"))
        }
        lines.append(row("charge", "\(charge.rating.charge.credits) credits: \(charge.because)"))
        if charge.rating.notional != charge.rating.charge {
            lines.append(row("would have been", "\(charge.rating.notional.credits) credits"))
        }
        if let payer = charge.payer { lines.append(row("pays", "\(text(payer)): \(charge.paysBecause)")) }
        lines.append(row("counts", charge.usesQuota ? "as a call that uses quota" : "as no call that uses quota"))
        for counted in charge.limits {
            let window = counted.window.map { ", \($0.lowerBound.text) to \($0.upperBound.text)" } ?? ""
            lines.append(
                row(
                    "  limit", "\(counted.limit.limit) per \(counted.limit.per.name) of \(text(counted.owner)), plan "
                        + "\(counted.plan)\(window)"))
        }
        return lines
    }

    static func lines(_ movement: Movement) -> [String] {
        var lines = [
            row(
                movement.kind.name,
                "\(text(movement.owner)): \(movement.amount.credits), balance \(movement.balanceAfter.credits)")
        ]
        for slice in movement.slices { lines.append(row("  lot \(slice.lot)", (-slice.amount).credits)) }
        if movement.overage != .zero { lines.append(row("  overage", (-movement.overage).credits)) }
        if movement.invoiced != .zero { lines.append(row("  of it invoiced", movement.invoiced.credits)) }
        return lines
    }

    static func text(_ owner: Owner) -> String {
        switch owner {
        case .org(let name): "org \(name)"
        case .user(let name): "user \(name)"
        }
    }

    /// A heading in a column of its own.
    static func row(_ heading: String, _ text: String) -> String {
        "  " + heading + String(repeating: " ", count: max(1, 24 - heading.count)) + text
    }
}
