/// placeholder
final class Prezero: Sendable {
    init(_ environment: Environment, bytesMax: Int) throws(LogError) {}
    func reserve(_ bytes: Int) -> Int32? { nil }
    func committed() {}
    func stop() {}
}
