internal import Billing
internal import SQLite

/// Names as small numbers while rows are gathered: a key of numbers is hashed and compared in a few instructions, and
/// copying it counts no references. Numbers mean something within one pool between two flushes only.
struct NamePool {
    /// Past it the pool is emptied at the next flush.
    static let namesMax = 200_000

    private var numbers: [Name: UInt32] = [:]
    private var names: [Name] = []

    /// 0 for none.
    mutating func number(of name: Name?) -> UInt32 {
        guard let name else { return 0 }
        if let number = numbers[name] { return number }
        names.append(name)
        let number = UInt32(names.count)
        numbers[name] = number
        return number
    }

    /// The cell of a row; null for 0.
    func cell(_ number: UInt32) -> Value {
        number == 0 ? .null : .text(names[Int(number) - 1].text)
    }

    /// Of a number over 0.
    func text(_ number: UInt32) -> String { names[Int(number) - 1].text }

    /// To be called when no number is kept any more.
    mutating func trim() {
        if names.count > NamePool.namesMax { self = NamePool() }
    }
}
