/// HMAC with SHA-256 (RFC 2104, test vectors in RFC 4231).
public enum HMAC {
    private static let blockBytes = 64

    /// The code of `message` under `key`, which may have any length.
    public static func sha256(_ message: [UInt8], key: [UInt8]) -> Digest {
        var block = key.count > blockBytes ? SHA256.hash(key).bytes : key
        block += [UInt8](repeating: 0, count: blockBytes - block.count)
        var inner = SHA256()
        inner.update(block.map { $0 ^ 0x36 })
        inner.update(message)
        var outer = SHA256()
        outer.update(block.map { $0 ^ 0x5C })
        outer.update(inner.finalize().bytes)
        return outer.finalize()
    }
}
