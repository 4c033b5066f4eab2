import Billing
import Records
import TestEvents

/// One record of every kind, and the variants of a call. What version 1 made of each is in Fixtures/v1: bytes that
/// every later program must read as this value.
enum GoldenRecords {
    static let all: [(file: String, record: Record)] = [
        ("call-typical", record(1, typicalEvent)),
        ("call-least", record(2, event(.call(leastCall), time: nil), key: nil, door: .daemon)),
        ("call-most", record(3, event(.call(mostCall)), door: .litellm)),
        ("call-subscription-resolved", record(4, event(.call(subscribed(org: "acme", user: "ada"))), door: .lago)),
        ("call-subscription-unresolved", record(5, event(.call(subscribed(org: nil, user: nil))), door: .openmeter)),
        ("usage", record(6, event(.usage(mostCall)))),
        (
            "call-voided",
            record(7, event(.callVoided(CallVoided(source: "gw", id: "c-1", reason: "sent twice, \"é\""))))
        ),
        (
            "call-amended",
            record(
                8,
                event(
                    .callAmended(
                        CallAmended(source: "gw", id: "c-1", reason: "", call: subscribed(org: "acme", user: nil)))))
        ),
        (
            "call-voided-resolved",
            record(
                20,
                event(
                    .callVoided(
                        CallVoided(source: "gw", id: "c-1", reason: "sent twice", unwinds: standing))), door: .native)
        ),
        (
            "call-amended-resolved",
            record(
                21,
                event(
                    .callAmended(
                        CallAmended(
                            source: "gw", id: "c-1", reason: "", call: subscribed(org: "acme", user: nil),
                            unwinds: free))))
        ),
        (
            "authorization-granted",
            record(
                22,
                event(
                    .authorizationGranted(
                        Authorization(subject: asked, held: Money(nanos: 2_500_000), expiresAt: time)), time: nil),
                key: nil, door: .daemon)
        ),
        (
            "authorization-denied",
            record(
                23,
                event(
                    .authorizationDenied(
                        Denial(
                            subject: asked,
                            refusal: Refusal(
                                rule: .calls, owner: .user("ada"), requested: Money(nanos: 7),
                                available: Money(nanos: 0),
                                calls: Refusal.Calls(
                                    per: .month, limit: 10_000, used: 9_999, running: 1, resetsAt: time)))),
                    time: nil), key: "gateway", door: .daemon)
        ),
        (
            "authorization-released",
            record(
                24,
                event(
                    .authorizationReleased(
                        AuthorizationEnded(id: "req-1", org: "acme", user: nil, credits: Money(nanos: 2_500_000)))))
        ),
        (
            "authorization-expired",
            record(
                25,
                event(
                    .authorizationExpired(
                        AuthorizationEnded(id: "req-1", org: nil, user: "ada", credits: Money(nanos: 0))), time: nil),
                key: nil, door: .daemon)
        ),
        (
            "credits-granted",
            record(
                9,
                event(
                    .creditsGranted(
                        Grant(
                            owner: .org("acme"), credits: Money(nanos: 10_000_000_000), category: .promo, priority: 7,
                            effectiveAt: Timestamp(microseconds: 1_795_334_400_000_000),
                            expiresAt: Timestamp(microseconds: 1_798_761_600_000_000),
                            paid: Money(nanos: 5_000_000_000), reference: "invoice 12"))))
        ),
        ("credits-voided", record(10, event(.creditsVoided(LotVoided(lot: "lot-1", reason: "fraud"))))),
        (
            "credits-allocated",
            record(
                11,
                event(
                    .creditsAllocated(
                        Allocation(
                            org: "acme", user: "ada", mode: .carveOut, credits: Money(nanos: 0), period: .month))))
        ),
        (
            "credits-adjusted",
            record(
                12,
                event(
                    .creditsAdjusted(
                        Adjustment(owner: .user("ada"), credits: Money(nanos: -9_000), reason: "support case"))))
        ),
        (
            "credits-expired",
            record(
                13, event(.creditsExpired(LotExpired(lot: "lot-1", credits: Money(nanos: 1))), time: nil), key: nil,
                door: .daemon)
        ),
        (
            "plan-defined",
            record(
                14,
                event(
                    .planDefined(
                        Plan(
                            name: "pro",
                            calls: [
                                .init(limit: 10_000, per: .month, enforce: .hard),
                                .init(limit: 0, per: .ever, enforce: .soft),
                            ], markup: Decimal(mantissa: 6, scale: 1), price: Money(nanos: 20_000_000_000),
                            interval: .month, byokCountsCalls: false, overage: .invoice,
                            overageLimit: Money(nanos: 1_000_000), lagoPlanCode: "pro_2026"))))
        ),
        (
            "plan-assigned",
            record(
                15,
                event(
                    .planAssigned(
                        Assignment(
                            owner: .org("acme"), plan: "pro",
                            effectiveAt: Timestamp(microseconds: 1_793_491_200_000_000), anchorDay: 28,
                            funding: .orgThenUser,
                            lago: .init(externalCustomerID: "cus_1", externalSubscriptionID: "sub_1")))))
        ),
        ("prices-published", record(16, event(.pricesPublished(prices)))),
        (
            "lago-window-closed",
            record(
                17,
                event(
                    .lagoWindowClosed(
                        LagoWindowClosed(
                            windowSeconds: 3600, through: Timestamp(microseconds: 1_795_334_400_000_000)))), key: nil,
                door: .daemon)
        ),
        ("lago-batch-delivered", record(18, event(.lagoBatchDelivered(LagoDelivery(batch: "b-1"))), door: .daemon)),
        (
            "lago-batch-failed",
            record(19, event(.lagoBatchFailed(LagoDelivery(batch: "b-1", detail: "422"))), door: .daemon)
        ),
        (
            "alert-balance",
            record(
                20,
                event(
                    .alertDefined(
                        Alert(name: "low", owner: .org("acme"), condition: .balanceBelow(Money(nanos: -1))))))
        ),
        (
            "alert-calls",
            record(
                21,
                event(
                    .alertDefined(
                        Alert(name: "calls", owner: .user("ada"), condition: .callsPercent(80), isEnabled: false))))
        ),
        (
            "alert-spend",
            record(
                22,
                event(
                    .alertDefined(
                        Alert(
                            name: "spend", owner: .org("acme"),
                            condition: .spend(Money(nanos: 50_000_000), per: .week)))))
        ),
        (
            "alert-days",
            record(
                23, event(.alertDefined(Alert(name: "days", owner: .org("acme"), condition: .daysLeft(365)))))
        ),
        ("call_org_space", record(37, event(.call(leastCall)), space: .org("acme"))),
        ("call_long_id", record(38, longID(.call(leastCall)), key: nil, space: .org("é"))),
        (
            "window_daemon_space",
            record(
                39,
                Event(
                    source: "tallystick", id: "window/1", time: time,
                    fact: .lagoWindowClosed(LagoWindowClosed(windowSeconds: 3600, through: time))), key: nil,
                door: .daemon, space: .daemon)
        ),
        (
            "voided_of_org",
            record(
                40,
                event(
                    .callVoided(CallVoided(source: "s", id: "i", org: "acme", reason: "twice", unwinds: standing))))
        ),
        (
            "amended_of_org",
            record(
                41,
                event(
                    .callAmended(
                        CallAmended(
                            source: "s", id: "i", org: "acme", reason: "", call: leastCall, unwinds: free))),
                space: .org("acme"))
        ),
    ]

