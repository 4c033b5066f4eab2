public import Billing

/// A name that LiteLLM gives to what it logs (`call_type`), and what that is: a row of the one table that says which of
/// its items are calls. Read from LiteLLM 1.80.17 and 1.110.2: its own list of call types, and the functions that log
/// under their own names.
public struct LiteLLMCallType: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// A call of a model, whatever it says of tokens and cost.
        case call(Call.Operation)
        /// Keeping files, batches, threads, stores: no call. Tokens or a cost that it states all the same are kept.
        case bookkeeping
        /// A name that LiteLLM gives to a call and to bookkeeping alike: a call where it states tokens or a cost.
        case either(Call.Operation)
        /// A look at work that goes on by itself. The work's tokens and cost are told at each look once it is done.
        case job(LiteLLMJob)
    }

    public let name: String
    public let kind: Kind
    /// The name, and as what its asynchronous twin is logged.
    public let spellings: [String]

    private init(_ name: String, _ kind: Kind, spellings: [String]? = nil) {
        self.name = name
        self.kind = kind
        self.spellings = spellings ?? [name, "a" + name]
    }

    public static let all: [LiteLLMCallType] = calls + jobs + bookkeeping

    private static let calls: [LiteLLMCallType] = [
        .init("completion", .call(.chat)), .init("text_completion", .call(.chat)),
        .init("anthropic_messages", .call(.chat)), .init("generate_content", .call(.chat)),
        .init("generate_content_stream", .call(.chat)), .init("responses", .call(.responses)),
        .init("compact_responses", .call(.other)), .init("embedding", .call(.embedding)),
        .init("image_generation", .call(.image)), .init("image_edit", .call(.image)),
        .init("image_variation", .call(.image)), .init("transcription", .call(.audio)),
        .init("speech", .call(.audio)), .init("rerank", .call(.rerank)), .init("moderation", .call(.other)),
        .init("ocr", .call(.other)), .init("search", .call(.other)), .init("vector_store_search", .call(.other)),
        .init("decisions", .call(.other)), .init("systemone", .call(.other)), .init("extraction", .call(.other)),
        .init("query", .call(.other)), .init("create_video", .call(.other)),
        .init("video_generation", .call(.other)), .init("video_remix", .call(.other)),
        .init("video_edit", .call(.other)), .init("video_extension", .call(.other)),
        .init("run_thread", .call(.other)), .init("run_thread_stream", .call(.other)),
        .init("create_interaction", .call(.other)), .init("send_message", .call(.other)),
        .init("send_message_streaming", .call(.other)), .init("call_mcp_tool", .call(.other)),
        .init("run_code", .call(.other)), .init("code_interpreter_tool", .call(.other)),
        .init("llm_passthrough_route", .call(.other)),
        .init("pass_through_endpoint", .call(.other), spellings: ["pass_through_endpoint"]),
        .init("passthrough-image-generation", .call(.other), spellings: ["passthrough-image-generation"]),
        .init("_arealtime", .call(.other), spellings: ["_arealtime"]),
        .init("_aresponses_websocket", .call(.other), spellings: ["_aresponses_websocket"]),
        .init("realtime_calls", .call(.other)), .init("realtime_translation_calls", .call(.other)),
        // Vector stores and their files, interactions and agents, all under one name.
        .init("create", .either(.other)), .init("update", .either(.other)), .init("delete", .either(.other)),
        .init("list", .either(.other)), .init("retrieve", .either(.other)),
    ]

    private static let jobs: [LiteLLMCallType] = [
        .init("retrieve_batch", .job(.batch)), .init("video_status", .job(.video)),
        .init("video_retrieve", .job(.video)), .init("video_retrieve_job", .job(.video)),
        .init("get_responses", .job(.response)), .init("cancel_responses", .job(.response)),
        .init("get", .job(.interaction)), .init("cancel", .job(.interaction)),
    ]

    private static let bookkeeping: [LiteLLMCallType] = [
        // Files and batches.
        "create_file", "file_retrieve", "file_delete", "file_list", "file_content", "create_batch", "cancel_batch",
        "list_batches",
        // Fine-tuning.
        "create_fine_tuning_job", "cancel_fine_tuning_job", "list_fine_tuning_jobs", "retrieve_fine_tuning_job",
        // Assistants and threads, but for runs.
        "get_assistants", "create_assistants", "delete_assistant", "create_thread", "get_thread", "get_messages",
        // Stored responses, but for reading and cancelling one.
        "delete_responses", "list_input_items",
        // Vector stores, but for searching one.
        "vector_store_create", "vector_store_retrieve", "vector_store_list", "vector_store_update",
        "vector_store_delete", "vector_store_file_create", "vector_store_file_list", "vector_store_file_retrieve",
        "vector_store_file_content", "vector_store_file_update", "vector_store_file_delete", "retrieve_content",
        "ingest",
        // Videos that are there.
        "video_content", "video_list", "video_delete", "video_create_character", "video_get_character",
        // Containers and sandboxes, but for running code in one.
        "create_container", "list_containers", "retrieve_container", "delete_container", "list_container_files",
        "upload_container_file", "create_sandbox", "delete_sandbox",
        // Secrets and sessions of realtime calls.
        "create_realtime_client_secret", "create_realtime_transcription_session",
        "create_realtime_translation_client_secret",
        // Skills, evaluations and their runs, versions of agents, tools.
        "create_skill", "list_skills", "get_skill", "delete_skill", "create_eval", "list_evals", "get_eval",
        "update_eval", "delete_eval", "cancel_eval", "create_run", "list_runs", "get_run", "cancel_run", "delete_run",
        "list_versions", "list_mcp_tools",
    ].map { LiteLLMCallType($0, .bookkeeping) } + [
        .init("add_message", .bookkeeping, spellings: ["add_message", "a_add_message"])
    ]

    private static let bySpelling: [String: LiteLLMCallType] = Dictionary(
        uniqueKeysWithValues: all.flatMap { type in type.spellings.map { ($0, type) } })

    /// The row of a name as LiteLLM sends it; nil for a name that is not known, which is a call.
    public static func named(_ name: String) -> LiteLLMCallType? { bySpelling[name] }
}

