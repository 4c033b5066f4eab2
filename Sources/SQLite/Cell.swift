/// A cell of the row that a statement is at, without a copy: its bytes are there until the next step or reset.
public enum Cell {
    case null
    case integer(Int64)
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)
    /// Only a damaged file holds one.
    case real(bits: UInt64)
}
