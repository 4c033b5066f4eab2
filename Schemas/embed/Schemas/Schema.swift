internal import CSchemas

/// The files of the folder `Schemas` as they were when the program was built: SQL of the read models, the
/// description of the API, the dashboard.
public enum Schema {
    /// Tables of every read model.
    public static var readModel: [UInt8] { bytes(tally_schema_readmodel()) }
    public static var calls: [UInt8] { bytes(tally_schema_calls()) }
    public static var tokens: [UInt8] { bytes(tally_schema_tokens()) }
    /// What `GET /openapi.json` answers.
    public static var openapi: [UInt8] { bytes(tally_schema_openapi()) }
    /// The page at `/`.
    public static var dashboard: [UInt8] { bytes(tally_schema_dashboard()) }
    /// A ledger in rows: for the read models that fold one.
    public static var book: [UInt8] { bytes(tally_schema_book()) }
    public static var credits: [UInt8] { bytes(tally_schema_credits()) }
    public static var alerts: [UInt8] { bytes(tally_schema_alerts()) }
    public static var lago: [UInt8] { bytes(tally_schema_lago()) }

    /// The program that checks an audit pack: `verify.py`.
    public static var verifier: [UInt8] { bytes(tally_schema_verifier()) }

    private static func bytes(_ file: tally_schema) -> [UInt8] {
        [UInt8](UnsafeBufferPointer(start: file.bytes, count: file.count))
    }
}
