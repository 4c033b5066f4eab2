import Billing
import Formats
import Testing

@Suite struct CSVReaderTests {
    private func read(_ pieces: [[UInt8]]) throws -> [[String]] {
        var reader = CSVReader()
        var records: [[String]] = []
        for piece in pieces { try reader.push(piece) { fields, _ in records.append(fields) } }
        try reader.end { fields, _ in records.append(fields) }
        return records
    }

    private static let good: [(text: String, records: [[String]])] = [
        ("", []),
        ("a", [["a"]]),
        ("a,b\r\nc,d\r\n", [["a", "b"], ["c", "d"]]),
        ("a,b\nc,d", [["a", "b"], ["c", "d"]]),
        ("a,\n,b\n,\n", [["a", ""], ["", "b"], ["", ""]]),
        ("\n\na\n\n", [["a"]]),
        ("\"\"\n", [[""]]),
        ("\"a,b\",\"c\r\nd\",\"e\"\"f\"\r\n", [["a,b", "c\r\nd", "e\"f"]]),
        ("\"\"\"\"", [["\""]]),
        ("\u{FEFF}id,é\n1,日\n", [["id", "é"], ["1", "日"]]),
        (" a , b ", [[" a ", " b "]]),
        ("a,\"b\"", [["a", "b"]]),
    ]

    @Test(arguments: 0..<good.count)
    func `whole, byte by byte and at every split`(index: Int) throws {
        let (text, records) = Self.good[index]
        let bytes = Array(text.utf8)
        #expect(try read([bytes]) == records)
        #expect(try read(bytes.map { [$0] }) == records)
        for split in 0...bytes.count {
            #expect(try read([Array(bytes[..<split]), Array(bytes[split...])]) == records, "split at \(split)")
        }
    }

    @Test(arguments: [
        ("a,\"b", 1), ("a\n\"b\nc", 2), ("a\"b", 1), ("\"a\"b", 1), ("a\n\"a\" ,b", 2), ("a\rb", 1), ("a\r", 1),
        ("\"a\nb\"\n\"c\"d", 3),
    ])
    func `what RFC 4180 does not allow is named by its line`(text: String, line: Int) {
        for pieces in [[Array(text.utf8)], Array(text.utf8).map { [$0] }] {
            #expect { try read(pieces) } throws: { ($0 as? CSVReader.Fault)?.line == line }
        }
    }

    @Test func `bytes that are no text, and a field without end, are faults`() {
        #expect(throws: CSVReader.Fault.self) { try read([[0x61, 0x2C, 0xFF, 0x0A]]) }
        #expect(throws: CSVReader.Fault.self) { try read([[0xEF, 0xBB]]) }
        let long = [UInt8](repeating: 0x61, count: CSVReader.fieldBytesMax + 1)
        #expect(throws: CSVReader.Fault.self) { try read([long]) }
        #expect(throws: CSVReader.Fault.self) { try read([[UInt8](repeating: 0x2C, count: CSVReader.fieldsMax)]) }
    }
}

@Suite struct JSONSplitterTests {
    private func split(_ pieces: [[UInt8]]) throws -> [String] {
        var splitter = JSONSplitter()
        var objects: [String] = []
        for piece in pieces {
            try splitter.push(piece) { bytes, _ in objects.append(String(decoding: bytes, as: UTF8.self)) }
        }
        try splitter.end()
        return objects
    }

    @Test(arguments: [
        ("[]", 0), (" [ ] \n", 0), ("", 0), ("[{}]", 1), ("[{\"a\":[1,{\"b\":\"]}\\\"\"}]} , {\"c\":2}]", 2),
        ("{\"a\":1}\n{\"b\":{}}\n", 2), ("{\"a\":\"\\\\\"}{\"b\":1}", 2),
    ])
    func `whole, byte by byte and at every split`(text: String, count: Int) throws {
        let bytes = Array(text.utf8)
        let whole = try split([bytes])
        #expect(whole.count == count)
        #expect(try split(bytes.map { [$0] }) == whole)
        for place in 0...bytes.count { #expect(try split([Array(bytes[..<place]), Array(bytes[place...])]) == whole) }
    }

    @Test(arguments: ["[", "[{}", "[{},]", "[{}{}]", "[1]", "{", "{\"a\":\"}", "x", "[{}] {}", "[,{}]", "{},{}", "null"])
    func `anything else is a fault`(text: String) {
        #expect(throws: JSONSplitter.Fault.self) { try split([Array(text.utf8)]) }
    }
}

@Suite struct SpendRowTests {
    @Test func `a row of SpendLogs`() throws {
        let text = """
            {"request_id":"chatcmpl-1","call_type":"acompletion","api_key":"88dc","spend":1.35e-05,"total_tokens":30,\
            "prompt_tokens":10,"completion_tokens":20,"startTime":"2026-11-22T08:02:17.100000Z",\
            "endTime":"2026-11-22T08:02:17.654000Z","model":"openai/gpt-4o-mini","custom_llm_provider":"openai",\
            "user":"u_bob","team_id":"team_blue","end_user":"","cache_hit":"False","metadata":{"a":[1]},"messages":{}}
            """
        let row = try SpendRow(litellm: Array(text.utf8))
        #expect(row.id == "chatcmpl-1")
        #expect(row.time == Timestamp(rfc3339: "2026-11-22T08:02:17.654Z"))
        #expect(row.model == "gpt-4o-mini")
        #expect(row.provider == "openai")
        #expect(row.org == "team_blue")
        #expect(row.user == "u_bob")
        #expect((row.inputTokens, row.outputTokens) == (10, 20))
        #expect(row.cost?.text == "0.0000135")
    }

