import Billing
import Glibc
import Hashing
import Records
import Testing

@Suite struct GoldenTests {
    /// The bytes of a fixture: hexadecimal digits, with lines of remarks that start with `#`.
    static func fixture(_ name: String) -> [UInt8]? {
        let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        guard let file = fopen("\(folder)/Fixtures/v1/\(name).hex", "r") else { return nil }
        defer { fclose(file) }
        var text: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { text.append(UInt8(truncatingIfNeeded: byte)) }
        let digits = text.split(separator: 0x0A).filter { $0.first != UInt8(ascii: "#") }.joined()
        return Hex.bytes(Array(digits))
    }

    static let names = GoldenRecords.all.map(\.file)

    @Test(arguments: 0..<GoldenRecords.all.count)
    func `version 1 wrote these bytes and they still say the same`(index: Int) throws {
        let (name, record) = GoldenRecords.all[index]
        let bytes = record.bytes
        let fixture = try #require(Self.fixture(name), "no fixture \(name); this program writes \(Hex.text(bytes))")
        #expect(Hex.text(fixture) == Hex.text(bytes))
        #expect(try decode(fixture) == record)
    }

    @Test func `there is a golden record of every kind`() {
        let kinds = Set(GoldenRecords.all.map { RecordKind($0.record.event.fact) })
        #expect(kinds == Set(RecordKind.allCases))
    }

    @Test func `a typical call takes less than 250 bytes`() {
        #expect(GoldenRecords.record(1, GoldenRecords.typicalEvent).bytes.count < 250)
    }

    @Test(arguments: 0..<GoldenRecords.all.count)
    func `no part of a record is a record`(index: Int) {
        let bytes = GoldenRecords.all[index].record.bytes
        for count in 0..<bytes.count {
            #expect(throws: RecordError.self) { try decode(Array(bytes.prefix(count))) }
        }
        #expect(throws: RecordError.self) { try decode(bytes + [0]) }
    }

    /// A changed byte makes another valid record or an error; what is taken has only that one spelling.
    @Test(arguments: 0..<GoldenRecords.all.count)
    func `a changed byte never traps and never goes unseen`(index: Int) {
        let (name, record) = GoldenRecords.all[index]
        let bytes = record.bytes
        for offset in bytes.indices {
            let old = bytes[offset]
            let bits = (0..<8).map { old ^ (1 << UInt8($0)) }
            for new in Set(bits + [0, 1, 0x7F, 0x80, 0xFF, old &+ 1, old &- 1]) where new != old {
                var changed = bytes
                changed[offset] = new
                guard let other = try? decode(changed) else { continue }
                if other == record { Issue.record("\(name): byte \(offset) as \(new) goes unseen") }
                if other.bytes != changed { Issue.record("\(name): byte \(offset) as \(new) has two spellings") }
            }
        }
    }
}