/// How often items of LiteLLM were no call, by call type; and call types that nobody knows here, by name.
public struct LiteLLMTally: Hashable, Sendable {
    enum Note: Hashable {
        case bookkeeping(LiteLLMCallType)
        case unknown(String?)
    }

    /// Names that are not of the table: at most so many, `other` among them, and so long; the rest is under `other`.
    public static let unknownNamesMax = 32
    public static let unknownNameBytesMax = 64
    public static let other = "other"

    public private(set) var bookkeeping: [String: UInt64] = [:]
    public private(set) var unknown: [String: UInt64] = [:]

    public init() {}

    mutating func add(_ note: Note) {
        switch note {
        case .bookkeeping(let type): bookkeeping[type.name, default: 0] += 1
        case .unknown(let name): addUnknown(name.flatMap { $0.isEmpty ? nil : $0 } ?? "none", 1)
        }
    }

    public static func += (total: inout LiteLLMTally, part: LiteLLMTally) {
        for (name, count) in part.bookkeeping { total.bookkeeping[name, default: 0] += count }
        // In order, so that which names are kept does not hang on a hash.
        for (name, count) in part.unknown.sorted(by: { $0.key < $1.key }) { total.addUnknown(name, count) }
    }

    private mutating func addUnknown(_ name: String, _ count: UInt64) {
        let fits = name.utf8.count <= LiteLLMTally.unknownNameBytesMax && Name(name) != nil
        let named = unknown.count - (unknown[LiteLLMTally.other] == nil ? 0 : 1)
        let isNamed = fits && (unknown[name] != nil || named < LiteLLMTally.unknownNamesMax - 1)
        unknown[isNamed ? name : LiteLLMTally.other, default: 0] += count
    }
}
