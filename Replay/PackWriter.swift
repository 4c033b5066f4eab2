import Billing
import Formats
import Hashing
import JSON
import Projections
import Records
import Snapshots

/// The files of an audit pack as bytes (Schemas/PACK.md): the same history gives the same bytes.
enum PackWriter {
    /// A record that is about the org and names another owner too: of it the pack has the hash, and what it did.
    struct Withheld {
        var position: UInt64
        var hash: Digest
        var time: Timestamp
        /// The version that it unwinds, where that was the org's.
        var unwinds: UInt64?
        /// The call that it charges the org, where it does, with the call's own time.
        var joins: (call: Call, time: Timestamp, isCall: Bool)?

        /// Not under the call's own source and id, which are another owner's.
        static let name = Name(checked: "withheld")
    }

    private static func document(_ body: (inout JSONWriter) -> Void) -> [UInt8] {
        var writer = JSONWriter()
        body(&writer)
        return writer.bytes + [0x0A]
    }

    static func manifest(
        org: Name, period: Range<Timestamp>, logID: [UInt8], position: UInt64, files: [Manifest.File]
    ) -> [UInt8] {
        document { writer in
            writer.beginObject()
            writer.member("format", integer: 1)
            writer.member("kind", string: "pack")
            writer.member("org", string: org.text)
            writer.member("start", string: period.lowerBound.rfc3339)
            writer.member("end", string: period.upperBound.rfc3339)
            writer.member("log_id", string: Hex.text(logID))
            writer.member("position", integer: position)
            Manifest.write(files, into: &writer)
            writer.endObject()
        }
    }

    static func proof(others: [Digest], consistency: [(first: UInt64, root: Digest, hashes: [Digest])]) -> [UInt8] {
        document { writer in
            writer.beginObject()
            writer.key("others")
            writer.beginArray()
            for hash in others { writer.string(hash.base64) }
            writer.endArray()
            writer.key("consistency")
            writer.beginArray()
            for one in consistency {
                writer.beginObject()
                writer.member("first", integer: one.first)
                writer.member("root", string: one.root.base64)
                writer.key("hashes")
                writer.beginArray()
                for hash in one.hashes { writer.string(hash.base64) }
                writer.endArray()
                writer.endObject()
            }
            writer.endArray()
            writer.endObject()
        }
    }

    static func line(of charge: OrgHistory.Charge, shared: Set<Name>) -> [UInt8] {
        let rating = charge.rating
        return document { writer in
            writer.beginObject()
            writer.member("position", integer: charge.position)
            writer.member("credits", string: rating.charge.credits)
            writer.member("unpriced", bool: rating.unpriced != nil)
            if let list = rating.list, let rule = rating.rule, rating.charge != .zero {
                writer.key("price")
                writer.beginArray()
                writer.integer(list)
                writer.integer(rule)
                writer.endArray()
            } else {
                writer.member(null: "price")
            }
            writer.key("parts")
            writer.beginArray()
            for part in charge.parts {
                writer.beginObject()
                switch part.owner {
                case .org: writer.member("owner", string: "org")
                case .user: writer.member("owner", string: "user")
                }
                if case .user(let user) = part.owner, shared.contains(user) {
                    writer.member("outside_credits", string: (part.total - part.overage).credits)
                } else {
                    writer.key("slices")
                    writer.beginArray()
                    for slice in part.slices {
                        writer.beginArray()
                        writer.string(slice.lot.text)
                        writer.string(slice.amount.credits)
                        writer.endArray()
                    }
                    writer.endArray()
                }
                writer.member("overage_credits", string: part.overage.credits)
                writer.member("invoiced_credits", string: part.invoiced.credits)
                writer.endObject()
            }
            writer.endArray()
            writer.endObject()
        }
    }

    static func lines(_ history: OrgHistory) -> [UInt8] {
        document { writer in
            writer.beginArray()
            for line in history.lines() {
                let sums = line.sums
                writer.beginObject()
                member("line", line.id)
                member("batch", line.batch)
                if let position = line.sealedAt {
                    writer.member("sealed_at", integer: position)
                } else {
                    writer.member(null: "sealed_at")
                }
                writer.member("subscription", string: line.key.subscription.text)
                writer.member("window_start", integer: line.key.windowStart)
                writer.member("window_seconds", integer: line.key.windowSeconds)
                writer.member("provider", string: line.key.provider.text)
                writer.member("model", string: line.key.model.text)
                writer.member("operation", string: line.key.operation.name)
                writer.member("calls", integer: sums.calls)
                writer.member("input_tokens", integer: sums.inputTokens)
                writer.member("output_tokens", integer: sums.outputTokens)
                writer.member("cache_read_tokens", integer: sums.cacheReadTokens)
                writer.member("cache_write_tokens", integer: sums.cacheWriteTokens)
                writer.member("reasoning_tokens", integer: sums.reasoningTokens)
                writer.member("images", integer: sums.images)
                writer.member("characters", integer: sums.characters)
                writer.member("searches", integer: sums.searches)
                writer.member("audio_seconds", string: Decimal.text(sums.audioMicros, scale: 6))
                writer.member("credits", string: sums.charge.credits)
                // 10^7 n$ are a cent.
                writer.member(
                    "precise_total_amount_cents", string: Decimal.text(sums.invoiced.nanos, scale: 7))
                writer.key("records")
                writer.beginArray()
                for share in line.shares {
                    writer.beginArray()
                    writer.integer(share.position)
                    writer.integer(share.sign)
                    writer.endArray()
                }
                writer.endArray()
                writer.endObject()
            }
            writer.endArray()

            func member(_ name: StaticString, _ text: String?) {
                if let text { writer.member(name, string: text) } else { writer.member(null: name) }
            }
        }
    }

