import Billing
import Formats
import Hashing
import JSON
import Testing

/// Every item has the SHA-256 of its own bytes, whichever door it came by and whatever became of it.
@Suite struct ItemHashTests {
    static func hash(_ text: some StringProtocol) -> Digest { SHA256.hash(Array(text.utf8)) }

    static func expect(_ items: [DoorItem], _ texts: [String], _ note: String = "") {
        #expect(items.map(\.hash) == texts.map { hash($0) }, "\(note)")
        for case (let hash, .parked(let parked)) in items.map({ ($0.hash, $0.outcome) }) {
            #expect(parked.itemHash == hash, "\(note)")
        }
    }

    @Test(arguments: [
        // The items of a body, and what is no item's.
        ("[<#>,<null>, <7> ,\n<{\"a\":1}>]"), ("[<7> ]"), ("<#>"), ("  <#>  \n"), ("<#>\r\n <{\"a\":1}> \n<[1]>"),
        ("[<#>,<>,<#>]"), ("[<#>,<>]"), ("[<{\"a\":NaN}> ,<#>]"), ("[<NaN> ,<#>]"),
        // Where nobody can tell the end, the rest of the body is the item.
        ("[<#>, <{\"a\":\"x\" \\\"},#] >"), ("[<#> <#]>"), ("[<#>]<x[#]>"), ("[<#>,<{\"a\":[}],#]\n>"),
        ("[<#>,<{\"a\":\"x>"), ("[<#>,<#><>"), ("{<>"),
        ("<#>\n<{\"a\":>\n<#>"),
    ])
    func `an item of a callback is told by its own bytes, however the body is cut`(marked: String) throws {
        var texts: [String] = []
        for part in marked.split(separator: "<", omittingEmptySubsequences: false).dropFirst() {
            let text = part.split(separator: ">", omittingEmptySubsequences: false)[0]
            texts.append(String(text).replacing("#", with: Self.good))
        }
        let body = Array(
            marked.replacing("<", with: "").replacing(">", with: "").replacing("#", with: Self.good).utf8)
        if marked == "{<>" { texts = ["{"] }
        for pieces in [[body], body.map { [$0] }] {
            let items = try LiteLLMFormat.parse(
                pieces: pieces, keyName: Name(checked: "k"), defaultOrg: nil, itemBytesMax: 1 << 20)
            Self.expect(items, texts, marked)
        }
    }

    static let good = LiteLLMRuleTests.item()

    @Test(arguments: [1, 7, 1000, 5000])
    func `an item too long to be kept is hashed to its end all the same`(piece: Int) throws {
        let long = "{\"messages\":\"" + String(repeating: "x", count: 3000) + "\\\"},{\"}"
        let broken = "{\"messages\":\"" + String(repeating: "x", count: 3000) + "\"\\ and the rest"
        for (body, texts) in [
            ("[\(Self.good), \(long),\(Self.good)]", [Self.good, long, Self.good]),
            ("\(Self.good)\n\(long)\n\(Self.good)", [Self.good, long, Self.good]),
            ("[\(Self.good),\(broken)", [Self.good, broken]), ("[\(long)", [long, ""]),
        ] {
            let bytes = Array(body.utf8)
            let pieces = stride(from: 0, to: bytes.count, by: piece).map { start in
                Array(bytes[start..<min(start + piece, bytes.count)])
            }
            let items = try LiteLLMFormat.parse(
                pieces: pieces, keyName: Name(checked: "k"), defaultOrg: nil, itemBytesMax: 2000)
            Self.expect(items, texts, String(body.prefix(30)))
        }
    }

    @Test func `an event of Lago is told by its own bytes`() throws {
        let one = #"{"transaction_id":"t", "external_subscription_id":"s","code":"storage"}"#
        let other = #"{ "transaction_id" : 7 }"#
        let item = try LagoFormat.event(body: Array(#"{"x":[1,{}], "event": \#(one) ,"y":1}"#.utf8))
        #expect(item.itemHash == Self.hash(one))
        let items = try LagoFormat.batch(body: Array(#"{"events":[ \#(one),7 ,\#(other)]}"#.utf8))
        #expect(items.map(\.itemHash) == [one, "7", other].map { Self.hash($0) })
        let doorItem = DoorItem(index: 0, outcome: item.outcome, hash: Self.hash(one))
        Self.expect([doorItem], [one])
    }

    @Test func `a CloudEvent is told by its own bytes`() throws {
        let bad = [#"{"specversion": "1.0"}"#, "[]", "[1, 2]", "7", #""x""#, "null", #"{"a":{"b":[ ]} }"#]
        let good = """
            {"specversion":"1.0","id":"i","source":"s","subject":"o","data":{"model":"m","cost":1}}
            """
        for texts in [bad, [good] + bad] {
            let body = "[ " + texts.joined(separator: " ,\n") + " ]\n"
            Self.expect(try OpenMeterFormat.parse(body: Array(body.utf8), defaultOrg: nil, itemsMax: 20), texts)
        }
        for text in [good, bad[0]] {
            Self.expect(try OpenMeterFormat.parse(body: Array(" \(text)\n".utf8), defaultOrg: nil, itemsMax: 20), [text])
        }
    }
}
