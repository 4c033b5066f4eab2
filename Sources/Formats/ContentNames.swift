/// Names under which a call's content travels: prompts, answers, headers, credentials. They are never stored (contract
/// 3); attributes are free-form, so there the name must tell.
enum ContentNames {
    private static let names: Set<String> = [
        "prompt", "prompts", "system_prompt", "messages", "completion", "completions", "content", "contents", "choices",
        "request_body", "response_body", "headers", "authorization", "cookie", "cookies", "password", "secret",
    ]

    /// Whether `name` is one, in any case of its letters.
    static func holds(_ name: String) -> Bool {
        guard name.utf8.count <= 16 else { return false }
        let lower = name.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        return names.contains(String(decoding: lower, as: UTF8.self))
    }
}