    private func row(_ type: String, _ id: String, spend: String, tokens: Int = 0) throws -> SpendRow {
        let text = """
            {"request_id":"\(id)","call_type":"\(type)","spend":\(spend),"prompt_tokens":\(tokens),\
            "completion_tokens":0,"endTime":"2026-11-22T08:02:17.654000Z","model":""}
            """
        return try SpendRow(litellm: Array(text.utf8))
    }

    @Test func `rows of bookkeeping, and of what a job came to`() throws {
        for type in ["acreate_file", "aretrieve_batch", "acreate"] {
            #expect(try row(type, "x", spend: "0.0").isBookkeeping, "\(type)")
            #expect(try row(type, "x", spend: "0.0").eventID == nil, "\(type)")
            #expect(try !row(type, "x", spend: "1e-9").isBookkeeping, "\(type)")
            #expect(try !row(type, "x", spend: "0", tokens: 1).isBookkeeping, "\(type)")
        }
        #expect(try !row("acompletion", "x", spend: "0").isBookkeeping)
        #expect(try !row("anew_thing", "x", spend: "0").isBookkeeping)
        for (type, id, event) in [
            ("aretrieve_batch", "batch_x_batch_cost", "llb1:retrieve_batch:batch_x"),
            ("retrieve_batch", "batch_x", "llb1:retrieve_batch:batch_x"),
            ("avideo_status", "video_1_video_cost", "llb1:video_status:video_1"),
            ("aget_responses", "resp_1_background_cost", "llb1:get_responses:resp_1"),
        ] {
            let row = try row(type, id, spend: "0.35", tokens: 30)
            #expect((row.id, row.eventID) == (id, event))
        }
        #expect(try row("acreate_file", "file-1", spend: "1").eventID == nil)
    }

    @Test(arguments: [
        "2026-11-22T08:02:17.654", "2026-11-22 08:02:17.654", "2026-11-22 08:02:17.654+00:00",
        "2026-11-22T09:02:17.654+01:00", "1795334537.654",
    ])
    func `times as databases write them`(text: String) throws {
        let columns = try SpendRow.Columns(header: ["time", "model"], named: [:])
        #expect(try columns.row([text, "m"]).time == Timestamp(rfc3339: "2026-11-22T08:02:17.654Z"))
    }

    @Test func `columns by their usual names and by those they are told`() throws {
        var columns = try SpendRow.Columns(header: ["Request_ID", "Model", "spend", "x"], named: [.input_tokens: "x"])
        let row = try columns.row(["r", "m", "0.1", "7"])
        #expect((row.id, row.model, row.cost?.text, row.inputTokens) == ("r", "m", "0.1", 7))
        #expect(throws: SpendRow.Fault.self) { try columns.row(["r", "m", "0.1"]) }
        #expect(throws: SpendRow.Fault.self) { try columns.row(["r", "m", "a lot", "7"]) }
        #expect(throws: SpendRow.Fault.self) { try columns.row(["r", "m", "1", "7.5"]) }
        #expect(throws: SpendRow.Fault.self) { columns = try SpendRow.Columns(header: ["id"], named: [.cost_usd: "y"]) }
        #expect(throws: SpendRow.Fault.self) { columns = try SpendRow.Columns(header: ["model"], named: [:]) }
    }
}

@Suite struct ReconciliationTests {
    private func row(_ id: String?, at seconds: Int64 = 0, _ tokens: Int64 = 10, cost: String? = "0.1") -> SpendRow {
        var row = SpendRow()
        row.id = id
        row.time = Timestamp(microseconds: seconds * 1_000_000)
        row.model = "m"
        row.inputTokens = tokens
        row.outputTokens = 1
        row.cost = cost.flatMap { try? Decimal(parsing: $0.utf8) }
        return row
    }

    private func call(
        _ id: String, _ position: UInt64, at microseconds: Int64 = 0, _ tokens: Int64? = 10, cost: String? = "0.1"
    ) -> Reconciliation.Call {
        Reconciliation.Call(
            position: position, id: id, time: Timestamp(microseconds: microseconds), model: "m", inputTokens: tokens,
            outputTokens: 1, cost: cost.flatMap { try? Decimal(parsing: $0.utf8) })
    }

