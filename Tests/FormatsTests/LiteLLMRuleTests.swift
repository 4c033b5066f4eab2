import Billing
import Formats
import JSON
import Testing

@Suite struct LiteLLMRuleTests {
    static let key = Name(checked: "prod")

    /// An item with members replaced or added; the last of a name wins.
    static func item(_ members: [String: String] = [:], metadata: [String: String] = [:]) -> String {
        var meta = [
            "user_api_key_org_id": "\"acme\"", "usage_object": "{\"prompt_tokens\":10,\"completion_tokens\":20}",
        ]
        meta.merge(metadata) { $1 }
        var all = [
            "id": "\"r1\"", "litellm_call_id": "\"c1\"", "call_type": "\"acompletion\"", "status": "\"success\"",
            "startTime": "1795334519.5", "endTime": "1795334520.75", "custom_llm_provider": "\"openai\"",
            "model": "\"openai/gpt-4o\"", "model_id": "\"d1\"", "response_cost": "0.5",
        ]
        all["metadata"] =
            "{" + meta.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
        all.merge(members) { $1 }
        return "{" + all.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }

    static func parse(_ body: String, defaultOrg: String? = nil) throws(BodyError) -> [DoorItem] {
        try LiteLLMFormat.parse(
            body: Array(body.utf8), keyName: key, defaultOrg: defaultOrg.map { Name(checked: $0) })
    }

    static func call(_ item: String, defaultOrg: String? = nil) throws -> Call {
        let items = try parse(item, defaultOrg: defaultOrg)
        guard items.count == 1, case .event(let event) = items[0].outcome, case .call(let call) = event.fact else {
            throw JSONError(offset: 0, reason: "\(items)")
        }
        return call
    }

    static func parked(_ item: String) throws -> Parked {
        let items = try parse(item)
        guard items.count == 1, case .parked(let parked) = items[0].outcome else {
            throw JSONError(offset: 0, reason: "\(items)")
        }
        return parked
    }

