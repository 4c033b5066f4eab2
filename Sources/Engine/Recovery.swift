internal import Billing
public import EventLog
internal import Hashing
internal import Platform
public import Records

/// Why a daemon cannot start on a folder.
public enum RecoveryError: Error, CustomStringConvertible {
    case log(LogError)
    /// A record that this version cannot take: halt, name it, keep the file.
    case record(position: UInt64, reason: String)
    /// The file for what is kept outside of memory cannot be made.
    case scratch(String)
    /// The index knows more than the log: the log is an older copy, or lost its tail.
    case logIsOlder(highWater: UInt64, index: UInt64)

    public var description: String {
        switch self {
        case .log(let error):
            "\(error)"
        case .scratch(let reason):
            "no scratch file can be made in the data folder: \(reason). Nothing was changed."
        case .record(let position, let reason):
            "the record at position \(position) cannot be read: \(reason). Nothing was changed. "
                + "Run `tallystick-replay verify`, and restore the log from a copy."
        case .logIsOlder(let highWater, let index):
            "the log ends at position \(highWater), but its index has seen \(index): the log is an older copy or lost "
                + "its tail. Nothing was changed. Put the right log back; to give the lost positions up, delete "
                + "the folder `index` and the read models."
        }
    }
}

extension KeyIndex {
    /// What the index has of a record: its key, and for one in an org's space the same key in any org's.
    public static func entries(of hashes: RecordHashes, at position: UInt64) -> (entry: Entry, alias: Entry?) {
        (
            Entry(key: hashes.key, position: position, content: hashes.content),
            hashes.keyInAnyOrg.map { Entry(key: $0, position: position, content: hashes.content) }
        )
    }
}

extension LogWriter {
    /// Records read in one short transaction.
    private static let recoveryRecordsMax = 8192
    private static let recoveryBytesMax = 8 << 20

    /// Folds the log into an admission state, and gives the index the keys it has not seen: the index is a cache of the
    /// log, so a missing or older one is made good here.
    static func recover(from log: EventLog, index: KeyIndex) throws(RecoveryError) -> Admission {
        let charges: ChargeStore
        do {
            charges = try ChargeStore(folder: Folder.parent(of: log.folder))
        } catch {
            throw .scratch("\(error)")
        }
        var admission = Admission(charges: charges)
        let highWater = log.highWater
        guard index.progress <= highWater else {
            throw .logIsOlder(highWater: highWater, index: index.progress)
        }
        var indexed = index.last
        let decoder = RecordDecoder()
        var position: UInt64 = 0
        while position < highWater {
            do {
                position = try log.read(
                    after: position, recordsMax: recoveryRecordsMax, bytesMax: recoveryBytesMax
                ) { position, bytes in
                    let record: Record
                    do {
                        record = try decoder.decode(bytes)
                    } catch {
                        throw RecoveryError.record(position: position, reason: "\(error)")
                    }
                    admission.follow(record)
                    if position > indexed {
                        guard let hashes = RecordCodec.hashes(bytes) else {
                            preconditionFailure("record \(position) can be read and has no hashes")
                        }
                        let key = KeyIndex.entries(of: hashes, at: position)
                        index.insert(key.entry, alias: key.alias)
                        indexed = position
                    }
                }
            } catch let error as RecoveryError {
                throw error
            } catch let error as LogError {
                throw .log(error)
            } catch {
                throw .record(position: position + 1, reason: "\(error)")
            }
        }
        admission.forgetShapes()
        return admission
    }
}
