public import Billing
public import JSON

/// Answers about credits, calls and tokens as JSON: the same over HTTP and from `tallystick-replay`.
public enum AnswerFormat {
    /// The members of an object about an owner.
    public static func writeMembers(of credits: CreditSummary, into writer: inout JSONWriter) {
        let account = credits.account
        writer.member("available_credits", string: credits.available.credits)
        writer.member("balance_credits", string: account.balance.credits)
        writer.member("held_credits", string: account.held.credits)
        writer.member("granted_credits", string: account.granted.credits)
        writer.member("adjusted_credits", string: account.adjusted.credits)
        writer.member("spent_credits", string: account.spent.credits)
        writer.member("expired_credits", string: account.expired.credits)
        writer.member("voided_credits", string: account.voided.credits)
        writer.member("overage_credits", string: account.overage.credits)
        writer.member("invoiced_credits", string: account.invoiced.credits)
        writer.key("lots")
        writer.array(credits.lots) { write($1, into: &$0) }
        writer.key("allocations")
        writer.array(credits.allocations) { write($1, into: &$0) }
    }

    public static func write(_ lot: Lot, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("lot", string: lot.id.text)
            writer.member("category", string: lot.category.name)
            writer.member("priority", integer: lot.priority)
            writer.member("granted_credits", string: lot.granted.credits)
            writer.member("available_credits", string: lot.left.credits)
            writer.member("spent_credits", string: lot.spent.credits)
            writer.member("expired_credits", string: lot.expired.credits)
            writer.member("voided_credits", string: lot.voided.credits)
            writer.member("effective_at", string: lot.effectiveAt.rfc3339)
            if let time = lot.expiresAt {
                writer.member("expires_at", string: time.rfc3339)
            } else {
                writer.member(null: "expires_at")
            }
            writer.member("position", integer: lot.position)
        }
    }

    public static func write(_ status: AllocationStatus, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("user", string: status.allocation.user.text)
            writer.member("mode", string: status.allocation.mode.name)
            writer.member("credits", string: status.allocation.credits.credits)
            writer.member("period", string: status.allocation.period.name)
            writer.member("drawn_credits", string: status.drawn.credits)
            writer.member("remaining_credits", string: status.remaining.credits)
            if let time = status.resetsAt {
                writer.member("resets_at", string: time.rfc3339)
            } else {
                writer.member(null: "resets_at")
            }
        }
    }

    public static func write(_ calls: CallsAnswer, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.owner(calls.owner)
            if let plan = calls.plan {
                writer.member("plan", string: plan.text)
            } else {
                writer.member(null: "plan")
            }
            writer.key("period")
            writer.object { writer in
                writer.member("start", string: calls.period.lowerBound.start.rfc3339)
                writer.member("end", string: calls.period.upperBound.start.rfc3339)
            }
            writer.member("used", integer: calls.used)
            writer.key("limits")
            writer.array(calls.limits) { writer, limit in
                writer.object { writer in
                    writer.member("per", string: limit.limit.per.name)
                    writer.member("limit", integer: limit.limit.limit)
                    writer.member("enforce", string: limit.limit.enforce.name)
                    writer.member("used", integer: limit.used)
                    writer.member("remaining", integer: limit.remaining)
                    if let time = limit.resetsAt {
                        writer.member("resets_at", string: time.rfc3339)
                    } else {
                        writer.member(null: "resets_at")
                    }
                }
            }
            writer.key("by_status")
            writer.object { writer in
                for status in Call.Status.allCases {
                    let count = calls.byStatus.first { $0.status == status }?.count ?? 0
                    writer.key(status.name)
                    writer.integer(count)
                }
            }
            writer.key("by_key_source")
            writer.object { writer in
                for source in Call.KeySource.allCases {
                    let count = calls.byKeySource.first { $0.keySource == source }?.count ?? 0
                    writer.key(source.name)
                    writer.integer(count)
                }
            }
        }
    }

    /// Groups and totals.
    public static func write(_ tokens: TokensAnswer, into writer: inout JSONWriter) {
        writer.object { writer in
            writer.key("rows")
            writer.array(tokens.rows) { writer, row in
                writer.object { writer in
                    for dimension in tokens.groups { write(dimension, of: row, into: &writer) }
                    writeMembers(of: row.totals, into: &writer)
                }
            }
            writer.key("totals")
            writer.object { writeMembers(of: tokens.totals, into: &$0) }
        }
    }

    private static func write(
        _ dimension: TokensAnswer.Dimension, of row: TokensAnswer.Row, into writer: inout JSONWriter
    ) {
        let text: String? =
            switch dimension {
            case .day: row.day?.text
            case .org: row.org?.text
            case .model: row.model?.text
            case .provider: row.provider?.text
            case .user: row.user?.text
            case .service: row.service?.text
            case .keySource: row.keySource?.name
            }
        writer.key(dimension.rawValue)
        if let text { writer.string(text) } else { writer.null() }
    }

    public static func writeMembers(of totals: TokensAnswer.Totals, into writer: inout JSONWriter) {
        writer.member("calls", integer: totals.calls)
        writer.member("input_tokens", integer: totals.inputTokens)
        writer.member("output_tokens", integer: totals.outputTokens)
        writer.member("cache_read_tokens", integer: totals.cacheReadTokens)
        writer.member("cache_write_tokens", integer: totals.cacheWriteTokens)
        writer.member("reasoning_tokens", integer: totals.reasoningTokens)
        writer.member("images", integer: totals.images)
        writer.member("audio_seconds", string: Decimal.text(totals.audioMicroseconds, scale: 6))
        writer.member("credits", string: totals.charge.credits)
        writer.member("cost_usd", string: totals.cost.dollars)
        writer.member("unpriced_calls", integer: totals.unpricedCalls)
    }
}