    static let recordedAt = Timestamp(microseconds: 1_795_334_519_805_458)
    static let time = Timestamp(microseconds: 1_795_334_519_320_818)

    static func event(_ fact: Fact, time: Timestamp? = time) -> Event {
        Event(source: "gateway/eu-1", id: "3f2504e0-4f89-41d3-9a0c-0305e82c3301", time: time, fact: fact)
    }

    static func record(
        _ position: UInt64, _ event: Event, key: Name? = "gateway", door: Door = .native, space: KeySpace = .common
    ) -> Record {
        Record(position: position, recordedAt: recordedAt, door: door, key: key, space: space, event: event)
    }

    /// An event with an id that is too long for a name.
    static func longID(_ fact: Fact) -> Event {
        guard let id = EventID("resp_" + String(repeating: "é", count: 194)) else { preconditionFailure("no id") }
        return Event(source: "gateway/eu-1", id: id, time: time, fact: fact)
    }

    static let typicalEvent = event(
        .call(
            Call(
                org: "acme", user: "user-4711", service: "chat", provider: "anthropic", model: "claude-sonnet-4-5",
                operation: .chat, status: .success,
                usage: Usage(inputTokens: 1200, outputTokens: 300, cacheReadTokens: 1000, reasoningTokens: 120),
                cost: Decimal(mantissa: 135, scale: 7), latencyMilliseconds: 1834,
                attributes: [Attribute(name: "power_level", value: "balanced")])))

