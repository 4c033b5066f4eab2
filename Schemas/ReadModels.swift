/// The SQL of the read models, as bytes: the .sql files of this folder are the truth.
public enum Schema {
    /// Tables of every read model.
    public static var readModel: [UInt8] { PackageResources.readmodel_sql }
    public static var calls: [UInt8] { PackageResources.calls_sql }
    public static var tokens: [UInt8] { PackageResources.tokens_sql }
    /// What `GET /openapi.json` answers.
    public static var openapi: [UInt8] { PackageResources.openapi_json }
}
