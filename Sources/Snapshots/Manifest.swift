public import Billing
public import Hashing
public import JSON

/// What a snapshot says of itself: `manifest.json`, in one spelling only, so that its hash stands for all of it
/// (Schemas/SNAPSHOT.md).
public struct Manifest: Hashable, Sendable {
    public static let format = 1
    static let fileName = "manifest.json"
    /// Beside it, in the form that sha256sum reads.
    static let hashName = "manifest.sha256"
    static let checkpointName = "checkpoint"
    static let bytesMax = 32 << 20

    public struct File: Hashable, Sendable {
        public var name: String
        public var bytes: Int
        public var hash: Digest
    }

    public struct ReadModel: Hashable, Sendable {
        public var name: String
        public var schemaVersion: Int
        /// The last record in it: that of the log, where the snapshot holds its file.
        public var position: UInt64
        public var digest: MultisetDigest
    }

    /// The snapshot whose log this one goes on from.
    public struct Previous: Hashable, Sendable {
        /// Of its manifest.json.
        public var manifestHash: Digest
        public var position: UInt64
        /// The last part of its path: where it is looked for, beside this one.
        public var name: String
    }

    public var madeAt: Timestamp
    /// 16 bytes.
    public var logID: [UInt8]
    public var logCreatedAt: Timestamp
    /// The last position of the log; 0 for an empty one.
    public var position: UInt64
    /// The hash of the frame that ends there; zeros for an empty log.
    public var frameHash: Digest
    /// The Merkle tree over all records through there: what the next snapshot goes on from.
    public var tree: MerkleRange
    public var previous: Previous?
    public var readModels: [ReadModel]
    /// All but manifest.json and manifest.sha256, in byte order of the names.
    public var files: [File]

    /// The first position of its frames.
    public var firstPosition: UInt64 { (previous?.position ?? 0) + 1 }

