internal import Glibc
public import SQLite

/// The cells of one row, key cells first, as its canonical bytes and as what a statement binds: filled, used and
/// cleared again and again without an allocation.
///
/// Canonical bytes: the table's tag, then each cell. 0: null. 1 and 8 bytes, big-endian: an integer. 2, a length of 4
/// bytes, and UTF-8: text. 3, a length of 4 bytes, and bytes: a blob. A name is its text.
public struct RowCells: ~Copyable {
    /// Columns of a row at most.
    public static let cellsMax = 64

    struct Cell {
        enum Kind: UInt8 { case null, integer, text, blob }
        var kind: Kind
        /// When not 0: text whose number in the fold's pool of names is this.
        var poolNumber: UInt32
        /// An integer's value.
        var integer: Int64
        /// Where its canonical bytes are: after the cell before it, up to here.
        var end: Int
    }

    private var bytes: UnsafeMutablePointer<UInt8>
    private var byteCount = 0
    private var byteCapacity = 512
    private let cells: UnsafeMutablePointer<Cell>
    private(set) var count = 0

    init() {
        bytes = .allocate(capacity: byteCapacity)
        cells = .allocate(capacity: RowCells.cellsMax)
    }

    deinit {
        bytes.deallocate()
        cells.deallocate()
    }

    /// Begins a row of the table with this tag.
    mutating func begin(tag: UInt8) {
        bytes[0] = tag
        byteCount = 1
        count = 0
    }

    /// Begins a row with the first cells of another.
    mutating func begin(with other: borrowing RowCells, cells prefix: Int) {
        count = 0
        byteCount = 0
        reserve(other.byteCount)
        byteCount = other.start(prefix)
        bytes.update(from: other.bytes, count: byteCount)
        cells.update(from: other.cells, count: prefix)
        count = prefix
    }

    /// Takes the cells from `first` on out again.
    mutating func truncate(to first: Int) {
        precondition((0...count).contains(first), "\(first) of \(count) cells")
        byteCount = start(first)
        count = first
    }

    // MARK: - Filling

    public mutating func null() {
        reserve(1)
        bytes[byteCount] = 0
        byteCount += 1
        end(.null)
    }

    public mutating func integer(_ value: Int64) {
        reserve(9)
        bytes[byteCount] = 1
        UnsafeMutableRawPointer(bytes + byteCount + 1).storeBytes(of: value.bigEndian, as: Int64.self)
        byteCount += 9
        end(.integer, integer: value)
    }

    /// An integer, or 16 bytes when it does not fit in one (`WideInteger`).
    public mutating func sum(_ value: Int128) {
        if let narrow = Int64(exactly: value) { return integer(narrow) }
        WideInteger.bytes(value).withUnsafeBytes { append(3, $0) }
        end(.blob)
    }

    public mutating func text(_ value: String) {
        var value = value
        value.withUTF8 { append(2, UnsafeRawBufferPointer($0)) }
        end(.text)
    }

    /// Null for 0.
    mutating func name(_ number: UInt32, of pool: borrowing NamePool) {
        if number == 0 { return null() }
        pool.withCell(number) { cell in
            reserve(cell.count)
            copy(cell)
        }
        end(.text, poolNumber: number)
    }

    /// Of a text's canonical bytes: before the text itself.
    static let textHeader = 5

