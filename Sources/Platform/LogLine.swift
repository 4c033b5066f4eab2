import Glibc

/// Lines for the operator, on standard error: time, level, what happened, then facts as name=value. Control bytes and
/// quotes are escaped, so that nothing from outside can forge a line. No key, body or prompt is ever passed in.
public enum LogLine {
    public enum Level: String, Sendable {
        case info, warning, error
    }

    public static func write(_ level: Level, _ text: String, _ facts: KeyValuePairs<String, String> = [:]) {
        var line = stamp(WallClock.microseconds()) + " " + level.rawValue + " " + escaped(text)
        for (name, value) in facts {
            line += " " + name + "="
            let text = escaped(value)
            line += text.utf8.contains(0x20) || text.isEmpty ? "\"" + text + "\"" : text
        }
        line += "\n"
        // One write a line: lines of several threads do not mix.
        let bytes = Array(line.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }

    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
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
