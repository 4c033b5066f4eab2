public import Billing
public import JSON

/// Events as JSON that `NativeFormat.parse` reads as the same events. What only a log can hold (the daemon's own types,
/// a subscription beside the owner found behind it) is read with `allowDaemonTypes`.
extension NativeFormat {
    /// The event as an object.
    public static func write(_ event: Event, into json: inout JSONWriter) {
        json.beginObject()
        writeMembers(of: event, into: &json)
        json.endObject()
    }

    /// The members of that object, for an object that says more: `specversion`, `id`, `source`, `type`, `time` when one
    /// was stated, `data`.
    public static func writeMembers(of event: Event, into json: inout JSONWriter) {
        json.member("specversion", string: "1.0")
        json.member("id", string: event.statedID)
        json.member("source", string: event.source.text)
        json.member("type", string: event.fact.type)
        json.member("time", string: event.time?.rfc3339)
        json.key("data")
        json.beginObject()
        json.data(event.fact)
        json.endObject()
    }
}

extension JSONWriter {
    fileprivate mutating func data(_ fact: Fact) {
        switch fact {
        case .call(let call), .usage(let call): self.call(call)
        case .callVoided(let voided):
            reference(source: voided.source, id: voided.id, org: voided.org, reason: voided.reason)
        case .callAmended(let amended):
            reference(source: amended.source, id: amended.id, org: amended.org, reason: amended.reason)
            key("call")
            beginObject()
            call(amended.call)
            endObject()
        case .creditsGranted(let grant): self.grant(grant)
        case .creditsVoided(let voided):
            member("lot", string: voided.lot.text)
            member("reason", string: voided.reason)
        case .creditsAllocated(let allocation):
            member("org", string: allocation.org.text)
            member("user", string: allocation.user.text)
            member("mode", string: allocation.mode.name)
            member("credits", string: allocation.credits.credits)
            member("period", string: allocation.period.name)
        case .creditsAdjusted(let adjustment):
            owner(adjustment.owner)
            member("credits", string: adjustment.credits.credits)
            member("reason", string: adjustment.reason)
            member("reference", string: adjustment.reference)
        case .creditsExpired(let expired):
            member("lot", string: expired.lot.text)
            member("credits", string: expired.credits.credits)
        case .planDefined(let plan): self.plan(plan)
        case .planAssigned(let assignment): self.assignment(assignment)
        case .pricesPublished(let list): prices(list)
        case .authorizationGranted(let granted):
            subject(granted.subject)
            member("held_credits", string: granted.held.credits)
            member("expires_at", string: granted.expiresAt.rfc3339)
        case .authorizationDenied(let denied):
            subject(denied.subject)
            refusal(denied.refusal)
        case .authorizationReleased(let ended), .authorizationExpired(let ended):
            member("id", string: ended.id.text)
            member("org", string: ended.org?.text)
            member("user", string: ended.user?.text)
            member("credits", string: ended.credits.credits)
        case .lagoWindowClosed(let window):
            member("window_seconds", integer: window.windowSeconds)
            member("through", string: window.through.rfc3339)
        case .lagoBatchDelivered(let delivery), .lagoBatchFailed(let delivery):
            member("batch", string: delivery.batch.text)
            member("detail", string: delivery.detail)
        case .alertDefined(let alert): self.alert(alert)
        }
    }

    private mutating func subject(_ subject: AuthorizationSubject) {
        member("id", string: subject.id.text)
        member("org", string: subject.org?.text)
        member("user", string: subject.user?.text)
        member("provider", string: subject.provider.text)
        member("model", string: subject.model.text)
        member("operation", string: subject.operation.name)
        member("key_source", string: subject.keySource.name)
    }

    private mutating func refusal(_ refusal: Refusal) {
        member("rule", string: refusal.rule.name)
        key("owner")
        beginObject()
        owner(refusal.owner)
        endObject()
        member("requested_credits", string: refusal.requested.credits)
        member("available_credits", string: refusal.available.credits)
        guard let calls = refusal.calls else { return }
        key("calls")
        beginObject()
        member("per", string: calls.per.name)
        member("limit", integer: calls.limit)
        member("used", integer: calls.used)
        member("running", integer: calls.running)
        member("resets_at", string: calls.resetsAt?.rfc3339)
        endObject()
    }

    /// One member, named by what the owner is.
    public mutating func owner(_ owner: Owner) {
        switch owner {
        case .org(let name): member("org", string: name.text)
        case .user(let name): member("user", string: name.text)
        }
    }

    private mutating func alert(_ alert: Alert) {
        member("alert", string: alert.name.text)
        owner(alert.owner)
        switch alert.condition {
        case .balanceBelow(let money): member("balance_below_credits", string: money.credits)
        case .callsPercent(let percent): member("calls_percent", integer: percent)
        case .spend(let money, let per):
            member("spend_credits", string: money.credits)
            member("per", string: per.name)
        case .daysLeft(let days): member("days_left", integer: days)
        }
        member("enabled", bool: alert.isEnabled)
    }

    private mutating func reference(source: Name, id: Name, org: Name?, reason: String) {
        member("source", string: source.text)
        member("id", string: id.text)
        member("org", string: org?.text)
        member("reason", string: reason)
    }

