import HTTP
import Testing

@Suite struct ResponseTests {
    static let date = HTTPDate.format(seconds: 784_111_777)

    static func text(_ response: Response, _ context: ResponseSerializer.Context = .init()) -> String {
        var out: [UInt8] = []
        _ = ResponseSerializer.append(response, context: context, date: date, to: &out)
        return String(decoding: out, as: UTF8.self)
    }

    static let head = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    static let ok = "HTTP/1.1 200 OK\r\n\(head)"

    struct Row: Sendable {
        var status = 200
        var body = "hi"
        var context = ResponseSerializer.Context()
        var expected: String
    }

    @Test(arguments: [
        Row(expected: "\(ok)X: 1\r\nContent-Length: 2\r\n\r\nhi"),
        Row(body: "", expected: "\(ok)X: 1\r\nContent-Length: 0\r\n\r\n"),
        Row(context: .init(isHead: true), expected: "\(ok)X: 1\r\nContent-Length: 2\r\n\r\n"),
        Row(
            context: .init(keepAlive: false),
            expected: "\(ok)X: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"),
        Row(
            context: .init(versionMinor: 0),
            expected: "\(ok)X: 1\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"),
        Row(status: 204, expected: "HTTP/1.1 204 No Content\r\n\(head)X: 1\r\n\r\n"),
        Row(status: 304, expected: "HTTP/1.1 304 Not Modified\r\n\(head)X: 1\r\n\r\n"),
        Row(
            status: 499, body: "0123456789",
            expected: "HTTP/1.1 499 Status\r\n\(head)X: 1\r\nContent-Length: 10\r\n\r\n0123456789"),
    ])
    func `a response is written to the byte`(_ row: Row) {
        #expect(
            Self.text(Response(status: row.status, headers: [("X", "1")], body: bytes(row.body)), row.context)
                == row.expected)
    }

    @Test func `a line break in a header value cannot begin another header`() {
        let text = Self.text(Response(status: 200, headers: [("X", "a\r\nSet-Cookie: b\u{0}")]))
        #expect(text.contains("X: a  Set-Cookie: b \r\n"))
    }

    @Test func `a problem document quotes what it says`() {
        let response = Response.problem(
            status: 409, code: "conflict", detail: "\"x\" \\ \n", headers: [("A", "b")], members: [("index", "3")])
        guard case .bytes(let body) = response.body else {
            Issue.record("no bytes")
            return
        }
        #expect(
            String(decoding: body, as: UTF8.self)
                == #"{"type":"about:blank","title":"Conflict","status":409,"detail":"\"x\" \\ \u000a","#
                + #""code":"conflict","index":3}"#)
        #expect(response.headers.map(\.name) == ["Content-Type", "A"])
    }

    @Test func `pieces are chunks for HTTP 1 1 and plain for HTTP 1 0`() {
        let response = Response(status: 200, body: .chunks { $0.send(.last([])) })
        #expect(Self.text(response) == "\(Self.ok)Transfer-Encoding: chunked\r\n\r\n")
        #expect(Self.text(response, .init(versionMinor: 0)) == "\(Self.ok)Connection: close\r\n\r\n")
        var out: [UInt8] = []
        ResponseSerializer.appendPiece(bytes("0123456789abcdef!"), isLast: false, chunked: true, to: &out)
        ResponseSerializer.appendPiece([], isLast: false, chunked: true, to: &out)
        ResponseSerializer.appendPiece(bytes("x"), isLast: true, chunked: true, to: &out)
        #expect(out == bytes("11\r\n0123456789abcdef!\r\n1\r\nx\r\n0\r\n\r\n"))
        out = []
        ResponseSerializer.appendPiece(bytes("plain"), isLast: true, chunked: false, to: &out)
        #expect(out == bytes("plain"))
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] as [(Int64, String)])
    func `a date is an IMF-fixdate`(_ seconds: Int64, _ text: String) {
        #expect(String(decoding: HTTPDate.format(seconds: seconds), as: UTF8.self) == text)
    }

    @Test func `every framing error answers a status that closes`() {
        for error in FramingError.allCases {
            #expect((400...599).contains(error.status))
            #expect(!error.detail.isEmpty)
            #expect(error.response.status == error.status)
        }
    }
}
