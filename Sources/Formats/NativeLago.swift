internal import Billing
internal import JSON

/// A day, the longest window.
private let windowSecondsMax: Int64 = 86_400

/// `data` of the `lago.*` events, which only an import can bring. The next value is an object.
extension NativeParser {
    mutating func lagoWindow() throws(JSONError) -> Fact? {
        var windowSeconds: Int64?
        var through: Timestamp?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "window_seconds":
                windowSeconds = try integer("window_seconds", in: 60...windowSecondsMax)
                if let windowSeconds, windowSecondsMax % windowSeconds != 0 {
                    note("out_of_range", "window_seconds", "must divide a day")
                }
            case "through": through = try time("through")
            default: try unknown(key)
            }
        }
        if windowSeconds == nil { missing("window_seconds") }
        if through == nil { missing("through") }
        guard let windowSeconds, let through else { return nil }
        return .lagoWindowClosed(LagoWindowClosed(windowSeconds: windowSeconds, through: through))
    }

    mutating func lagoDelivery() throws(JSONError) -> LagoDelivery? {
        var batch: Name?
        var detail: String?
        try reader.beginObject()
        while let key = try reader.nextName() {
            switch key {
            case "batch": batch = try name("batch")
            case "detail": detail = try text("detail")
            default: try unknown(key)
            }
        }
        guard let batch else {
            missing("batch")
            return nil
        }
        return LagoDelivery(batch: batch, detail: detail)
    }
}
