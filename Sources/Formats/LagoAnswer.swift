public import Billing
internal import JSON

/// An answer in Lago's own words: status and JSON body.
public struct LagoAnswer: Error, Hashable, Sendable {
    public var status: Int
    public var body: [UInt8]

    public init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
    }

    /// 200 for one event. `recordedAt` stands in where the client gave no timestamp.
    public static func stored(_ item: LagoItem, recordedAt: Timestamp) -> LagoAnswer {
        var writer = JSONWriter(reservingCapacity: 512)
        writer.beginObject()
        writer.key("event")
        write(item, recordedAt, to: &writer)
        writer.endObject()
        return LagoAnswer(status: 200, body: writer.bytes)
    }

    /// 200 for a batch.
    public static func stored(_ items: [LagoItem], recordedAt: Timestamp) -> LagoAnswer {
        var writer = JSONWriter(reservingCapacity: 512 * items.count + 16)
        writer.beginObject()
        writer.key("events")
        writer.beginArray()
        for item in items { write(item, recordedAt, to: &writer) }
        writer.endArray()
        writer.endObject()
        return LagoAnswer(status: 200, body: writer.bytes)
    }

    /// 422 for one event: `{"transaction_id":["value_already_exist"]}` under `error_details`.
    public static func invalid(_ faults: [LagoItem.Fault]) -> LagoAnswer {
        validation { write(faults, to: &$0) }
    }

    /// 422 for a batch, by index. All of the batch is refused.
    public static func invalid(batch faults: [(index: Int, faults: [LagoItem.Fault])]) -> LagoAnswer {
        validation { writer in
            writer.beginObject()
            for entry in faults {
                writer.key(String(entry.index))
                write(entry.faults, to: &writer)
            }
            writer.endObject()
        }
    }

    /// What Lago says of a transaction id that is there already.
    public static let alreadyExists = LagoItem.Fault(field: "transaction_id", code: "value_already_exist")

    public static let noEvents = invalid([.init(field: "events", code: "no_events")])
    public static let tooManyEvents = invalid([.init(field: "events", code: "too_many_events")])

    /// 400. `detail` is one sentence without the body's content.
    public static func badRequest(_ detail: String) -> LagoAnswer { plain(400, "BadRequest: " + detail) }
    public static let unauthorized = plain(401, "Unauthorized")
    public static let forbidden = plain(403, "Forbidden", code: "write_action_not_allowed_for_event")
    public static let notFound = plain(404, "Not Found", code: "event_not_found")

    private static func plain(_ status: Int, _ error: String, code: String? = nil) -> LagoAnswer {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("status", integer: status)
        writer.member("error", string: error)
        writer.member("code", string: code)
        writer.endObject()
        return LagoAnswer(status: status, body: writer.bytes)
    }

    private static func validation(_ details: (inout JSONWriter) -> Void) -> LagoAnswer {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("status", integer: 422)
        writer.member("error", string: "Unprocessable Entity")
        writer.member("code", string: "validation_errors")
        writer.key("error_details")
        details(&writer)
        writer.endObject()
        return LagoAnswer(status: 422, body: writer.bytes)
    }

    /// Faults of one field are gathered, for a JSON object has each name once.
    private static func write(_ faults: [LagoItem.Fault], to writer: inout JSONWriter) {
        writer.beginObject()
        for (index, fault) in faults.enumerated() where !faults[..<index].contains(where: { $0.field == fault.field }) {
            writer.key(fault.field)
            writer.beginArray()
            for other in faults where other.field == fault.field { writer.string(other.code) }
            writer.endArray()
        }
        writer.endObject()
    }

    private static func write(_ item: LagoItem, _ recordedAt: Timestamp, to writer: inout JSONWriter) {
        writer.beginObject()
        writer.member("lago_id", string: item.lagoID)
        writer.member("transaction_id", string: item.transactionID)
        writer.member(null: "lago_customer_id")
        writer.member("code", string: item.code)
        writer.member("timestamp", string: milliseconds(item.timestamp ?? recordedAt))
        if let cents = item.preciseTotalAmountCents {
            writer.member("precise_total_amount_cents", string: cents)
        } else {
            writer.member(null: "precise_total_amount_cents")
        }
        writer.member("properties", value: item.properties)
        writer.member(null: "lago_subscription_id")
        writer.member("external_subscription_id", string: item.subscription)
        writer.member("created_at", string: milliseconds(recordedAt))
        writer.endObject()
    }

    /// "2026-11-22T07:52:05.320Z": always three decimals, cut off.
    static func milliseconds(_ time: Timestamp) -> String {
        let perSecond = Timestamp.microsecondsPerSecond
        var micros = time.microseconds % perSecond
        if micros < 0 { micros += perSecond }
        let seconds = Timestamp(microseconds: time.microseconds - micros).rfc3339.dropLast()
        let digits = String(micros / 1000)
        return seconds + "." + String(repeating: "0", count: 3 - digits.utf8.count) + digits + "Z"
    }
}
