internal import CLMDB
import Platform

/// What a log says about itself, in the database "meta": `format` and `created` as 8 bytes little-endian, `id` as 16.
struct LogMeta {
    static let framesName = "frames"
    static let metaName = "meta"
    static let idSize = 16
    /// Where a new log is made before it gets its place.
    static let nursery = "creating"
    static let nurseryMapBytes = 1 << 20

    var createdAt: Int64
    var id: [UInt8]

    /// Makes an empty log beside its place and renames it there, so that a data.mdb is a log or is none, whenever the
    /// process is killed.
    static func createLog(in folder: String) throws(LogError) {
        let nursery = folder + "/" + nursery
        try filing { () throws(FileError) in
            try Folder.remove(nursery)
            try Folder.make(nursery)
        }
        try LogMeta(createdAt: WallClock.microseconds(), id: randomBytes(idSize)).createContent(in: nursery)
        try filing { () throws(FileError) in
            try File.rename(nursery + "/data.mdb", to: folder + "/data.mdb")
            try Folder.remove(nursery)
        }
    }

    private func createContent(in folder: String) throws(LogError) {
        let environment = try Environment(
            folder: folder, databasesMax: 4, mapBytes: LogMeta.nurseryMapBytes, readOnly: false)
        let transaction = try WriteTransaction(environment)
        try create(in: transaction.handle)
        try transaction.commit()
    }

    /// Makes the two databases of a log in an environment that has none.
    func create(in transaction: OpaquePointer) throws(LogError) {
        guard let meta = try Database(LogMeta.metaName, flags: MDB_CREATE, in: transaction),
            try Database(LogMeta.framesName, flags: MDB_CREATE | MDB_INTEGERKEY, in: transaction) != nil
        else { preconditionFailure("MDB_CREATE gave no database") }
        try putValue(transaction, meta, "format", LogMeta.integer(EventLog.format))
        try putValue(transaction, meta, "created", LogMeta.integer(UInt64(bitPattern: createdAt)))
        try putValue(transaction, meta, "id", id)
    }

    /// Reads and checks, before anything else of the log is looked at.
    static func read(_ environment: Environment) throws(LogError) -> (LogMeta, Database) {
        func refuse(_ reason: String) -> LogError { .notALog(folder: environment.folder, reason: reason) }
        let transaction = try ReadTransaction(environment)
        guard let meta = try Database(metaName, flags: 0, in: transaction.handle),
            let format = number(try getValue(transaction.handle, meta, "format"))
        else { throw refuse("data.mdb says no format") }
        guard format <= EventLog.format else {
            throw .newerFormat(folder: environment.folder, found: format, known: EventLog.format)
        }
        guard format == EventLog.format else { throw refuse("format \(format) never was") }
        guard let createdAt = number(try getValue(transaction.handle, meta, "created")),
            let id = try getValue(transaction.handle, meta, "id"), id.count == idSize
        else { throw refuse("data.mdb has no id") }
        guard let frames = try Database(framesName, flags: MDB_INTEGERKEY, in: transaction.handle) else {
            throw refuse("data.mdb has no frames")
        }
        try transaction.keepDatabases()
        return (LogMeta(createdAt: Int64(bitPattern: createdAt), id: id), frames)
    }

    static func integer(_ value: UInt64) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static func number(_ bytes: [UInt8]?) -> UInt64? {
        guard let bytes, bytes.count == 8 else { return nil }
        return bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    }

    /// From the system's generator: getrandom(2) on Linux.
    static func randomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
