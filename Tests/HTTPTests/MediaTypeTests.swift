import HTTP
import Testing

@Suite struct MediaTypeTests {
    @Test func `a media type is read with its parameters`() {
        let type = MediaType("Application/JSON ; Charset=\"UTF-8\";x=\"a;b\"")
        #expect(type?.type == "application")
        #expect(type?.subtype == "json")
        #expect(type?["charset"] == "utf-8")
        #expect(type?["x"] == "a;b")
        for text in ["", "json", "a/b/c", "/b", "a/", "a b/c", "a/b;=1", "a/b;x y=1", "a/b;x"] {
            #expect(MediaType(text) == nil, "\(text)")
        }
    }

    /// RFC 9110 section 12.5.1.
    @Test(arguments: [
        ([], true), (["*/*"], true), (["application/json"], true), (["APPLICATION/*"], true),
        (["text/html, application/json;q=0.1"], true), (["text/html", "*/*;q=0.1"], true),
        (["text/html"], false), (["text/*, image/png"], false), (["*/json"], false),
        (["application/json;q=0"], false), (["application/json;q=0.000, */*"], false), (["*/*;q=0"], false),
        (["application/*;q=0, application/json"], true), (["application/json;q=0.001"], true),
        (["nonsense"], true), ([""], true), (["nonsense, text/html"], false),
        (["application/json;profile=\"a,b\""], true),
    ])
    func `the most exact range of Accept decides`(_ values: [String], _ isAccepted: Bool) {
        #expect(MediaType.isAccepted(anyOf: ["application/json"], by: values) == isAccepted)
    }

    @Test func `one of several types is enough`() {
        #expect(MediaType.isAccepted(anyOf: ["application/json", "text/csv"], by: ["text/csv"]))
        #expect(!MediaType.isAccepted(anyOf: ["application/json", "text/csv"], by: ["text/plain"]))
    }
}