    @Test(arguments: [
        // What the sender got wrong: code and field.
        ("metadata.user_api_key_org_id", "\"a\\nb\"", "invalid_name", "metadata.user_api_key_org_id"),
        ("metadata.user_api_key_user_id", "\"\\u0085\"", "invalid_name", "metadata.user_api_key_user_id"),
        ("metadata.user_api_key_user_id", "{}", "wrong_type", "metadata.user_api_key_user_id"),
        ("metadata.user_api_key_team_id", "true", "wrong_type", "metadata.user_api_key_team_id"),
        ("metadata.user_api_key_org_id", "null", "missing_owner", "metadata.user_api_key_org_id"),
        ("metadata.user_api_key_org_id", "\"\"", "missing_owner", "metadata.user_api_key_org_id"),
        ("model", "\"a\\u0000\"", "invalid_name", "model"),
        ("status", "\"ok\"", "unknown_status", "status"), ("status", "null", "unknown_status", "status"),
        ("endTime", "\"soon\"", "invalid_time", "endTime"), ("endTime", "1e30", "invalid_time", "endTime"),
        ("response_cost", "-0.01", "out_of_range", "response_cost"),
        ("response_cost", "1e19", "out_of_range", "response_cost"),
        ("response_cost", "\"free\"", "wrong_type", "response_cost"),
        ("response_cost", "{}", "wrong_type", "response_cost"),
        ("model", "\"a\\ud800\"", "wrong_type", "model"), ("endTime", "NaN", "invalid_time", "endTime"),
        (
            "metadata.usage_object", "{\"prompt_tokens\":NaN}", "wrong_type",
            "metadata.usage_object.prompt_tokens"
        ),
        (
            "metadata.usage_object", "{\"input_tokens\":10,\"cache_read_input_tokens\":-1}", "out_of_range",
            "metadata.usage_object.cache_read_tokens"
        ),
        (
            "metadata.usage_object",
            "{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":11}}", "subset_exceeds_total",
            "metadata.usage_object.cache_read_tokens"
        ),
        ("metadata.usage_object", "{\"prompt_tokens\":-1}", "out_of_range", "metadata.usage_object.input_tokens"),
        ("metadata.usage_object", "{\"prompt_tokens\":1.5}", "wrong_type", "metadata.usage_object.prompt_tokens"),
        (
            "metadata.usage_object", "{\"prompt_tokens\":1000000000001}", "out_of_range",
            "metadata.usage_object.input_tokens"
        ),
        (
            "metadata.usage_object", "{\"prompt_tokens\":10,\"cache_read_input_tokens\":11}", "subset_exceeds_total",
            "metadata.usage_object.cache_read_tokens"
        ),
        (
            "metadata.usage_object",
            "{\"prompt_tokens\":10,\"prompt_tokens_details\":{\"cached_tokens\":6,\"cache_write_tokens\":5}}",
            "subset_exceeds_total", "metadata.usage_object.cache_write_tokens"
        ),
        (
            "metadata.usage_object",
            "{\"completion_tokens\":10,\"completion_tokens_details\":{\"reasoning_tokens\":11}}",
            "subset_exceeds_total", "metadata.usage_object.reasoning_tokens"
        ),
        (
            "metadata.user_api_key_auth_metadata", "{\"key_source\":\"mine\"}", "unknown_key_source",
            "metadata.user_api_key_auth_metadata.key_source"
        ),
    ])
    func `what cannot be billed is parked under the name of its field`(
        member: String, value: String, code: String, field: String
    ) throws {
        let isMetadata = member.hasPrefix("metadata.")
        let name = isMetadata ? String(member.dropFirst("metadata.".count)) : member
        let item = isMetadata ? Self.item(metadata: [name: value]) : Self.item([name: value])
        let parked = try Self.parked(item)
        #expect(parked.code == code)
        #expect(parked.field == field)
        #expect(parked.facts.contains(.init(name: "id", value: "r1")))
    }

    @Test(arguments: [
        ("completion", Call.Operation.chat), ("text_completion", .chat), ("anthropic_messages", .chat),
        ("aresponses", .responses),
        ("embedding", .embedding), ("aimage_edit", .image), ("image_generation", .image), ("atranscription", .audio),
        ("aspeech", .audio), ("rerank", .rerank), ("amoderation", .other), ("pass_through_endpoint", .other),
        ("", .other), ("anew_thing", .other),
    ])
    func `call types tell the operation`(type: String, operation: Call.Operation) throws {
        #expect(try Self.call(Self.item(["call_type": "\"\(type)\""])).operation == operation)
    }

    @Test(arguments: [
        ("\"openai\"", "\"openai/gpt\"", "openai", "gpt"), ("\"openai\"", "\"gpt\"", "openai", "gpt"),
        ("\"openrouter\"", "\"meta/llama\"", "openrouter", "meta/llama"), ("null", "\"azure/gpt\"", "azure", "gpt"),
        ("\"\"", "\"gpt\"", "unknown", "gpt"), ("null", "null", "unknown", "unknown"),
        ("\"openai\"", "\"\"", "openai", "unknown"),
        ("\"openai\"", "\"openai/\"", "openai", "openai/"), ("null", "\"/x\"", "unknown", "/x"),
    ])
    func `provider and model are told apart`(said: String, model: String, provider: String, name: String) throws {
        let call = try Self.call(Self.item(["custom_llm_provider": said, "model": model]))
        #expect(call.provider.text == provider)
        #expect(call.model.text == name)
    }

    @Test(arguments: [
        ("1.35e-05", "0.0000135"), ("0.00033000000000000005", "0.00033"), ("\"0.25\"", "0.25"), ("0", "0"),
        ("null", nil as String?), ("NaN", nil), ("-Infinity", nil), ("Infinity", nil),
        ("0.30000000000050000001", "0.300000000001"), ("0.0000000000005", "0"), ("0.0000000000015", "0.000000000002"),
    ])
    func `costs are the digits as written`(written: String, cost: String?) throws {
        #expect(try Self.call(Self.item(["response_cost": written])).cost?.text == cost)
    }

    @Test func `a cost that could not be worked out is unknown`() throws {
        let failed = Self.item([
            "response_cost": "0.0", "response_cost_failure_debug_info": "{\"error_str\":\"no such model\"}",
        ])
        #expect(try Self.call(failed).cost == nil)
        let fine = Self.item(["response_cost": "0.0", "response_cost_failure_debug_info": "{\"error_str\":null}"])
        #expect(try Self.call(fine).cost == .zero)
    }

    @Test func `who owns a call`() throws {
        let team = "\"user_api_key_team_id\""
        #expect(team.count > 0)
        var call = try Self.call(
            Self.item(metadata: ["user_api_key_org_id": "null", "user_api_key_team_id": "\"red\""]))
        #expect(call.org?.text == "red" && call.team?.text == "red" && call.user == nil)
        call = try Self.call(
            Self.item(metadata: ["user_api_key_org_id": "null", "user_api_key_user_id": "\"u\""]), defaultOrg: "d")
        #expect(call.org == nil && call.user?.text == "u")
        call = try Self.call(Self.item(metadata: ["user_api_key_org_id": "null"]), defaultOrg: "d")
        #expect(call.org?.text == "d")
        call = try Self.call(Self.item(metadata: ["user_api_key_alias": "\"\"", "user_api_key_hash": "\"abc\""]))
        #expect(call.apiKey?.text == "abc")
    }

    @Test func `a client cannot keep a call from being billed by a bad end user`() throws {
        for bad in ["\"a\\nb\"", "\"\\udead\"", "NaN", "\"" + String(repeating: "x", count: 257) + "\"", "[]"] {
            let call = try Self.call(Self.item(metadata: ["user_api_key_end_user_id": bad]))
            #expect(call.endUser == nil && call.org?.text == "acme")
        }
    }

    /// What a prompt, an answer or a client's metadata can bring into the callback, which Python writes as it is.
    static let wild = [
        "NaN", "[-Infinity,Infinity]", "\"cut off: \\ud83d\"", "{\"\\udc00\":1}", "{\"a\":1,\"a\":2}", "\"\\x\"",
        String(repeating: "[", count: 900) + String(repeating: "]", count: 900),
        String(repeating: "{\"type\":", count: 900) + "1" + String(repeating: "}", count: 900),
    ]

    @Test(arguments: wild)
    func `a client cannot keep a call from being billed by what he writes into it`(value: String) throws {
        let plain = try Self.call(Self.item())
        for name in ["messages", "response", "model_parameters", "request_tags", "end_user"] {
            #expect(try Self.call(Self.item([name: value])) == plain, "\(name)")
        }
        let error = "{\"error_code\":\"\",\"error_message\":\(value)}"
        #expect(try Self.call(Self.item(["error_information": error])) == plain)
        for name in ["requester_metadata", "user_api_key_end_user_id", "mcp_tool_call_metadata"] {
            #expect(try Self.call(Self.item(metadata: [name: value])) == plain, "\(name)")
        }
        // His own metadata goes, whole or in part; the call stays.
        let call = try Self.call(Self.item(metadata: ["spend_logs_metadata": "{\"good\":\"yes\",\"bad\":\(value)}"]))
        #expect(call.org == plain.org && call.usage == plain.usage && call.cost == plain.cost)
        #expect(call.attributes.allSatisfy { $0.name.text == "client.good" })
        #expect(try Self.call(Self.item(metadata: ["spend_logs_metadata": value])).attributes.isEmpty)
        // And neighbours in the same body are read as ever.
        let body = "[\(Self.item(["messages": value])),\(Self.item())]"
        #expect(Self.verdicts(try Self.parse(body)) == "ee")
    }

    @Test func `attributes are the key's first, sorted, at most thirty-two, and only sound strings`() throws {
        let long = String(repeating: "x", count: 1025)
        let bound = (0..<20).map { "\"k\(10 + $0)\":\"v\"" }.joined(separator: ",")
        let client = (0..<20).map { "\"c\(10 + $0)\":\"v\"" }.joined(separator: ",")
        var call = try Self.call(
            Self.item(metadata: [
                "user_api_key_auth_metadata":
                    "{\(bound),\"n\":1,\"ctl\":\"a\\tb\",\"long\":\"\(long)\",\"key_source\":\"byok\"}",
                "spend_logs_metadata": "{\(client)}",
            ]))
        #expect(call.keySource == .byok)
        #expect(call.attributes.count == 32)
        #expect(call.attributes.filter { $0.name.text.hasPrefix("k") }.count == 20)
        #expect(call.attributes.filter { $0.name.text.hasPrefix("client.c") }.count == 12)
        #expect(call.attributes.map(\.name) == call.attributes.map(\.name).sorted())
        let many = (0..<40).map { "\"k\(10 + $0)\":\"v\"" }.joined(separator: ",")
        call = try Self.call(
            Self.item(metadata: ["user_api_key_auth_metadata": "{\(many)}", "spend_logs_metadata": "{\"a\":\"b\"}"]))
        #expect(call.attributes.count == 32 && !call.attributes.contains { $0.name.text.hasPrefix("client.") })
        call = try Self.call(
            Self.item(metadata: [
                "user_api_key_auth_metadata": "{\"client.a\":\"key\"}", "spend_logs_metadata": "{\"a\":\"client\"}",
            ]))
        #expect(call.attributes == [Attribute(name: Name(checked: "client.a"), value: "key")])
    }

    @Test func `totals beside an absent usage object count when they say something`() throws {
        var call = try Self.call(
            Self.item(["prompt_tokens": "7", "completion_tokens": "0"], metadata: ["usage_object": "null"]))
        #expect(call.usage == Usage(inputTokens: 7, outputTokens: 0))
        call = try Self.call(
            Self.item(["prompt_tokens": "0", "completion_tokens": "0"], metadata: ["usage_object": "{}"]))
        #expect(call.usage == nil)
        call = try Self.call(Self.item(metadata: ["usage_object": "{\"type\":\"duration\",\"seconds\":12.5}"]))
        #expect(call.usage == Usage(audioSeconds: Decimal(mantissa: 125, scale: 1)))
    }

    @Test(arguments: [
        // Beside a prompt's total every name of a cache is part of it; OpenAI's own shape has it inside as well.
        (
            "{\"prompt_tokens\":2098,\"cache_read_input_tokens\":1800,\"cache_creation_input_tokens\":248}", 2098, 1800,
            248
        ),
        ("{\"input_tokens\":2006,\"input_tokens_details\":{\"cached_tokens\":1920}}", 2006, 1920, nil as Int64?),
        // Anthropic's own has it beside.
        ("{\"input_tokens\":50,\"cache_read_input_tokens\":1800,\"cache_creation_input_tokens\":248}", 2098, 1800, 248),
        ("{\"input_tokens\":50,\"cache_read_input_tokens\":null}", 50, nil, nil),
        ("{\"prompt_tokens\":1.2e3,\"prompt_tokens_details\":{\"cached_tokens\":\"7\"}}", 1200, 7, nil),
    ] as [(String, Int64, Int64?, Int64?)])
    func `usage is inclusive, whoever wrote it`(object: String, input: Int64, read: Int64?, write: Int64?) throws {
        let usage = try Self.call(Self.item(metadata: ["usage_object": object])).usage
        #expect(usage == Usage(inputTokens: input, cacheReadTokens: read, cacheWriteTokens: write))
    }

    @Test func `reasoning is read in both shapes`() throws {
        for name in ["completion_tokens_details", "output_tokens_details"] {
            let object = "{\"output_tokens\":50,\"\(name)\":{\"reasoning_tokens\":30,\"audio_tokens\":NaN}}"
            let usage = try Self.call(Self.item(metadata: ["usage_object": object])).usage
            #expect(usage == Usage(outputTokens: 50, reasoningTokens: 30))
        }
    }

    @Test func `the key tells what differs and forgives what is sent again`() throws {
        func id(_ members: [String: String]) throws -> Name {
            guard case .event(let event) = try Self.parse(Self.item(members))[0].outcome else {
                throw JSONError(offset: 0, reason: "")
            }
            return event.id
        }
        let first = try id([:])
        #expect(try id(["response_cost": "9"]) == first)
        for change in [
            ["id": "\"r2\""], ["litellm_call_id": "\"c2\""], ["call_type": "\"completion\""], ["status": "\"failure\""],
            ["startTime": "1795334519.50"], ["endTime": "1795334520.76"], ["model_id": "null"], ["model": "\"gpt-4o\""],
        ] {
            #expect(try id(change) != first, "\(change)")
        }
    }

    // MARK: Bodies.

    static func verdicts(_ items: [DoorItem]) -> String {
        items.enumerated().map { index, item in
            precondition(item.index == index)
            switch item.outcome {
            case .event, .job: return "e"
            case .skipped: return "n"
            case .parked: return "p"
            }
        }.joined()
    }

    @Test(arguments: [
        ("[]", ""), (" [ ] ", ""), ("[#]", "e"), ("[#,#,null,#]", "eene"), ("#", "e"), ("  #  \n", "e"),
        ("#\n#\n", "ee"), ("#\r\n#", "ee"),
        ("null\n#\n\n#", "nee"), ("[1,#,\"x\",[]]", "pepp"),
        // A broken item alone is parked, wherever its end can be told.
        ("[#,{\"a\":NaN},#]", "epe"), ("[#,{\"a\":\"\\ud800\"},#]", "epe"), ("[#,{\"a\":1,\"a\":2},#]", "epe"),
        ("[NaN,#]", "pe"),
        ("[#,{\"a\":\"x\ty\"},#]", "epe"), ("[#,{\"a\" 1},#]", "epe"), ("[#,,#]", "epe"),
        // Else the rest is one parked item.
        ("[#,{\"a\":\"x", "ep"), ("[#,{\"a\":\"x\" \\\"},#,{\"b\":\"\"}]", "ep"), ("[#,#", "eep"), ("[#,#,", "eep"),
        ("[#,#]x", "eep"), ("[#,#][#]", "eep"),
        ("[#,{\"a\":[}],#]", "ep"), ("[#,]", "ep"), ("[# #]", "ep"), ("[", "p"),
        // Lines.
        ("#\n{\"a\":\n#\n#", "epee"), ("{bad\n#", "pe"), ("#x\n#", "pe"), ("#\nnonsense\n#", "epe"),
        ("#\n[#]\n#", "epe"), ("{\n\"a\":\n1,\n", "p"), ("##", "p"),
    ])
    func `a body falls apart into items, and nothing good is lost`(template: String, expected: String) throws {
        let body = template.replacing("#", with: Self.item())
        #expect(Self.verdicts(try Self.parse(body)) == expected)
    }

    @Test func `one object may stretch over lines`() throws {
        let pretty = Self.item().replacing(",", with: ",\n ").replacing("{", with: "{\n")
        #expect(Self.verdicts(try Self.parse(pretty)) == "e")
        #expect(Self.verdicts(try Self.parse(pretty + "\n" + Self.item())) == "ee")
    }

    @Test(arguments: [
        ("", "empty_body"), (" \n", "empty_body"), ("hello", "invalid_json"), ("\"x\"", "invalid_json"),
        ("\u{FEFF}[]", "invalid_json"),
    ])
    func `a body that begins no item is refused`(body: String, code: String) {
        #expect { try Self.parse(body) } throws: { ($0 as? BodyError)?.code == code }
    }

    @Test func `an item longer than the limit is parked, its neighbours are not`() throws {
        let long = "{\"messages\":\"" + String(repeating: "x", count: 3000) + "\\\"},{\"}"
        for (body, expected) in [
            ("[\(Self.item()),\(long),\(Self.item())]", "epe"), ("\(Self.item())\n\(long)\n\(Self.item())", "epe"),
            (long, "p"), ("[\(long)", "pp"), ("null\n\(long)", "np"),
        ] {
            let items = try LiteLLMFormat.parse(
                body: Array(body.utf8), keyName: Self.key, defaultOrg: nil, itemBytesMax: 2000)
            #expect(Self.verdicts(items) == expected, "\(body.prefix(20))")
            for case .parked(let parked) in items.map(\.outcome) where parked.code != "invalid_json" {
                #expect(parked.code == "item_too_large")
            }
        }
    }

    /// Bodies of every form, whole and broken.
    static var cutBodies: [String] {
        [
            "[#,#,null,#]", " [ # , NaN , # ] ", "#", " #\n#\nnull\n", "[#,{\"a\":\"x\" \\\"},#]", "[#,#]x", "[# #]",
            "[#,,#,]", "#\n{\"a\":\n#\n#", "##\n#", "{bad\n#", "{\n\"a\":\n1,\n", "[#,{\"a\":[}],#]",
            "[1,\"]\\\\\",#]", "[#", "null\n#", "[", "{",
        ]
    }

    @Test(arguments: cutBodies)
    func `the items do not depend on how the body is cut`(_ template: String) throws {
        let body = Array(template.replacing("#", with: Self.item()).utf8)
        for limit in [1 << 20, 300] {
            let whole = try LiteLLMFormat.parse(body: body, keyName: Self.key, defaultOrg: nil, itemBytesMax: limit)
            let cuts = [body.map { [$0] }] + (1..<body.count).map { [Array(body[..<$0]), Array(body[$0...])] }
            for pieces in cuts {
                let items = try LiteLLMFormat.parse(
                    pieces: pieces, keyName: Self.key, defaultOrg: nil, itemBytesMax: limit)
                // How far a line too long was read when it was given up is the one thing that a cut can change.
                #expect(limit == 300 ? Self.verdicts(items) == Self.verdicts(whole) : items == whole)
            }
        }
    }

    @Test func `captures fed in pieces are the captures`() throws {
        var random = Seeded(state: 7)
        for capture in Capture.of("litellm_generic") where capture.body.count < 200_000 {
            var pieces: [[UInt8]] = []
            var start = 0
            while start < capture.body.count {
                let end = min(capture.body.count, start + 1 + random.below(20_000))
                pieces.append(Array(capture.body[start..<end]))
                start = end
            }
            let whole = try LiteLLMFormat.parse(body: capture.body, keyName: Self.key, defaultOrg: nil)
            let parts = try LiteLLMFormat.parse(
                pieces: pieces, keyName: Self.key, defaultOrg: nil, itemBytesMax: 1 << 24)
            #expect(parts == whole)
        }
    }

    @Test func `only the unfinished item is held`() throws {
        var body = try LiteLLMBody(keyName: Self.key, defaultOrg: nil, itemBytesMax: 1 << 20)
        var items: [DoorItem] = []
        let piece = Array((Self.item() + ",").utf8)
        try body.take(Array("[".utf8), into: &items)
        for _ in 0..<200 { try body.take(piece, into: &items) }
        #expect(items.count == 200)
        #expect(body.bytesHeld < 4 * piece.count)
        let long = [UInt8](repeating: 0x78, count: 65_536)
        try body.take(Array("{\"a\":\"".utf8), into: &items)
        for _ in 0..<100 { try body.take(long, into: &items) }
        #expect(body.bytesHeld < 5 << 20)
    }

    @Test func `text inside a prompt is never read as an item, however the item around it is broken`() throws {
        let forged = Self.item(["id": "\"forged\""]).replacing("\"", with: "\\\"")
        for broken in ["NaN", "\"\\ud800\"", "\"\\x\"", "tru"] {
            let body = "[{\"messages\":\"a},\(forged),{b\",\"bad\":\(broken)},\(Self.item())]"
            let items = try Self.parse(body)
            #expect(Self.verdicts(items) == "pe")
        }
        // The opening quote is lost: nothing behind it is believed.
        let items = try Self.parse("[{\"messages\":a},\(forged),{b\",\"c\":1},\(Self.item())]")
        #expect(
            !items.contains {
                if case .event(let event) = $0.outcome { event.id.text.contains("forged") } else { false }
            })
        #expect(Self.verdicts(items).filter { $0 == "e" }.isEmpty)
    }

    // MARK: What must not get out.

    @Test func `prompts, answers, headers, addresses and tracebacks stay outside`() throws {
        let secret = "\"CANARY\""
        let members = [
            "messages": "[{\"role\":\"user\",\"content\":\(secret)}]",
            "response": "{\"choices\":[{\"message\":{\"content\":\(secret)}}]}",
            "requester_ip_address": secret, "user_agent": secret, "api_base": secret, "cache_key": secret,
            "end_user": secret, "trace_id": secret,
            "session_id": secret, "request_tags": "[\(secret)]", "model_parameters": "{\"x\":\(secret)}",
            "hidden_params": "{\"additional_headers\":{\"x\":\(secret)}}",
            "error_information": "{\"error_code\":\"\",\"traceback\":\(secret),\"error_message\":\(secret)}",
            "guardrail_information": secret,
            "model_map_information": "{\"model_map_key\":\(secret)}", "CANARY": secret,
        ]
        let metadata = [
            "requester_ip_address": secret, "user_api_key_user_email": secret,
            "requester_metadata": "{\"headers\":{\"authorization\":\(secret)}}",
            "requester_custom_headers": "{\"x\":\(secret)}", "prompt_management_metadata": "{\"p\":\(secret)}",
            "user_agent": secret,
            "mcp_tool_call_metadata": "{\"arguments\":\(secret)}", "user_api_key_team_alias": secret, "CANARY": secret,
        ]
        let good = Self.item(members, metadata: metadata)
        let bodies = [
            good, Self.item(members.merging(["status": "\"?\""]) { $1 }, metadata: metadata),
            Self.item(members, metadata: metadata.merging(["user_api_key_org_id": "\"a\\n\""]) { $1 }),
            Self.item(members.merging(["messages": "{\"CANARY\":1,\"CANARY\":2}"]) { $1 }, metadata: metadata),
            "[\(good),{\"messages\":\"CANARY\u{1}\"},{\"messages\":CANARY}]", good + "\nCANARY\n" + good,
        ]
        for body in bodies {
            let items = try Self.parse(body)
            #expect(!items.isEmpty)
            #expect(!String(reflecting: items).contains("CANARY"))
        }
        #expect { try Self.parse("CANARY") } throws: { !"\($0)".contains("CANARY") }
    }

    @Test func `changed captures never trap, and never lose a neighbour before the change`() throws {
        var random = Seeded(state: 42)
        let bodies = Capture.of("litellm_generic").map(\.body).filter { $0.count < 30_000 }
        let bytes: [UInt8] = Array("{}[]\",:\\0-9.eNn \n".utf8) + [0, 0x1F, 0x80, 0xFF]
        for _ in 0..<300 {
            var body = bodies[random.below(bodies.count)]
            for _ in 0...random.below(5) {
                let at = random.below(body.count)
                switch random.below(4) {
                case 0: body[at] = bytes[random.below(bytes.count)]
                case 1: body.insert(bytes[random.below(bytes.count)], at: at)
                case 2: body.remove(at: at)
                default: body.removeSubrange(at..<min(body.count, at + random.below(40)))
                }
            }
            _ = try? LiteLLMFormat.parse(body: body, keyName: Self.key, defaultOrg: nil)
        }
        let burst = Capture.of("litellm_generic", "mock_burst20")[0].body
        let cut = try LiteLLMFormat.parse(
            body: Array(burst[..<(burst.count / 2)]), keyName: Self.key, defaultOrg: nil)
        let verdicts = Self.verdicts(cut)
        #expect(verdicts.count >= 10 && verdicts.dropLast().allSatisfy { $0 == "e" } && verdicts.last == "p")
    }
}
