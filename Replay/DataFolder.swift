import EventLog
import Platform
import Projections

/// A data folder opened for reading, beside a running daemon or alone.
struct DataFolder: Sendable {
    let path: String
    let log: EventLog

    init(_ path: String) throws {
        self.path = path
        guard Folder.isFolder(path + "/log") else { throw Refusal(text: "\(path) is no data folder: it has no log/") }
        log = try EventLog.open(folder: path + "/log", mode: .readOnly)
    }

    var readModels: String { path + "/readmodels" }
    var source: EventLogSource { EventLogSource(log) }
}
