public import Hashing

/// The text of a key: `tsk_` + 12 hex digits (its id) + `_` + 64 hex digits (256 random bits) + 8 hex digits (the first
/// four bytes of SHA-256 over everything before). The prefix and the checksum let a secret scanner know it for certain:
/// `\btsk_[0-9a-f]{12}_[0-9a-f]{72}\b`, and no text that this matches by chance has the right checksum.
public struct KeyText: Hashable, Sendable {
    public static let prefix = "tsk_"
    private static let idDigits = 12
    private static let secretDigits = 64
    private static let checksumDigits = 8

    public let id: String
    public let text: String
    private let secret: [UInt8]

    /// A new key, from the operating system's random numbers: on Linux `SystemRandomNumberGenerator` is getrandom(2).
    public init() {
        var random = SystemRandomNumberGenerator()
        func hex(_ digits: Int) -> String {
            var text = ""
            while text.utf8.count < digits {
                let word = String(random.next() as UInt64, radix: 16)
                text += String(repeating: "0", count: 16 - word.utf8.count) + word
            }
            return String(text.prefix(digits))
        }
        let id = hex(KeyText.idDigits)
        let secret = hex(KeyText.secretDigits)
        let body = KeyText.prefix + id + "_" + secret
        self.id = id
        self.secret = Array(secret.utf8)
        self.text = body + String(decoding: KeyText.checksum(of: Array(body.utf8)[...]), as: UTF8.self)
    }

    /// Nil when it is not a key of ours: wrong form or wrong checksum.
    public init?(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        let idStart = KeyText.prefix.utf8.count
        let idEnd = idStart + KeyText.idDigits
        let secretEnd = idEnd + 1 + KeyText.secretDigits
        guard bytes.count == secretEnd + KeyText.checksumDigits, bytes.starts(with: KeyText.prefix.utf8),
            bytes[idEnd] == 0x5F
        else { return nil }
        for index in idStart..<bytes.count where index != idEnd {
            guard (0x30...0x39).contains(bytes[index]) || (0x61...0x66).contains(bytes[index]) else { return nil }
        }
        guard bytes[secretEnd...].elementsEqual(KeyText.checksum(of: bytes[..<secretEnd])) else { return nil }
        id = String(decoding: bytes[idStart..<idEnd], as: UTF8.self)
        secret = Array(bytes[(idEnd + 1)..<secretEnd])
        text = String(decoding: bytes, as: UTF8.self)
    }

    public var secretHash: Digest { SHA256.hash(secret) }

    /// In hex digits.
    private static func checksum(of bytes: ArraySlice<UInt8>) -> [UInt8] {
        let digest = bytes.withUnsafeBytes { SHA256.hash($0) }
        return digest.bytes.prefix(checksumDigits / 2).flatMap { [digit($0 >> 4), digit($0 & 15)] }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }
}
