/// What a key may do (contract 4).
public enum Scope: String, CaseIterable, Sendable {
    /// Post usage.
    case ingest
    /// Ask questions.
    case read
    /// Take Lago batches and say what became of them.
    case lago
    /// Post every kind of fact. Includes `ingest`.
    case admin
}