    /// The members of `data` of a call. Defaults are left out.
    private mutating func call(_ call: Call) {
        member("org", string: call.org?.text)
        member("user", string: call.user?.text)
        member("subscription", string: call.subscription?.text)
        member("service", string: call.service?.text)
        member("team", string: call.team?.text)
        member("api_key", string: call.apiKey?.text)
        member("end_user", string: call.endUser?.text)
        member("provider", string: call.provider.text)
        member("model", string: call.model.text)
        member("requested_model", string: call.requestedModel?.text)
        member("operation", string: call.operation.name)
        member("key_source", string: call.keySource.name)
        member("status", string: call.status.name)
        if let usage = call.usage {
            key("usage")
            beginObject()
            self.usage(usage)
            endObject()
        }
        member("cost_usd", string: call.cost?.text)
        member("latency_ms", integer: call.latencyMilliseconds)
        if call.cacheHit { member("cache_hit", bool: true) }
        member("authorization", string: call.authorization?.text)
        if !call.attributes.isEmpty {
            key("attributes")
            beginObject()
            for attribute in call.attributes {
                key(attribute.name.text)
                string(attribute.value)
            }
            endObject()
        }
    }

    private mutating func usage(_ usage: Usage) {
        member("input_tokens", integer: usage.inputTokens)
        member("output_tokens", integer: usage.outputTokens)
        member("cache_read_tokens", integer: usage.cacheReadTokens)
        member("cache_write_tokens", integer: usage.cacheWriteTokens)
        member("reasoning_tokens", integer: usage.reasoningTokens)
        member("images", integer: usage.images)
        member("audio_seconds", raw: usage.audioSeconds?.text)
        member("characters", integer: usage.characters)
        member("searches", integer: usage.searches)
        member("requests", integer: usage.requests)
    }

    private mutating func grant(_ grant: Grant) {
        owner(grant.owner)
        member("credits", string: grant.credits.credits)
        member("category", string: grant.category.name)
        member("priority", integer: grant.priority)
        member("effective_at", string: grant.effectiveAt?.rfc3339)
        member("expires_at", string: grant.expiresAt?.rfc3339)
        member("paid_usd", string: grant.paid?.dollars)
        member("reference", string: grant.reference)
    }

    private mutating func plan(_ plan: Plan) {
        member("plan", string: plan.name.text)
        key("calls")
        beginArray()
        for limit in plan.calls {
            beginObject()
            member("limit", integer: limit.limit)
            member("per", string: limit.per.name)
            member("enforce", string: limit.enforce.name)
            endObject()
        }
        endArray()
        member("markup", string: plan.markup.text)
        member("price_usd", string: plan.price?.dollars)
        member("interval", string: plan.interval?.name)
        member("byok_counts_calls", bool: plan.byokCountsCalls)
        key("overage")
        beginObject()
        member("policy", string: plan.overage.name)
        member("limit_credits", string: plan.overageLimit?.credits)
        endObject()
        member("lago_plan_code", string: plan.lagoPlanCode?.text)
    }

    private mutating func assignment(_ assignment: Assignment) {
        owner(assignment.owner)
        member("plan", string: assignment.plan.text)
        member("effective_at", string: assignment.effectiveAt?.rfc3339)
        member("anchor_day", integer: assignment.anchorDay)
        member("funding", string: assignment.funding.name)
        if let lago = assignment.lago {
            key("lago")
            beginObject()
            member("external_customer_id", string: lago.externalCustomerID.text)
            member("external_subscription_id", string: lago.externalSubscriptionID.text)
            endObject()
        }
    }

    private mutating func prices(_ list: PriceList) {
        member("effective_at", string: list.effectiveAt?.rfc3339)
        member("unit", string: list.unit.name)
        key("rules")
        beginArray()
        for rule in list.rules {
            beginObject()
            self.rule(rule)
            endObject()
        }
        endArray()
        key("multipliers")
        beginArray()
        for multiplier in list.multipliers {
            beginObject()
            member("attribute", string: multiplier.attribute.text)
            key("values")
            beginObject()
            for value in multiplier.values {
                key(value.value)
                string(value.factor.text)
            }
            endObject()
            endObject()
        }
        endArray()
        member("cache_hit", string: list.cacheHit?.text)
    }

    /// The members of a rule, as published.
    public mutating func rule(_ rule: PriceRule) {
        member("provider", string: rule.provider?.text)
        member("model", string: rule.model?.text)
        member("operation", string: rule.operation?.name)
        member("above_input_tokens", integer: rule.aboveInputTokens)
        member("per", integer: rule.per)
        member("any_token", string: rule.anyToken?.text)
        member("input", string: rule.input?.text)
        member("output", string: rule.output?.text)
        member("cache_read", string: rule.cacheRead?.text)
        member("cache_write", string: rule.cacheWrite?.text)
        member("reasoning", string: rule.reasoning?.text)
        member("per_call", string: rule.perCall?.text)
        member("per_image", string: rule.perImage?.text)
        member("per_audio_second", string: rule.perAudioSecond?.text)
        member("per_search", string: rule.perSearch?.text)
        member("reported_cost", string: rule.reportedCost?.text)
    }
}