    private func books(_ rows: [SpendRow], tolerance: String = "0") -> (Reconciliation, [String]) {
        var books = Reconciliation(
            timeToleranceMilliseconds: 1000, costTolerance: (try? Decimal(parsing: tolerance.utf8)) ?? .zero)
        let found = rows.compactMap { text(books.add($0)) }
        return (books, found)
    }

    private func text(_ finding: Reconciliation.Finding?) -> String? {
        switch finding {
        case .matched(let row, let by, let differing):
            "\(by) \(row.id ?? "-")" + differing.map { " \($0)" }.joined()
        case .missingHere(let row): "missing here \(row.id ?? "-")"
        case .missingThere: "missing there"
        case .conflictThere(let row): "twice \(row.id ?? "-")"
        case nil: nil
        }
    }

    @Test func `by id, with what differs`() {
        var (books, found) = books([row("a"), row("b", cost: "0.3"), row("c", 11), row("d", cost: nil), row("e")])
        #expect(found.isEmpty)
        #expect(text(books.findByID(call("a", 1))) == "id a")
        #expect(text(books.findByID(call("b", 2))) == "id b cost_usd")
        #expect(text(books.findByID(call("c", 3))) == "id c input_tokens")
        #expect(text(books.findByID(call("d", 4))) == "id d")
        #expect(text(books.findByID(call("x", 5))) == nil)
        // The id is somebody else's already: another source.
        #expect(text(books.findByID(call("a", 6))) == nil)
        books.missingHere { found.append(text($0) ?? "") }
        #expect(found == ["missing here e"])
    }

    @Test func `a cost within the tolerance agrees, the next digit does not`() {
        var (books, _) = books([row("a", cost: "0.100000000001"), row("b", cost: "0.1000000000011")], tolerance: "1e-12")
        #expect(text(books.findByID(call("a", 1))) == "id a")
        #expect(text(books.findByID(call("b", 2, cost: "0.099999999999"))) == "id b cost_usd")
    }

    @Test func `by facts: model and tokens exactly, the nearest time within the tolerance, one to one`() {
        var (books, _) = books([row("a", at: 5), row("b", at: 7), row(nil, at: 20, 11)])
        #expect(text(books.findByFacts(call("h1", 1, at: 6_100_000))) == "facts b")
        #expect(text(books.findByFacts(call("h2", 2, at: 5_900_000))) == "facts a")
        #expect(text(books.findByFacts(call("h3", 3, at: 5_000_000))) == "missing there")
        #expect(text(books.findByFacts(call("h4", 4, at: 20_000_000))) == "missing there")
        #expect(text(books.findByFacts(call("h5", 5, at: 18_999_999, 11))) == "missing there")
        #expect(text(books.findByFacts(call("h5", 5, at: 19_000_000, 11))) == "facts -")
    }

    @Test func `by facts a call does not take the row that another has by its id`() {
        var (books, _) = books([row("a"), row("b")])
        #expect(text(books.findByID(call("b", 2))) == "id b")
        #expect(text(books.findByFacts(call("b", 2))) == nil)
        #expect(text(books.findByFacts(call("other", 1))) == "facts a")
        #expect(text(books.findByFacts(call("third", 3))) == "missing there")
    }

    @Test func `the same row again is a duplicate, another one of its id a conflict`() {
        let (books, found) = books([row("a"), row("a"), row("a", 12), row(nil), row(nil)])
        #expect(found == ["twice a"])
        #expect(books.duplicatesThere == 1)
        #expect(books.rowsCount == 3)
    }

    @Test func `bookkeeping is not missing, and a job is found by what its row says`() {
        var polled = row("batch_x", 0, cost: "0")
        polled.isBookkeeping = true
        var settled = row("batch_x_batch_cost", at: 5)
        settled.eventID = "llb1:retrieve_batch:batch_x"
        var (books, found) = books([polled, polled, settled])
        #expect(found.isEmpty)
        #expect(text(books.findByID(call("llb1:retrieve_batch:batch_x", 1))) == "id batch_x_batch_cost")
        books.missingHere { found.append(text($0) ?? "") }
        #expect(found.isEmpty)
        #expect((books.bookkeepingThere, books.duplicatesThere) == (1, 1))
        // A log from before holds the poll as a call.
        #expect(text(books.findByFacts(call("h", 2, 0, cost: "0"))) == "facts batch_x")
        #expect(books.bookkeepingThere == 0)
    }

    @Test func `no tokens said is none, and times before 1970 have their place`() {
        var (books, _) = books([row("a", at: -1, 0)])
        #expect(text(books.findByFacts(call("h", 1, at: -1_500_000, nil))) == "facts a")
    }
}