    static let leastCall = Call(user: "u", provider: "p", model: "m", operation: .other, status: .aborted)

    static let mostCall = Call(
        org: "acme", user: "ada", service: "chat", team: "team é", apiKey: "alias", endUser: "end",
        provider: "openai", model: "gpt-5", requestedModel: "fast", operation: .audio, keySource: .byok,
        status: .failure,
        usage: Usage(
            inputTokens: 0, outputTokens: 127, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 127,
            images: 128, audioSeconds: Decimal(mantissa: 125, scale: 1), characters: Usage.countMax, searches: 16_384,
            requests: 1), cost: Decimal(mantissa: .min, scale: 0), latencyMilliseconds: .max, cacheHit: true,
        authorization: "auth-1",
        attributes: [Attribute(name: "a", value: ""), Attribute(name: "client.b", value: "line\nline")])

    static func subscribed(org: Name?, user: Name?) -> Call {
        Call(
            org: org, user: user, subscription: "sub_1", provider: "openai", model: "gpt-5", operation: .chat,
            status: .success, usage: Usage())
    }

    static let prices = PriceList(
        effectiveAt: Timestamp(microseconds: 1_793_491_200_000_000), unit: .usd,
        rules: [
            PriceRule(
                provider: "openai", model: "gpt-*", operation: .chat, per: 1_000_000,
                input: Decimal(mantissa: 125, scale: 2), output: Decimal(mantissa: 10, scale: 0),
                cacheRead: Decimal(mantissa: 125, scale: 3), cacheWrite: .zero,
                reasoning: Decimal(mantissa: 1, scale: 12), perCall: .one,
                perImage: .one, perAudioSecond: .one, perSearch: .one),
            PriceRule(provider: "anthropic", anyToken: Decimal(mantissa: 15, scale: 3)),
            PriceRule(reportedCost: Decimal(mantissa: 16, scale: 1)),
        ],
        multipliers: [
            .init(
                attribute: "power_level",
                values: [
                    .init(value: "balanced", factor: Decimal(mantissa: 25, scale: 2)),
                    .init(value: "eco", factor: Decimal(mantissa: 1, scale: 1)),
                ])
        ], cacheHit: Decimal(mantissa: 5, scale: 1))
}

extension Record {
    /// Encoded and stamped.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        RecordCodec.encode(self, into: &bytes)
        return bytes
    }
}

func decode(_ bytes: [UInt8]) throws(RecordError) -> Record {
    let result = bytes.withUnsafeBytes { buffer -> Result<Record, RecordError> in
        do throws(RecordError) { return .success(try RecordCodec.decode(buffer)) } catch { return .failure(error) }
    }
    return try result.get()
}

extension GoldenRecords {
    static let asked = AuthorizationSubject(
        id: "req-1", org: "acme", user: "ada", provider: "openai", model: "gpt-4o", operation: .responses,
        keySource: .byok)

    /// Paid by two lots, a wallet and overage, part of it invoiced.
    static let standing = StandingCall(
        original: 3, position: 17, occurredAt: time, isCall: true, org: "acme", user: "ada", isCounted: true,
        charge: ChargeRecord(
            parts: [
                ChargeRecord.Part(
                    owner: .org("acme"),
                    slices: [
                        Slice(lot: "lot-1", amount: Money(nanos: 1_500_000)), Slice(lot: "é", amount: Money(nanos: 1)),
                    ], overage: Money(nanos: 700), invoiced: Money(nanos: 300)),
                ChargeRecord.Part(owner: .user("ada"), slices: [Slice(lot: "w", amount: Money(nanos: 9_000))]),
            ], drawn: Money(nanos: 1_500_001)))

    /// Usage that cost nothing.
    static let free = StandingCall(
        original: 5, position: 5, occurredAt: time, isCall: false, org: nil, user: "ada", keySource: .byok,
        isCounted: false, charge: ChargeRecord())
}
