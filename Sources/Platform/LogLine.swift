import Glibc
internal import Synchronization

/// Lines for the operator, on standard error: time, level, what happened, then facts; as text (name=value) or as a JSON
/// object. Whatever could forge or hide part of a line is escaped, and every part is cut at a limit, so that nothing
/// from outside can do either. No key, body or prompt is ever passed in.
public enum LogLine {
    public enum Level: String, Sendable {
        case info, warning, error
    }

    public enum Form: String, CaseIterable, Sendable {
        case text, json
    }

    /// Bytes of a fact, and of the text, that are written; then "...".
    public static let valueBytesMax = 1024

    private static let isJSON = Atomic<Bool>(false)

    /// The form of every line from now on; text until then.
    public static func use(_ form: Form) {
        isJSON.store(form == .json, ordering: .relaxed)
    }

    public static func write(_ level: Level, _ text: String, _ facts: KeyValuePairs<String, String> = [:]) {
        let form: Form = isJSON.load(ordering: .relaxed) ? .json : .text
        let bytes = Array(line(level, text, facts, at: WallClock.microseconds(), form: form).utf8)
        // One write a line: lines of several threads do not mix.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }

    /// - Parameter facts: names are ours, in lower case with `_`, none of them `time`, `level` or `text`.
    static func line(
        _ level: Level, _ text: String, _ facts: KeyValuePairs<String, String>, at microseconds: Int64, form: Form
    ) -> String {
        var line: String
        switch form {
        case .text:
            line = stamp(microseconds) + " " + level.rawValue + " " + escaped(text)
            for (name, value) in facts {
                let text = escaped(value)
                let isPlain = !text.isEmpty && !text.utf8.contains { $0 == 0x20 || $0 == 0x5C || $0 == 0x3D }
                line += " " + name + "=" + (isPlain ? text : "\"" + text + "\"")
            }
        case .json:
            line = "{\"time\":\"" + stamp(microseconds) + "\",\"level\":\"" + level.rawValue
            line += "\",\"text\":\"" + escaped(text) + "\""
            for (name, value) in facts { line += ",\"" + name + "\":\"" + escaped(value) + "\"" }
            line += "}"
        }
        return line + "\n"
    }

    /// Escaped as JSON strings are: quotes, backslashes, control characters (C0, DEL, C1), the line and paragraph
    /// separators, and the marks that turn the direction of writing, with which a terminal shows other than is there.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            guard result.utf8.count < valueBytesMax else { return result + "..." }
            switch scalar.value {
            case 0x22: result += "\\\""
            case 0x5C: result += "\\\\"
            case 0x0A: result += "\\n"
            case 0...0x1F, 0x7F...0x9F, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func stamp(_ microseconds: Int64) -> String {
        var seconds = time_t(microseconds / 1_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let milliseconds = String(1000 + microseconds / 1000 % 1000).dropFirst()
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
    }
}
