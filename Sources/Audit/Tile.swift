internal import Hashing
internal import Platform

/// Where a tile is: 256 neighbouring hashes of one level of the Merkle tree, as C2SP tlog-tiles cuts it. Level 0 holds
/// the record hashes, level 1 the roots of the tiles of level 0, and so on.
struct TilePlace: Hashable {
    static let width = 256
    static let bytes = width * Digest.byteCount
    /// Levels of the tree from one level of tiles to the next.
    static let height = 8

    var level: Int
    var number: UInt64

    /// The positions under it, from 1.
    var positions: ClosedRange<UInt64> {
        let span = UInt64(1) << UInt64(TilePlace.height * (level + 1))
        return number * span + 1...(number + 1) * span
    }

    /// The entry one level up that is the root of this tile.
    var above: (tile: TilePlace, index: Int) {
        (TilePlace(level: level + 1, number: number / 256), Int(number % 256))
    }

    /// How many tiles of a level a tree of that size fills.
    static func full(_ level: Int, size: UInt64) -> UInt64 {
        let shift = UInt64(height * (level + 1))
        return shift < 64 ? size >> shift : 0
    }
}

/// What is wrong with the tiles of a log.
public enum TileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A tile is missing or is not what the tile above it says.
    case damaged(folder: String, level: Int, positions: ClosedRange<UInt64>, reason: String)
    /// The tiles cover more records than the log has.
    case ahead(folder: String, size: UInt64, highWater: UInt64)
    /// `head` cannot be read, or is of another log.
    case unusable(folder: String, reason: String)

    public var description: String {
        switch self {
        case .damaged(let folder, let level, let positions, let reason):
            "the tile of level \(level) over positions \(positions.lowerBound) to \(positions.upperBound) in \(folder) "
                + "\(reason). Run `tallystick-replay verify`: if the log holds, delete the folder, and it comes back"
        case .ahead(let folder, let size, let highWater):
            "\(folder) covers \(size) records, but the log ends at position \(highWater): the log lost its tail or is "
                + "an older copy. Restore the log; if it is right as it is, delete the folder"
        case .unusable(let folder, let reason):
            "\(folder)/head \(reason): delete the folder, and it comes back from the log"
        }
    }
}

/// What is known to be on disk: the first `size` records' full tiles, and the root over them.
struct TileHead: Hashable {
    var logID: [UInt8]
    var createdAt: Int64
    var size: UInt64
    var root: Digest

    private static let title = "tallystick tiles 1"
    static let bytesMax = 1024

    /// Five lines and a sixth that hashes them: no bit of it can change unseen.
    var text: String {
        let lines = "\(TileHead.title)\n\(Hex.text(logID))\n\(createdAt)\n\(size)\n\(root.base64)\n"
        return lines + SHA256.hash(Array(lines.utf8)).base64 + "\n"
    }

    init(logID: [UInt8], createdAt: Int64, size: UInt64, root: Digest) {
        (self.logID, self.createdAt, self.size, self.root) = (logID, createdAt, size, root)
    }

    /// Nil unless it is exactly what `text` writes.
    init?(_ bytes: [UInt8]) {
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count == 7, let id = Hex.bytes(lines[1]),
            let createdAt = Int64(String(decoding: lines[2], as: UTF8.self)),
            let size = UInt64(String(decoding: lines[3], as: UTF8.self)), let root = Digest(base64: lines[4])
        else { return nil }
        self.init(logID: id, createdAt: createdAt, size: size, root: root)
        guard Array(text.utf8) == bytes, size % UInt64(TilePlace.width) == 0, size <= UInt64.max >> 1
        else { return nil }
    }
}

/// The folder `tiles`: one file for each level of tiles, full tiles one after the other, and `head`.
final class TileStore: Sendable {
    static let levelsMax = 8

    let folder: String
    private let writable: Bool
    private let files = Lock([PlacedFile?](repeating: nil, count: levelsMax))

    init(folder: String, writable: Bool) {
        self.folder = folder
        self.writable = writable
    }

    private func file(_ level: Int) throws(FileError) -> PlacedFile {
        let outcome = files.withLock { files -> Result<PlacedFile, FileError> in
            if let file = files[level] { return .success(file) }
            do throws(FileError) {
                let file = try PlacedFile(path: "\(folder)/\(level)", writable: writable)
                files[level] = file
                return .success(file)
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    /// The hashes of a full tile.
    func read(_ place: TilePlace) throws -> [Digest] {
        try read(level: place.level, from: place.number, count: 1)
    }

    /// The hashes of some full tiles in a row.
    func read(level: Int, from number: UInt64, count: Int) throws -> [Digest] {
        var bytes = [UInt8](repeating: 0, count: count * TilePlace.bytes)
        let file: PlacedFile
        do {
            file = try self.file(level)
        } catch {
            throw damaged(TilePlace(level: level, number: number), "cannot be opened (\(error))")
        }
        let found = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: Int(number) * TilePlace.bytes) }
        guard found == bytes.count else {
            throw damaged(TilePlace(level: level, number: number + UInt64(found / TilePlace.bytes)), "is missing")
        }
        return bytes.withUnsafeBytes { raw in
            (0..<count * TilePlace.width).map { index in
                let start = index * Digest.byteCount
                return Digest(bytes: UnsafeRawBufferPointer(rebasing: raw[start..<start + Digest.byteCount]))
            }
        }
    }

    func damaged(_ place: TilePlace, _ reason: String) -> TileError {
        .damaged(folder: folder, level: place.level, positions: place.positions, reason: reason)
    }

    /// Writes full tiles, not yet durable.
    func write(_ hashes: [Digest], level: Int, from number: UInt64) throws(FileError) {
        precondition(hashes.count % TilePlace.width == 0, "\(hashes.count) hashes are no full tiles")
        var bytes = [UInt8](repeating: 0, count: hashes.count * Digest.byteCount)
        let file = try self.file(level)
        let outcome = bytes.withUnsafeMutableBytes { raw -> Result<Void, FileError> in
            for (index, hash) in hashes.enumerated() {
                hash.write(to: UnsafeMutableRawBufferPointer(rebasing: raw[(index * Digest.byteCount)...]))
            }
            do throws(FileError) {
                return .success(try file.write(UnsafeRawBufferPointer(raw), at: Int(number) * TilePlace.bytes))
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    /// Makes all tiles durable, and then says so.
    func sync(_ head: TileHead) throws(FileError) {
        for file in files.withLock({ $0 }) { try file?.sync() }
        try DurableFile.replace(folder + "/head", with: Array(head.text.utf8))
    }

    /// Nil when there are no tiles yet.
    func head() throws -> TileHead? {
        let path = folder + "/head"
        guard File.exists(path) else { return nil }
        guard let head = TileHead(try File.read(path, bytesMax: TileHead.bytesMax)) else {
            throw TileError.unusable(folder: folder, reason: "is damaged")
        }
        return head
    }
}
