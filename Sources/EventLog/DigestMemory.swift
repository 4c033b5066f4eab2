import Hashing

extension Digest {
    static let size = Digest.byteCount

    /// The 32 bytes at an address.
    init(at address: UnsafeRawPointer) {
        self.init(bytes: UnsafeRawBufferPointer(start: address, count: Digest.size))
    }

    func store(to address: UnsafeMutableRawPointer) {
        write(to: UnsafeMutableRawBufferPointer(start: address, count: Digest.size))
    }
}
