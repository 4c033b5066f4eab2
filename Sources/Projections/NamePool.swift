internal import Billing
internal import SQLite

/// Names as small numbers while rows are gathered: a key of numbers is hashed and compared in a few instructions, and
/// copying it counts no references. Numbers mean something within one pool between two flushes only.
struct NamePool {
    /// Past it the pool is emptied at the next flush.
    static let namesMax = 65_536

    private var numbers: [Name: UInt32] = [:]
    /// Of all names, one after the other, as the cells of rows that they are.
    private var cells: [UInt8] = []
    /// Of each name, in `cells`; the first has number 1.
    private var ends: [Int] = [0]
    private var shapes = ShapeMemory<CallNames>()

    /// 0 for none.
    mutating func number(of name: Name?) -> UInt32 {
        guard let name else { return 0 }
        if let number = numbers[name] { return number }
        let number = UInt32(ends.count)
        RowCells.append(canonical: name.text, to: &cells)
        ends.append(cells.count)
        numbers[name] = number
        return number
    }

    /// The numbers of a call's names: looked up once for all calls of a shape.
    mutating func numbers(of call: Call) -> CallNames {
        if let known = shapes[call.shape] { return known }
        let numbers = CallNames(
            org: number(of: call.org), user: number(of: call.user), service: number(of: call.service),
            model: number(of: call.model), provider: number(of: call.provider))
        shapes[call.shape] = numbers
        return numbers
    }

    /// The canonical bytes of the cell of a number over 0.
    func withCell<Result>(_ number: UInt32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let place = Int(number)
        return cells.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[ends[place - 1]..<ends[place]])) }
    }

    /// The cell of a row; null for 0.
    func cell(_ number: UInt32) -> Value { number == 0 ? .null : .text(text(number)) }

    /// Of a number over 0.
    func text(_ number: UInt32) -> String {
        withCell(number) { String(decoding: $0.dropFirst(RowCells.textHeader), as: UTF8.self) }
    }

    /// To be called when no number is kept any more.
    mutating func trim() {
        if numbers.count > NamePool.namesMax { self = NamePool() }
    }
}

/// The names of a call that rows are keyed by, as numbers of one pool.
struct CallNames {
    var org: UInt32
    var user: UInt32
    var service: UInt32
    var model: UInt32
    var provider: UInt32
}

/// Rows gathered between two flushes, each made once and added to in its place.
struct Gathered<Key: Hashable & Sendable, Sums: Sendable> {
    private(set) var rows: [(key: Key, sums: Sums)] = []
    private var places: [Key: Int32] = [:]

    /// The place of the row with this key, made of `new` when there is none.
    mutating func place(of key: Key, new: @autoclosure () -> Sums) -> Int {
        if let place = places[key] { return Int(place) }
        places[key] = Int32(rows.count)
        rows.append((key, new()))
        return rows.count - 1
    }

    subscript(place: Int) -> Sums {
        get { rows[place].sums }
        _modify { yield &rows[place].sums }
    }

    mutating func removeAll() {
        rows.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
    }
}
