/// What a log says of itself at one size, in the form of C2SP tlog-checkpoint: three lines, origin, size and root.
/// Whoever keeps one can later tell whether the log still begins with the same records.
public struct Checkpoint: Hashable, Sendable {
    /// Which log: 1 to 256 bytes of UTF-8 without control characters, spaces or `+`, so that it can name a key of a
    /// signed note.
    public var origin: String
    /// Records covered: positions 1 ... size.
    public var size: UInt64
    public var root: Digest

    /// Of a signed note with many signatures; more is no checkpoint.
    public static let bytesMax = 64 << 10

    public init(origin: String, size: UInt64, root: Digest) {
        precondition(Checkpoint.isOrigin(origin), "origin \(origin)")
        self.origin = origin
        self.size = size
        self.root = root
    }

    public static func isOrigin(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy {
                !$0.properties.isWhitespace && $0.properties.generalCategory != .control && $0 != "+"
            }
    }

    /// The origin of a log that was given none: tells two logs apart.
    public static func standardOrigin(logID: [UInt8]) -> String { "tallystick/" + Hex.text(logID) }

    /// The text that is signed.
    public var text: String { "\(origin)\n\(size)\n\(root.base64)\n" }

    public struct FormError: Error, Hashable, CustomStringConvertible {
        public var description: String
    }

    /// Reads a checkpoint, bare or as a signed note (then followed by an empty line and signatures, which are not
    /// checked here). Extension lines are refused: nobody here would look at them.
    public init(parsing note: [UInt8]) throws(FormError) {
        guard note.count <= Checkpoint.bytesMax else { throw FormError(description: "it is longer than a checkpoint") }
        let lines = note.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count >= 4, lines[3].isEmpty, lines.count == 4 || lines.last?.isEmpty == true else {
            throw FormError(description: "a checkpoint has three lines, then nothing, or an empty line and signatures")
        }
        guard let origin = String(validating: lines[0], as: UTF8.self), Checkpoint.isOrigin(origin) else {
            throw FormError(description: "its first line is no origin")
        }
        let digits = lines[1]
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }),
            digits.count == 1 || digits.first != 0x30,
            let size = UInt64(String(decoding: digits, as: UTF8.self)), size <= UInt64.max >> 1
        else { throw FormError(description: "its second line is no size") }
        guard let root = Digest(base64: lines[2]) else { throw FormError(description: "its third line is no root") }
        self.init(origin: origin, size: size, root: root)
    }
}