    /// Appends the canonical bytes of a text.
    static func append(canonical text: String, to bytes: inout [UInt8]) {
        let count = text.utf8.count
        bytes.append(2)
        withUnsafeBytes(of: UInt32(count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: text.utf8)
    }

    /// Begins a cell of text that is written piece by piece.
    mutating func beginText() {
        append(2, UnsafeRawBufferPointer(start: nil, count: 0))
    }

    mutating func piece(_ text: String) {
        var text = text
        text.withUTF8 { piece in
            reserve(piece.count)
            copy(UnsafeRawBufferPointer(piece))
        }
    }

    mutating func piece(byte: UInt8) {
        reserve(1)
        bytes[byteCount] = byte
        byteCount += 1
    }

    /// In decimal digits, with a sign when it is negative.
    mutating func piece(decimal value: Int64) {
        let digitsMax = 20
        reserve(digitsMax)
        if value < 0 { piece(byte: 0x2D) }
        var rest = value.magnitude
        let start = byteCount
        repeat {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            bytes[byteCount] = 0x30 + UInt8(digit)
            byteCount += 1
            rest = quotient
        } while rest > 0
        var digits = UnsafeMutableBufferPointer(start: bytes + start, count: byteCount - start)
        digits.reverse()
    }

    mutating func endText() {
        let start = start(count)
        UnsafeMutableRawPointer(bytes + start + 1).storeBytes(
            of: UInt32(byteCount - start - 5).bigEndian, as: UInt32.self)
        end(.text)
    }

    public mutating func append(_ value: Value) {
        switch value {
        case .null: null()
        case .integer(let number): integer(number)
        case .text(let value): text(value)
        case .blob(let blob):
            blob.withUnsafeBytes { append(3, $0) }
            end(.blob)
        }
    }

    /// A cell as a file holds it.
    mutating func append(_ cell: SQLite.Cell) {
        switch cell {
        case .null: null()
        case .integer(let value): integer(value)
        case .text(let text):
            append(2, text)
            end(.text)
        case .blob(let blob):
            append(3, blob)
            end(.blob)
        case .real(let bits):
            // No row of ours: whatever the digest is, it differs.
            withUnsafeBytes(of: bits) { append(4, $0) }
            end(.blob)
        }
    }

    /// The canonical bytes of a cell, made before.
    mutating func append(canonicalText text: UnsafeRawBufferPointer) {
        reserve(text.count)
        copy(text)
        end(.text)
    }

    /// A number that stands for no name: only a damaged file has it, and its digest is that of no row.
    mutating func unknownName(_ number: Int64) {
        withUnsafeBytes(of: number) { append(5, $0) }
        end(.blob)
    }

    private mutating func append(_ tag: UInt8, _ content: UnsafeRawBufferPointer) {
        reserve(5 + content.count)
        bytes[byteCount] = tag
        UnsafeMutableRawPointer(bytes + byteCount + 1).storeBytes(
            of: UInt32(content.count).bigEndian, as: UInt32.self)
        byteCount += 5
        copy(content)
    }

    private mutating func copy(_ content: UnsafeRawBufferPointer) {
        if let start = content.baseAddress {
            UnsafeMutableRawPointer(bytes + byteCount).copyMemory(from: start, byteCount: content.count)
        }
        byteCount += content.count
    }

    private mutating func end(_ kind: Cell.Kind, integer: Int64 = 0, poolNumber: UInt32 = 0) {
        precondition(count < RowCells.cellsMax, "more than \(RowCells.cellsMax) cells in a row")
        cells[count] = Cell(kind: kind, poolNumber: poolNumber, integer: integer, end: byteCount)
        count += 1
    }

    @inline(__always)
    private mutating func reserve(_ more: Int) {
        if byteCount + more > byteCapacity { grow(more) }
    }

    private mutating func grow(_ more: Int) {
        while byteCount + more > byteCapacity { byteCapacity *= 2 }
        let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCapacity)
        grown.update(from: bytes, count: byteCount)
        bytes.deallocate()
        bytes = grown
    }

    // MARK: - Using

    subscript(index: Int) -> Cell {
        precondition((0..<count).contains(index), "cell \(index) of \(count)")
        return cells[index]
    }

    /// Of the whole row; there until it is changed.
    var canonical: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: byteCount) }

    /// Where a cell begins: after the tag, or after the cell before it.
    private func start(_ index: Int) -> Int { index == 0 ? 1 : self[index - 1].end }

    /// Of one cell.
    func canonical(_ index: Int) -> UnsafeRawBufferPointer {
        let start = start(index)
        return UnsafeRawBufferPointer(start: bytes + start, count: self[index].end - start)
    }

    /// What a text or blob holds, without its header.
    func content(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: canonical(index).dropFirst(5))
    }

    /// The first cell from `first` on that differs from that of another row of the same table.
    func firstDifference(to other: borrowing RowCells, from first: Int) -> Int? {
        for index in first..<count {
            let (start, otherStart) = (start(index), other.start(index))
            let length = self[index].end - start
            if other[index].end - otherStart != length
                || memcmp(bytes + start, other.bytes + otherStart, length) != 0
            {
                return index
            }
        }
        return nil
    }

    /// Adds the sums of another row of the same table from cell `first` on.
    mutating func add(_ other: borrowing RowCells, from first: Int) {
        for index in first..<count {
            guard self[index].kind == .integer, other[index].kind == .integer else {
                return addWide(other, from: index)
            }
            let (sum, overflow) = cells[index].integer.addingReportingOverflow(other[index].integer)
            if overflow { return addWide(other, from: index) }
            cells[index].integer = sum
            UnsafeMutableRawPointer(bytes + cells[index].end - 8).storeBytes(of: sum.bigEndian, as: Int64.self)
        }
    }

    /// The same where cells change their length: all from `first` on are made anew.
    private mutating func addWide(_ other: borrowing RowCells, from first: Int) {
        var sums: [Int128] = []
        for index in first..<count { sums.append(sum(index) + other.sum(index)) }
        truncate(to: first)
        for value in sums { sum(value) }
    }

    /// What a cell of a sum holds.
    func sum(_ index: Int) -> Int128 {
        if self[index].kind == .integer { return Int128(self[index].integer) }
        guard self[index].kind == .blob, let sum = WideInteger.value(content(index)) else {
            preconditionFailure("cell \(index) is no sum")
        }
        return sum
    }

    /// Whether the sums from `first` on are all 0. One that is no integer never is.
    func areZero(from first: Int) -> Bool {
        (first..<count).allSatisfy { self[$0].kind == .integer && self[$0].integer == 0 }
    }

    func value(_ index: Int) -> Value {
        switch self[index].kind {
        case .null: .null
        case .integer: .integer(self[index].integer)
        case .text: .text(String(decoding: content(index), as: UTF8.self))
        case .blob: .blob([UInt8](content(index)))
        }
    }
}
