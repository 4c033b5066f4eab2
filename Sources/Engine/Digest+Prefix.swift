internal import Hashing

extension Digest {
    /// The first 16 bytes, as the index keeps them.
    var prefix128: (UInt64, UInt64) { (word0, word1) }
}