    /// Movements by time, with the balance as it runs that way: late records stand where they belong.
    static func statement(_ history: OrgHistory) -> [UInt8] {
        let rows = history.movements.enumerated().sorted { left, right in
            (left.element.time, left.element.position, left.offset)
                < (right.element.time, right.element.position, right.offset)
        }.map(\.element)
        var opening = MoneySum.zero
        for row in rows where row.time < history.period.lowerBound { opening += row.movement.effect }
        var balance = opening
        var lines = JSONWriter()
        lines.beginArray()
        for row in rows where history.period.contains(row.time) {
            balance += row.movement.effect
            lines.beginObject()
            lines.member("position", integer: row.position)
            lines.member("time", string: row.time.rfc3339)
            lines.member("what", string: row.movement.kind.name)
            lines.member("amount_credits", string: row.movement.amount.credits)
            lines.member("invoiced_credits", string: row.movement.invoiced.credits)
            lines.member("balance_credits", string: balance.credits)
            lines.endObject()
        }
        lines.endArray()
        return document { writer in
            writer.beginObject()
            writer.member("opening_credits", string: opening.credits)
            writer.member("closing_credits", string: balance.credits)
            writer.key("totals")
            writer.beginObject()
            for (name, sum) in zip(OrgHistory.Totals.names, history.totals.sums) {
                writer.key(name)
                if name == "charged_credits" {
                    writer.string(MoneySum(nanos: sum).credits)
                } else {
                    writer.integer(sum)
                }
            }
            writer.endObject()
            writer.key("lines")
            writer.raw(lines.bytes)
            writer.endObject()
        }
    }

    /// What whoever checks the pack has to believe, or has to know to see whose records are in it.
    static func claims(_ history: OrgHistory, withheld: [Withheld]) -> [UInt8] {
        document { writer in
            writer.beginObject()
            names("users", history.users)
            names("wallet_users", history.walletUsers)
            names("shared_users", history.sharedUsers)
            names("shared_subscriptions", history.sharedSubscriptions)
            writer.key("wallets")
            writer.beginArray()
            let shared = history.sharedUsers
            for draw in history.walletDraws where shared.contains(draw.user) {
                writer.beginObject()
                writer.member("position", integer: draw.position)
                writer.member("nanos", integer: draw.taken.nanos)
                writer.endObject()
            }
            writer.endArray()
            writer.key("withheld")
            writer.beginArray()
            for one in withheld {
                writer.beginObject()
                writer.member("position", integer: one.position)
                writer.member("record_hash", string: one.hash.base64)
                writer.member("time", string: one.time.rfc3339)
                if let unwinds = one.unwinds { writer.member("unwinds", integer: unwinds) }
                if let joins = one.joins {
                    writer.key("joins")
                    writer.beginObject()
                    writer.member("time", string: joins.time.rfc3339)
                    writer.member("counts_call", bool: joins.isCall)
                    writer.key("event")
                    NativeFormat.write(
                        Event(source: Withheld.name, id: Withheld.name, time: nil, fact: .call(joins.call)),
                        into: &writer)
                    writer.endObject()
                }
                writer.endObject()
            }
            writer.endArray()
            writer.endObject()

            func names(_ member: StaticString, _ names: Set<Name>) {
                writer.key(member)
                writer.beginArray()
                for name in names.sorted() { writer.string(name.text) }
                writer.endArray()
            }
        }
    }

    static let readme = """
        This is an audit pack of Tallystick: the records of one organisation, and what follows from them.

            python3 verify.py .                        recomputes everything; ends with PASS or the first difference
            python3 verify.py . --checkpoint FILE      and that it is the log of a checkpoint that you kept
            python3 verify.py . --events               shows the records
            python3 verify.py . --proof POSITION       the proof that one record is in the log

        records.ndjson     the records, byte for byte as the log has them, in base64
        charges.ndjson     what each call of the period was charged, and out of which lots
        statement.json     the account in the period: every movement, opening and closing balance
        lines.json         the lines of the invoices, each with the records that it is made of
        checkpoint         the root over all records of the log when the pack was made; checkpoint.period: at the
                           period's end
        proof.json         what leads from the records to the roots (RFC 6962)
        claims.json        what cannot be worked out without records of others, and is to be believed
        manifest.json      SHA-256 of all files; manifest.sha256: its own

        What it proves: the records are in the log of the checkpoint, and every number here follows from them. What it
        cannot prove by itself: that the log was not written anew before the checkpoint was made, and that no record of
        the organisation was left out. Against the first, compare with a checkpoint that you got earlier or from
        somebody else; against the second, with your own list of calls. Take verify.py from somewhere else than from
        this pack if you do not trust who gave it to you.

        """
}
