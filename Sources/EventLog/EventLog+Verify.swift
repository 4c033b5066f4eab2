public import Hashing

/// What a verification walked over, all of it whole.
public struct Verification: Hashable, Sendable {
    /// 0 when there was nothing to verify.
    public var firstPosition: UInt64 = 0
    public var lastPosition: UInt64 = 0
    public var frames = 0
    /// Bytes of the frames.
    public var bytes = 0
    /// The hash of the last frame, which pins everything before it.
    public var lastHash = Digest.zero
}

extension EventLog {
    /// Frames that one read transaction of a verification looks at, unless they are large.
    static let verifyFramesMax = 1024
    static let verifyBytesMax = 8 << 20

    /// Recomputes every hash of the frames from the one that holds `after + 1` through the one that holds `through`
    /// (high water unless given), the chain between them, and that no position is missing. Nothing is repaired or cut
    /// off. Works beside a running daemon: its read transactions are short.
    ///
    /// - Parameters:
    ///   - progress: called with the last verified position now and then.
    ///   - record: each record with its hash, in the same pass, before the frame's own hash is known to hold. It also
    /// gets
    ///     the records of the first frame that are not after `after`.
    /// - Throws: `LogError.corrupt` with the position of the first fault; what the closures throw.
    public func verify(
        after: UInt64 = 0, through: UInt64? = nil, progress: (UInt64) throws -> Void = { _ in },
        record: (UInt64, UnsafeRawBufferPointer, Digest) throws -> Void = { _, _, _ in }
    ) throws -> Verification {
        let limit = through ?? highWater
        if limit > highWater {
            throw LogError.corrupt(position: highWater + 1, reason: "the log ends before it, \(limit) is expected")
        }
        var result = Verification()
        guard after < limit else { return result }
        var position = after
        var expected = try hashBefore(position + 1)
        while position < limit {
            var frames = 0
            var bytes = 0
            try readFrames(from: position + 1, through: limit) { frame in
                if result.frames > 0 && frame.firstPosition != position + 1 {
                    throw LogError.corrupt(position: position + 1, reason: "a frame begins at \(frame.firstPosition)")
                }
                try frame.verify(record)
                guard frame.previousHash == expected else {
                    throw LogError.corrupt(
                        position: frame.firstPosition, reason: "the frame is not chained to the one before")
                }
                if result.frames == 0 { result.firstPosition = frame.firstPosition }
                expected = frame.hash
                position = frame.lastPosition
                result.lastPosition = position
                result.frames += 1
                result.bytes += frame.bytes.count
                frames += 1
                bytes += frame.bytes.count
                return frames < EventLog.verifyFramesMax && bytes < EventLog.verifyBytesMax
            }
            try progress(position)
        }
        result.lastHash = expected
        return result
    }

    /// The stored hash of the frame before the one that holds `position`; zeros for the first.
    private func hashBefore(_ position: UInt64) throws -> Digest {
        var first: UInt64 = 0
        try readFrames(from: position, through: position) { frame in
            first = frame.firstPosition
            return false
        }
        guard first > 1 else { return .zero }
        var hash = Digest.zero
        try readFrames(from: first - 1, through: first - 1) { frame in
            guard frame.lastPosition == first - 1 else {
                throw LogError.corrupt(position: first, reason: "it is in two frames")
            }
            hash = frame.hash
            return false
        }
        return hash
    }
}
