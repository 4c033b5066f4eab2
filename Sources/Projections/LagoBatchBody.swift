public import Billing

/// The body for Lago's `POST /api/v1/events/batch`: a pure function of sealed lines, so the same bytes every time.
///
/// Each line gives an `llm_usage` event (transaction id: the line's id and the microsecond at which its window was
/// closed, so that the lines of another log never meet it in one Lago), and where something is due an `llm_overage`
/// event (the same and "-overage"), whose `precise_total_amount_cents` a dynamic charge takes as it is. Its `units` are
/// the credits due: over zero, since Lago makes an amount of no units nothing. Counts and credits of a
/// line that takes calls back are negative; a negative amount due makes no event (`LagoSums.creditDue`).
public enum LagoBatchBody {
    public static func bytes(_ lines: [LagoLine], batch: LagoBatchID, closedAt: Timestamp) -> [UInt8] {
        var text = "{\"events\":["
        var isFirst = true
        for line in lines {
            text += isFirst ? "" : ","
            isFirst = false
            let transaction = "\(line.id)-\(closedAt.microseconds)"
            usage(line, transaction, batch: batch, into: &text)
            guard line.sums.invoiced > .zero else { continue }
            text += ","
            overage(line, transaction, batch: batch, into: &text)
        }
        text += "]}"
        return Array(text.utf8)
    }

    private static func usage(_ line: LagoLine, _ transaction: String, batch: LagoBatchID, into text: inout String) {
        let sums = line.sums
        begin(transaction, "llm_usage", line, into: &text)
        text += ",\"properties\":{"
        dimensions(line, into: &text)
        for (name, count) in [
            ("calls", Int128(sums.calls)), ("input_tokens", sums.inputTokens), ("output_tokens", sums.outputTokens),
            ("cache_read_tokens", sums.cacheReadTokens), ("cache_write_tokens", sums.cacheWriteTokens),
            ("reasoning_tokens", sums.reasoningTokens),
        ] { text += ",\"\(name)\":\(count)" }
        // Other units only where there are any.
        for (name, count) in [
            ("images", sums.images), ("characters", sums.characters), ("searches", sums.searches),
        ] where count != 0 { text += ",\"\(name)\":\(count)" }
        if sums.audioMicros != 0 {
            text += ",\"audio_seconds\":\(Decimal.text(sums.audioMicros, scale: 6))"
        }
        text += ",\"credits\":\"\(sums.charge.credits)\""
        end(line, batch: batch, into: &text)
    }

    private static func overage(
        _ line: LagoLine, _ transaction: String, batch: LagoBatchID, into text: inout String
    ) {
        begin(transaction + "-overage", "llm_overage", line, into: &text)
        text += ",\"precise_total_amount_cents\":\"\(cents(line.sums.invoiced))\",\"properties\":{"
        dimensions(line, into: &text)
        text += ",\"units\":\"\(line.sums.invoiced.credits)\""
        end(line, batch: batch, into: &text)
    }

    private static func begin(_ transaction: String, _ code: String, _ line: LagoLine, into text: inout String) {
        text += "{\"transaction_id\":\"\(transaction)\",\"external_subscription_id\":"
        quote(line.key.subscription.text, into: &text)
        text += ",\"code\":\"\(code)\",\"timestamp\":\(line.sums.lastAt.unixSeconds)"
    }

    private static func dimensions(_ line: LagoLine, into text: inout String) {
        text += "\"model\":"
        quote(line.key.model.text, into: &text)
        text += ",\"provider\":"
        quote(line.key.provider.text, into: &text)
        text += ",\"operation\":\"\(line.key.operation.name)\""
    }

    private static func end(_ line: LagoLine, batch: LagoBatchID, into text: inout String) {
        text += ",\"line_id\":\"\(line.id)\",\"batch_id\":\"\(batch.text)\"}}"
    }

    /// Names hold no control characters: only these two need an escape (RFC 8259 section 7).
    private static func quote(_ name: String, into text: inout String) {
        text += "\""
        for scalar in name.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { text += "\\" }
            text.unicodeScalars.append(scalar)
        }
        text += "\""
    }

    /// 10^7 n$ are a cent.
    private static func cents(_ amount: MoneySum) -> String { Decimal.text(amount.nanos, scale: 7) }
}