    var bytes: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("format", integer: Manifest.format)
        writer.member("kind", string: previous == nil ? "full" : "incremental")
        writer.member("made_at", string: madeAt.rfc3339)
        writer.key("log")
        writer.beginObject()
        writer.member("id", string: Hex.text(logID))
        writer.member("created_at", string: logCreatedAt.rfc3339)
        writer.member("first_position", integer: firstPosition)
        writer.member("position", integer: position)
        writer.member("frame_hash", string: frameHash.hex)
        writer.key("tree")
        writer.beginArray()
        for hash in tree.hashes { writer.string(hash.base64) }
        writer.endArray()
        writer.endObject()
        if let previous {
            writer.key("previous")
            writer.beginObject()
            writer.member("manifest_sha256", string: previous.manifestHash.hex)
            writer.member("position", integer: previous.position)
            writer.member("name", string: previous.name)
            writer.endObject()
        }
        writer.key("readmodels")
        writer.beginArray()
        for model in readModels {
            writer.beginObject()
            writer.member("name", string: model.name)
            writer.member("schema_version", integer: model.schemaVersion)
            writer.member("position", integer: model.position)
            writer.member("digest", string: model.digest.hex)
            writer.endObject()
        }
        writer.endArray()
        Manifest.write(files, into: &writer)
        writer.endObject()
        return writer.bytes + [0x0A]
    }

    /// The member "files" of a manifest, of whatever it is.
    public static func write(_ files: [File], into writer: inout JSONWriter) {
        writer.key("files")
        writer.beginArray()
        for file in files {
            writer.beginObject()
            writer.member("name", string: file.name)
            writer.member("bytes", integer: file.bytes)
            writer.member("sha256", string: file.hash.hex)
            writer.endObject()
        }
        writer.endArray()
    }

    /// What manifest.sha256 holds.
    static func hashLine(_ hash: Digest) -> [UInt8] { Array("\(hash.hex)  \(fileName)\n".utf8) }

    private struct FormError: Error, CustomStringConvertible {
        var description: String
    }

    static func parse(_ bytes: [UInt8]) throws -> Manifest {
        let document: JSONValue
        do { document = try JSONValue.parse(bytes) } catch {
            throw SnapshotError.differs(part: fileName, reason: "it is not JSON: \(error)")
        }
        if let written = document["format"]?.number, let number = Int(written), number > format {
            throw SnapshotError.refused(
                "the snapshot has format \(number), this program knows up to \(format): use the newer program")
        }
        let manifest: Manifest
        do { manifest = try Manifest(document) } catch {
            throw SnapshotError.differs(part: fileName, reason: "\(error)")
        }
        guard manifest.bytes == bytes else {
            throw SnapshotError.differs(part: fileName, reason: "not in the one spelling that a manifest has")
        }
        return manifest
    }

    private init(_ document: JSONValue) throws {
        func text(_ value: JSONValue?, _ what: String) throws -> String {
            guard let text = value?.string else { throw FormError(description: "no \(what)") }
            return text
        }
        func number<Number: FixedWidthInteger>(_ value: JSONValue?, _ what: String) throws -> Number {
            guard let number = value?.number.flatMap({ Number($0) }) else { throw FormError(description: "no \(what)") }
            return number
        }
        func hash(_ value: JSONValue?, _ what: String) throws -> Digest {
            guard let hash = Digest(hex: try text(value, what)) else {
                throw FormError(description: "\(what) is no SHA-256")
            }
            return hash
        }
        func time(_ value: JSONValue?, _ what: String) throws -> Timestamp {
            guard let time = Timestamp(rfc3339: try text(value, what)) else {
                throw FormError(description: "\(what) is no time")
            }
            return time
        }
        func list(_ value: JSONValue?, _ what: String) throws -> [JSONValue] {
            guard case .array(let items)? = value else { throw FormError(description: "no list of \(what)") }
            return items
        }
        madeAt = try time(document["made_at"], "made_at")
        let log = document["log"]
        guard let id = Hex.bytes(try text(log?["id"], "log.id").utf8), id.count == 16 else {
            throw FormError(description: "log.id is not 16 bytes")
        }
        logID = id
        logCreatedAt = try time(log?["created_at"], "log.created_at")
        position = try number(log?["position"], "log.position")
        frameHash = try hash(log?["frame_hash"], "log.frame_hash")
        let position = position
        let hashes = try list(log?["tree"], "log.tree").map { one in
            guard let hash = Digest(base64: try text(one, "hash in log.tree").utf8) else {
                throw FormError(description: "log.tree holds what is no hash")
            }
            return hash
        }
        guard hashes.count == position.nonzeroBitCount, position <= UInt64.max >> 1 else {
            throw FormError(description: "log.tree has \(hashes.count) hashes for \(position) records")
        }
        tree = MerkleRange(size: position, hashes: hashes)
        previous = try document["previous"].map { one in
            Previous(
                manifestHash: try hash(one["manifest_sha256"], "previous.manifest_sha256"),
                position: try number(one["position"], "previous.position"),
                name: try text(one["name"], "previous.name"))
        }
        guard previous?.position ?? 0 <= position else {
            throw FormError(description: "it ends at position \(position), before it begins")
        }
        readModels = try list(document["readmodels"], "readmodels").map { one in
            guard let digest = MultisetDigest(bytes: try hash(one["digest"], "digest").bytes) else {
                throw FormError(description: "a digest is not 32 bytes")
            }
            return ReadModel(
                name: try text(one["name"], "name of a read model"),
                schemaVersion: try number(one["schema_version"], "schema_version"),
                position: try number(one["position"], "position of a read model"), digest: digest)
        }
        files = try list(document["files"], "files").map { one in
            File(
                name: try text(one["name"], "name of a file"), bytes: try number(one["bytes"], "bytes of a file"),
                hash: try hash(one["sha256"], "sha256 of a file"))
        }
    }

    init(
        madeAt: Timestamp, logID: [UInt8], logCreatedAt: Timestamp, position: UInt64, frameHash: Digest,
        tree: MerkleRange, previous: Previous?, readModels: [ReadModel], files: [File]
    ) {
        self.madeAt = madeAt
        self.logID = logID
        self.logCreatedAt = logCreatedAt
        self.position = position
        self.frameHash = frameHash
        self.tree = tree
        self.previous = previous
        self.readModels = readModels
        self.files = files
    }
}
