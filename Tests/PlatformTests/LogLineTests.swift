import Testing

@testable import Platform

@Suite struct LogLineTests {
    private let moment: Int64 = 1_795_334_400_123_456

    private func line(_ form: LogLine.Form, _ value: String) -> String {
        LogLine.line(.warning, "it happened", ["count": "3", "what": value], at: moment, form: form)
    }

    @Test func `a line as text`() {
        #expect(line(.text, "plain") == "2026-11-22T08:00:00.123Z warning it happened count=3 what=plain\n")
        #expect(line(.text, "two words").hasSuffix(#" what="two words""# + "\n"))
        #expect(line(.text, "").hasSuffix(#" what="""# + "\n"))
        #expect(line(.text, "a=b").hasSuffix(#" what="a=b""# + "\n"))
    }

    @Test func `a line as JSON`() {
        #expect(
            line(.json, #"C:\ "x""#)
                == #"{"time":"2026-11-22T08:00:00.123Z","level":"warning","text":"it happened","count":"3","#
                + #""what":"C:\\ \"x\""}"# + "\n")
    }

    @Test(arguments: LogLine.Form.allCases) func `nothing from outside makes a second line or a terminal's command`(
        form: LogLine.Form
    ) {
        let forged = "x\r\n2026-11-22T08:00:00.123Z error forged\u{1B}[2J\u{9B}31m\u{7F}\0\u{2028}\u{202E}\u{2066}\t"
        let text = line(form, forged)
        #expect(text.utf8.filter { $0 == 0x0A }.count == 1 && text.hasSuffix("\n"))
        for scalar in text.unicodeScalars.dropLast() {
            let value = scalar.value
            #expect(value >= 0x20 && !(0x7F...0x9F).contains(value), "U+\(String(value, radix: 16))")
            #expect(!(0x2028...0x202E).contains(value) && !(0x2066...0x2069).contains(value))
        }
        #expect(text.contains(#"\u001b[2J"#) && text.contains(#"\u202e"#))
    }

    @Test(arguments: ["a", "é", "\u{1F600}", "\n", "\u{1B}"]) func `a long value is cut, never within a character`(
        piece: String
    ) {
        let text = LogLine.escaped(String(repeating: piece, count: 10_000))
        #expect(text.utf8.count < LogLine.valueBytesMax + 12)
        #expect(text.hasSuffix("...") && !text.unicodeScalars.contains("\u{FFFD}"))
    }
}
