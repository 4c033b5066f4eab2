/// The SQL of the read models, as bytes: the .sql files of this folder are the truth.
public enum Schema {
    /// Tables of every read model.
    public static var readModel: [UInt8] { PackageResources.readmodel_sql }
    public static var calls: [UInt8] { PackageResources.calls_sql }
    public static var tokens: [UInt8] { PackageResources.tokens_sql }
    /// What `GET /openapi.json` answers.
    public static var openapi: [UInt8] { PackageResources.openapi_json }
    /// A ledger in rows: for the read models that fold one.
    public static var book: [UInt8] { PackageResources.book_sql }
    public static var credits: [UInt8] { PackageResources.credits_sql }
    public static var alerts: [UInt8] { PackageResources.alerts_sql }
    public static var lago: [UInt8] { PackageResources.lago_sql }
}
