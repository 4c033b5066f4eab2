internal import HTTP
internal import Hashing
internal import Schemas

/// The page at `/`. It may run the one script that came with it, named by its hash, and speak to this daemon alone
/// (Content Security Policy Level 3, sections 6.1 and 8.3): whatever a name in the log holds, it cannot become code.
enum Dashboard {
    static let response: Response = {
        let page = Schema.dashboard
        let script = Base64.text(SHA256.hash(content(of: "script", in: page)).bytes)
        let policy = [
            "default-src 'none'", "script-src 'sha256-\(script)'", "style-src 'unsafe-inline'", "connect-src 'self'",
            "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        ]
        return Response(
            status: 200, contentType: "text/html; charset=utf-8",
            headers: [
                ("Content-Security-Policy", policy.joined(separator: "; ")), ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-cache"),
            ], body: page)
    }()

    /// What stands between the first `<name>` and the first `</name>`.
    static func content(of name: String, in page: [UInt8]) -> [UInt8] {
        let opening = Array("<\(name)>".utf8)
        let closing = Array("</\(name)>".utf8)
        guard let start = page.firstRange(of: opening)?.upperBound,
            let end = page[start...].firstRange(of: closing)?.lowerBound
        else { preconditionFailure("the dashboard has no <\(name)>") }
        return Array(page[start..<end])
    }
}
