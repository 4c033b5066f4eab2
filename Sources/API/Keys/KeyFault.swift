public import Billing
public import Platform

/// What can be wrong with the keys' file, and with what is asked of it.
extension KeyStore {
    /// Why keys may not open that should.
    public enum Fault: Equatable, Sendable {
        case unreadable(String)
        /// By number; the others were read.
        case damaged(lines: [Int])
    }

    /// Why a command on the keys did nothing.
    public enum StoreError: Error, CustomStringConvertible {
        case unreadable(path: String, reason: String)
        case damaged(path: String, lines: [Int])
        /// There is none, and there was one.
        case gone(path: String)
        /// The system gives this process no right to, and somebody else has it.
        case notOurs(path: String, owner: FileOwner)
        case nameTaken(Name)
        case unknownName(Name)
        case unknownID(String)
        case busy

        public var description: String {
            switch self {
            case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
            case .damaged(let path, let lines):
                "\(path) is damaged in \(StoreError.named(lines)): the checksum does not hold, and nothing was changed."
                    + " Take the line from a snapshot or delete it, and add a new key for the one that was on it"
            case .gone(let path):
                "\(path) is gone, and keys were used here; nothing was changed. Put it back, as from a snapshot; to "
                    + "begin without the keys there were, delete key-uses.json beside it too"
            case .notOurs(let path, let owner):
                "\(path) belongs to \(owner.userName) and has to stay so; nothing was changed"
            case .nameTaken(let name): "there is a key named \(name) already; revoke it or choose another name"
            case .unknownName(let name): "there is no live key named \(name)"
            case .unknownID(let id): "there is no live key with the id \(id)"
            case .busy: "another program is changing the keys at this moment; try again"
            }
        }

        private static func named(_ lines: [Int]) -> String {
            let listed = lines.prefix(8).map(String.init).joined(separator: ", ")
            return (lines.count == 1 ? "line " : "lines ") + listed + (lines.count > 8 ? " and more" : "")
        }
    }
}
